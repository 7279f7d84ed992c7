"""The Fréchet distance between Gaussians fitted to two sets of features: exact, never complex, and with its standard
error.

FD = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2) (Dowson and Landau 1982). It is the square of a distance,
although names like FID leave this word out. The last trace is a sum of square roots of eigenvalues of a symmetric
matrix, and the nuclear norm of X1 X2^T for centred rows. So no general matrix square root, no complex number and no
epsilon on the diagonal is needed. Covariances divide by n - 1; everything is float64.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from t2ibench.stats.finite import finite

EPS = torch.finfo(torch.float64).eps
BLOCK = 4096  # rows that are in float64 at once


@dataclass(frozen=True, eq=False)
class Moments:
    """What a Gaussian fit needs, in a form that can be merged; float64.

    n: the number of samples.
    mean: [d].
    scatter: [d, d], the sum of the outer products of the centred samples.
    """

    n: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """The moments of features [n, d].

        The features are centred first, which keeps all digits if they lie far from zero. Sums of raw squares would not.
        NaN stays in the moments, and what is computed from them refuses it.
        """
        d = features.shape[1]
        mean, scatter = (features.new_zeros(shape, dtype=torch.float64) for shape in ((d,), (d, d)))
        for part in features.split(BLOCK):
            mean += part.double().sum(0)
        mean /= len(features)
        for part in features.split(BLOCK):
            centred = part.double() - mean
            scatter.addmm_(centred.T, centred)
        return cls(len(features), mean, scatter)

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets together (Chan, Golub and LeVeque 1979).

        Raises ValueError if the dimensions differ.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"moments of {len(self.mean)} and of {len(other.mean)} dimensions cannot be merged")
        n, gap = self.n + other.n, other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(gap, gap) * (self.n * other.n / n)
        return Moments(n, self.mean + gap * (other.n / n), scatter)

    def without(self, part: "Moments") -> "Moments":
        """The moments of the samples that are left when `part`, a subset of them, is taken out."""
        n = self.n - part.n
        mean = self.mean + (self.mean - part.mean) * (part.n / n)
        gap = part.mean - mean
        return Moments(n, mean, self.scatter - part.scatter - torch.outer(gap, gap) * (n * part.n / self.n))

    @property
    def covariance(self) -> Tensor:
        return self.scatter / (self.n - 1)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian that somebody else fitted to an unknown number of samples; float64.

    mean: [d].
    covariance: [d, d].
    rank: of the covariance.
    """

    mean: Tensor
    covariance: Tensor
    rank: int

    @property
    def n(self) -> float:
        """The fewest samples that give such a rank; infinity if the rank is full."""
        return self.rank + 1 if self.rank < len(self.mean) else math.inf


def frechet_distance(fake: Tensor | Moments | Gaussian, real: Tensor | Moments | Gaussian) -> float:
    """FD between two sides, each given as features [n, d], Moments or a Gaussian. Lower is better.

    Equal sides have 0, up to a rounding error of either sign. Raises ValueError for fewer than 2 samples, for unequal
    dimensions and for values that are not finite.
    """
    _finite("a Fréchet distance", fake=fake, real=real)
    a, b = _side(fake), _side(real)
    if min(a.n, b.n) < 2 or a.mean.shape != b.mean.shape:
        shapes = f"{a.n} x {len(a.mean)} and {b.n} x {len(b.mean)}"
        raise ValueError(f"a Fréchet distance needs 2 or more samples of equal dimension on each side, got {shapes}")
    gap, traces = (a.mean - b.mean).square().sum(), a.trace + b.trace
    finite("a Fréchet distance", squares_of_the_features=gap + traces)  # they may pass the largest number
    distance = float(gap + traces - 2 * _roots(_product_eigenvalues(a, b)).sum())
    if distance < -1e-6 * float(traces):
        raise ArithmeticError(
            f"the Fréchet distance came out as {distance:g} for covariance traces of {float(traces):g}"
        )
    return distance


def _finite(where: str, **sides: Tensor | Moments | Gaussian) -> None:
    """Raise ValueError, with the name of the side, for features, moments or a Gaussian that are not finite."""
    for name, side in sides.items():
        if isinstance(side, Tensor):
            finite(where, **{name: side})
        else:
            spread = side.scatter if isinstance(side, Moments) else side.covariance
            finite(where, **{f"mean_of_{name}": side.mean, f"covariance_of_{name}": spread})


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of a distance, given by its rows or by its covariance.

    n: the number of samples.
    mean: [d].
    trace: of the covariance.
    rows: the centred features / sqrt(n - 1), [n, d], if they are known and n <= d; else None.
    covariance: [d, d], if there are no rows; else None.
    """

    n: float
    mean: Tensor
    trace: Tensor
    rows: Tensor | None
    covariance: Tensor | None

    def root(self) -> Tensor:
        """R [r, d] with R^T R = S and no null rows.

        R is `rows`, or the eigenvectors of S, each times the square root of its eigenvalue.
        """
        if self.rows is not None:
            return self.rows
        values, vectors = torch.linalg.eigh(self.covariance)
        roots = _roots(values)
        return (vectors[:, roots > 0] * roots[roots > 0]).T

    def seen_through(self, root: Tensor) -> Tensor:
        """R S R^T [r, r]."""
        if self.covariance is not None:
            return root @ self.covariance @ root.T
        assert self.rows is not None
        product = root @ self.rows.T
        return product @ product.T


def _product_eigenvalues(a: _Side, b: _Side) -> Tensor:
    """The eigenvalues of S1 S2, which are real and not negative; null ones may be left out.

    They are those of R S1 R^T for any R with R^T R = S2. If a side has rows (n <= d), R is these rows: they are few,
    and they leave out the null directions of the covariance. Two covariances are one symmetric problem for LAPACK
    (S1 S2 v = w v, by Cholesky), unless the reference is singular, for example because a feature never varies.
    """
    through, other = sorted((b, a), key=lambda side: side.n if side.rows is not None else torch.inf)
    if through.covariance is not None and other.covariance is not None and through.n > len(through.mean):
        with suppress(scipy.linalg.LinAlgError):  # the Cholesky factorisation of a singular matrix
            first, second = (side.covariance.cpu().numpy() for side in (other, through))  # type: ignore[union-attr]
            return torch.from_numpy(scipy.linalg.eigvalsh(first, second, type=2, driver="gv")).to(other.mean.device)
    return torch.linalg.eigvalsh(other.seen_through(through.root()))


def _side(side: Tensor | Moments | Gaussian) -> _Side:
    if isinstance(side, Tensor) and len(side) <= side.shape[1]:
        mean = side.double().mean(0)
        rows = (side.double() - mean) / (len(side) - 1) ** 0.5
        return _Side(len(side), mean, rows.square().sum(), rows, None)
    moments = Moments.of(side) if isinstance(side, Tensor) else side
    return _Side(moments.n, moments.mean, moments.covariance.trace(), None, moments.covariance)


def _roots(eigenvalues: Tensor) -> Tensor:
    """Square roots of eigenvalues, with 0 for values that are only the rounding error of a zero.

    Without this, a value of 1e-16 would become 1e-8, once for every null direction.
    """
    return torch.where(eigenvalues > len(eigenvalues) * EPS * eigenvalues.max(), eigenvalues, 0.0).sqrt()


def influence(features: Tensor, other: Moments | Gaussian) -> Tensor:
    """First-order effect of each row on FD(features, other): phi [n]. The standard error of FD is sd(phi) / sqrt(n).

    phi_i = 2 (x_i - m1).(m1 - m2) + (x_i - m1)^T D (x_i - m1) - tr(D S1), D = I - T, with T the optimal map from this
    Gaussian to the other one. The mean of phi is 0 (to 1/n). Exchange the sides to get the error that comes from the
    other side. Raises ValueError unless n > d on both sides.
    """
    _finite("the influence function", features=features, other=other)
    n, d = features.shape
    if min(n, other.n) <= d:
        raise ValueError(f"the influence function needs more than d={d} samples on both sides, got {n} and {other.n}")
    of = Moments.of(features)
    values, vectors = torch.linalg.eigh(of.covariance)
    root = _roots(values)
    inverse = torch.where(root > 0, 1 / root, 0.0)  # a direction without variance holds no sample either
    half, half_inverse = (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T
    values, vectors = torch.linalg.eigh(half @ other.covariance @ half)
    transport = half_inverse @ ((vectors * _roots(values)) @ vectors.T) @ half_inverse
    change = torch.eye(d, dtype=torch.float64, device=features.device) - transport
    gap, level, effects = of.mean - other.mean, (change * of.covariance).sum(), []
    for part in features.split(BLOCK):
        centred = part.double() - of.mean
        effects.append(2 * centred @ gap + ((centred @ change) * centred).sum(1) - level)
    return torch.cat(effects)


def jackknife(
    fake: Tensor, real: Tensor | Gaussian, clusters: Sequence[object] | np.ndarray | None = None, groups: int = 20
) -> tuple[float, float]:
    """Bias and standard error of FD(fake, real), by leaving out one of `groups` parts of one side at a time.

    A Gaussian has no parts and stays fixed. The bias is always upwards and falls like 1/n. It is not small: at n = 8 d
    it can be most of the value. The error is also valid for n <= d, where it is rather too wide. Resampling with
    replacement would be some three times too wide there, because repeated rows change the rank.

    clusters: one label for each fake; fakes of one label are left out together.
    """
    whole, bias, variance = frechet_distance(fake, real), 0.0, 0.0
    of_fake: tuple[Any, ...] = (fake, real, clusters, True)
    for features, other, labels, is_fake in (
        (of_fake,) if isinstance(real, Gaussian) else (of_fake, (real, fake, None, False))
    ):
        index = np.unique(np.arange(len(features)) if labels is None else np.asarray(labels), return_inverse=True)[1]
        count, fixed = min(groups, int(index.max()) + 1), _compact(other)
        left = [
            frechet_distance(*((part, fixed) if is_fake else (fixed, part)))
            for part in _left_out(features, index % count)
        ]
        bias += (count - 1) * (float(np.mean(left)) - whole)
        variance += (count - 1) ** 2 / count * float(np.var(left, ddof=1))
    return bias, variance**0.5


def _compact(features: Tensor | Gaussian) -> Tensor | Moments | Gaussian:
    """The smaller form of a side: features if n <= d, moments otherwise; a Gaussian stays as it is."""
    return features if isinstance(features, Gaussian) or len(features) <= features.shape[1] else Moments.of(features)


def _left_out(features: Tensor, group: np.ndarray) -> Iterator[Tensor | Moments]:
    """The side without each of its groups in turn: as moments if there are more rows than dimensions."""
    whole = _compact(features)
    for g in range(int(group.max()) + 1):
        out = torch.from_numpy(group == g).to(features.device)
        yield whole.without(Moments.of(features[out])) if isinstance(whole, Moments) else features[~out]
