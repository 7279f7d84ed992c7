"""What a rate would be if the judge made no errors: one attribute (Rogan & Gladen 1978), and two attributes at once.

The cells of a pair of literals (i, j) are 00, 01, 10, 11 in this order. A judge is described by the matrix M, with
M[o, t] = P(judged o | truly t). Each column is estimated on real images of its own cell. Judges exploit co-occurrence
(a lipstick detector is weakest on men), so M is not the Kronecker product of two single judges. Nothing here corrects
errors that differ between real and generated images.
"""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from t2ibench.core.seeds import uniform
from t2ibench.stats.finite import finite

CELLS = ("00", "01", "10", "11")
SINGULAR = 1e-9  # a determinant this near zero: the judge cannot tell two cells apart


def rogan_gladen(observed: float, sensitivity: float, specificity: float) -> float | None:
    """The true rate behind an observed one, clipped to [0, 1].

    None if the judge is no better than chance (sensitivity + specificity <= 1).
    """
    finite("a corrected rate", observed=observed, sensitivity=sensitivity, specificity=specificity)
    informedness = sensitivity + specificity - 1
    return None if informedness <= 0 else min(1.0, max(0.0, (observed + specificity - 1) / informedness))


def cell_index(i: ArrayLike, j: ArrayLike) -> np.ndarray:
    """The cell 0 … 3 of each image from its two literals (bool arrays of one shape)."""
    finite("the cell of an image", i=i, j=j)
    return 2 * np.asarray(i, bool).astype(np.int64) + np.asarray(j, bool)


def confusion(true_cells: np.ndarray, judged_cells: np.ndarray) -> np.ndarray:
    """Counts [4, 4] of real images: the row is the judged cell, the column the true one."""
    return np.bincount(4 * judged_cells + true_cells, minlength=16).reshape(4, 4)


def columns(counts: np.ndarray) -> np.ndarray:
    """M [..., 4, 4] from confusion counts: each column divided by its sum, which must not be zero."""
    finite("a confusion matrix", counts=counts)
    return counts / counts.sum(axis=-2, keepdims=True)


def unmix(observed: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """M^-1 q [B, 4], for q [B, 4] and M [B, 4, 4]. It sums to 1 but may leave the simplex.

    If M is singular, it is the nearest mixture on the simplex. Elsewhere there is no projection, because projection
    pulls a rate near 0 or 1 inwards, and a mean over pairs adds this up: for 20 pairs that are always right, a judge
    that is right 98 times in 100 would give a mean of 0.986. So means and intervals are computed from this result, and
    cut at 0 and 1 only at the end.
    """
    finite("a corrected rate", observed=observed, matrices=matrices)
    regular = np.abs(np.linalg.det(matrices)) >= SINGULAR
    mixture = np.empty_like(observed)
    mixture[regular] = np.linalg.solve(matrices[regular], observed[regular][..., None])[..., 0]
    mixture[~regular] = nearest_mixture(observed[~regular], matrices[~regular])
    return mixture


def nearest_mixture(observed: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The points p [B, 4] of the simplex that minimise |M p - q|^2, for q [B, 4] and M [B, 4, 4]. M may be singular.

    The result is exact. The minimiser over the simplex is the minimiser over the plane of one of its 15 faces, so each
    face is solved and the best feasible solution is kept. If M p = q has a solution inside the simplex, no face can be
    better, and none is tried.
    """
    finite("the nearest mixture", observed=observed, matrices=matrices)
    best, error = np.zeros_like(observed), np.full(len(observed), np.inf)
    for size in range(4, 0, -1):
        for face in combinations(range(4), size):
            open_rows = np.flatnonzero(error > 1e-18)
            p, feasible = _on_face(observed[open_rows], matrices[open_rows][:, :, face])
            full = np.zeros((len(open_rows), 4))
            full[:, face] = p
            residual = ((np.einsum("bot,bt->bo", matrices[open_rows], full) - observed[open_rows]) ** 2).sum(1)
            better = feasible & (residual < error[open_rows])
            best[open_rows[better]], error[open_rows[better]] = full[better], residual[better]
    return best


def _on_face(observed: np.ndarray, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares over the plane sum(p) = 1, by its KKT system.

    Returns p [B, K], and bool [B]: whether p is unique and has no negative entry.
    """
    rows, size = len(observed), matrices.shape[2]
    system = np.zeros((rows, size + 1, size + 1))
    system[:, :size, :size] = np.einsum("boi,boj->bij", matrices, matrices)
    system[:, :size, size] = system[:, size, :size] = 1.0
    right = np.concatenate([np.einsum("boi,bo->bi", matrices, observed), np.ones((rows, 1))], axis=1)
    regular = np.abs(np.linalg.det(system)) > SINGULAR**2
    system[~regular] = np.eye(size + 1)
    p = np.linalg.solve(system, right[..., None])[:, :size, 0]
    feasible = regular & (p >= -1e-12).all(1)
    p = np.clip(p, 0.0, None)
    return p / np.where(p.sum(1, keepdims=True) > 0, p.sum(1, keepdims=True), 1.0), feasible


def multinomial_draws(counts: ArrayLike, seed: int, draws: int) -> np.ndarray:
    """Bootstrap draws of counts [..., K] over K outcomes: int64 [draws, ..., K], all from the stream `seed`.

    Each row keeps its total n. To draw n observations with replacement is to draw a multinomial; here it is drawn as
    K - 1 binomials, by the inverse of their distribution functions.
    """
    finite("a bootstrap of counts", counts=counts)
    counts = np.asarray(counts, np.int64)
    outcomes, shape = counts.shape[-1], counts.shape[:-1]
    u = uniform(seed, draws * int(np.prod(shape)) * (outcomes - 1)).reshape(draws, *shape, outcomes - 1)
    drawn = np.zeros((draws, *counts.shape), np.int64)
    left = np.broadcast_to(counts.sum(-1), (draws, *shape)).copy()
    rest = counts.sum(-1)
    for k in range(outcomes - 1):
        p = np.divide(counts[..., k], rest, out=np.zeros(shape), where=rest > 0)
        drawn[..., k] = np.clip(stats.binom.ppf(u[..., k], left, p), 0, left)  # scipy answers -1 for u = 0
        left, rest = left - drawn[..., k], rest - counts[..., k]
    drawn[..., -1] = left
    return drawn
