"""From counted images to rates of attribute pairs: raw, corrected for the judge's errors, above chance, and their bootstrap.

The bootstrap is nested: images are drawn anew within each pair, and the real images that the judge is known by within each true cell. The
pairs themselves are a fixed set; a second interval draws them anew as well, for claims about composition beyond these pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from t2ibench.correction import SINGULAR, columns, multinomial_draws, nearest_mixture, unmix
from t2ibench.judge_gate import Gate, Verdict
from t2ibench.seeds import derive_seed
from t2ibench.statistics import Interval, percentile_interval, resamples, wilson

EPSILON = 1e-6


@dataclass(frozen=True)
class Rates:
    """What was counted for P pairs of literals (i, j); the cells of an image are 00, 01, 10, 11 by the literals that the judge sees.

    cells: int [P, 4], of n images each that were asked for the pair. chance: [P, 4], of images that were asked for other things.
    confusions: [P, 4, 4], of real images, row judged, column true. verdicts: of the judge's gate.
    """

    pairs: Sequence[tuple[str, str]]
    cells: np.ndarray
    chance: np.ndarray
    confusions: np.ndarray
    verdicts: Sequence[Verdict]
    gate: Gate
    draws: int
    seed: int

    @property
    def images(self) -> int:
        """Images a pair."""
        return int(self.cells[0].sum())

    @cached_property
    def judged(self) -> np.ndarray:
        """Whether the judge may speak about a pair, bool [P]."""
        return np.array([not verdict.failures for verdict in self.verdicts], bool)

    @cached_property
    def correctable(self) -> np.ndarray:
        """Judged, no stratum untested, enough real images in every cell, and cells that the judge can tell apart: bool [P]."""
        enough = (self.confusions.sum(axis=1) >= self.gate.support).all(axis=1) & self.judged
        enough &= np.array([not verdict.untested_strata for verdict in self.verdicts], bool)
        enough[enough] = np.abs(np.linalg.det(columns(self.confusions[enough]))) > SINGULAR
        return enough

    @cached_property
    def cell_draws(self) -> np.ndarray:
        """Frequencies of the cells, [B, P, 4]."""
        return multinomial_draws(self.cells, derive_seed(self.seed, "images"), self.draws) / self.images

    @cached_property
    def raw(self) -> np.ndarray:
        """Accuracies [P] as judged."""
        return self.cells[:, 3] / self.images

    @cached_property
    def corrected(self) -> np.ndarray:
        """Accuracies [P] freed of the judge's errors, each within [0, 1]; NaN where a pair cannot be corrected."""
        point, which = np.full(len(self.pairs), np.nan), self.correctable
        point[which] = nearest_mixture(self.cells[which] / self.images, columns(self.confusions[which]))[:, 3]
        return point

    @cached_property
    def unmixed(self) -> tuple[np.ndarray, np.ndarray]:
        """The same without the bounds, for means and intervals (see `unmix`): [P] and draws [B, P]; raw where it cannot be corrected."""
        point, drawn, which = self.raw.copy(), self.cell_draws[..., 3].copy(), self.correctable
        if which.any():
            real = self.confusions[which]
            point[which] = unmix(self.cells[which] / self.images, columns(real))[:, 3]
            again = multinomial_draws(real.swapaxes(1, 2), derive_seed(self.seed, "real images"), self.draws).swapaxes(2, 3)
            solved = unmix(self.cell_draws[:, which].reshape(-1, 4), columns(again).reshape(-1, 4, 4))
            drawn[:, which] = solved[:, 3].reshape(self.draws, -1)
        return point, drawn

    def accuracy(self, members: Sequence[int]) -> tuple[np.ndarray, np.ndarray, bool]:
        """Accuracies [K] of some pairs, their draws [B, K], and whether they are corrected: all of them, or none."""
        if self.correctable[list(members)].all():
            return self.unmixed[0][members], self.unmixed[1][:, members], True
        return self.raw[members], self.cell_draws[:, members, 3], False

    def corrected_interval(self, k: int) -> Interval | None:
        """The interval of one corrected accuracy; None where it cannot be corrected."""
        return clipped(percentile_interval(self.unmixed[1][:, k])) if self.correctable[k] else None

    def above_chance(self, members: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(CA - b) / (1 - b) of some pairs, raw, and the draws; b is how often images asked for other things hit the pair."""
        total = self.chance[0].sum()
        again = multinomial_draws(self.chance[members], derive_seed(self.seed, "chance"), self.draws)[..., 3] / total
        return chance_normalised(self.raw[members], self.chance[members, 3] / total), chance_normalised(
            self.cell_draws[:, members, 3], again
        )


def chance_normalised(accuracy: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """0 for what chance reaches, 1 for a perfect score; negative below chance."""
    return (accuracy - chance) / np.maximum(1 - chance, EPSILON)


@dataclass(frozen=True)
class Mean:
    """A mean over pairs with two intervals: pairs fixed, and pairs drawn anew."""

    value: float
    ci: Interval
    ci_pairs: Interval


def macro(values: np.ndarray, draws: np.ndarray, images: int, seed: int, *, rates: int = 1, low: float = 0.0) -> Mean:
    """The unweighted mean of values [K], given their bootstrap draws [B, K].

    Where every image agrees the bootstrap has no spread and would claim certainty: then each of the `rates` that the value is made
    of (two for a difference) is taken to be off by Wilson's limit for 0 of `images`. Value and intervals are cut at `low` and 1.
    """
    picks = np.concatenate(list(resamples(len(values), derive_seed(seed, "pairs"), len(draws))))
    wide = percentile_interval(np.take_along_axis(draws, picks, axis=1).mean(axis=1))
    value, narrow = float(values.mean()), percentile_interval(draws.mean(axis=1))
    half = rates**0.5 * wilson(0, images)[1]
    certain = (value - half, value + half)
    narrow, wide = (clipped(certain if ci[0] == ci[1] else ci, low) for ci in (narrow, wide))
    return Mean(min(1.0, max(low, value)), narrow, wide)


def clipped(interval: Interval, low: float = 0.0) -> Interval:
    """An interval cut at `low` and 1."""
    return min(1.0, max(low, interval[0])), min(1.0, max(low, interval[1]))


def worst_decile(values: np.ndarray, draws: np.ndarray) -> tuple[float, Interval]:
    """The 10th percentile over pairs, less noisy than the minimum, and its interval; both cut at 0 and 1."""
    value, interval = float(np.quantile(values, 0.1)), percentile_interval(np.quantile(draws, 0.1, axis=1))
    return min(1.0, max(0.0, value)), clipped(interval)


def singles(cells: np.ndarray) -> np.ndarray:
    """(A_i, A_j) [..., 2] of frequencies of the cells [..., 4]."""
    return np.stack([cells[..., 2] + cells[..., 3], cells[..., 1] + cells[..., 3]], axis=-1)


def binding_ratio(cells: np.ndarray) -> np.ndarray:
    """CA / max(A_i A_j, 1e-6) of frequencies of the cells [..., 4]: 1 where the two literals come independently."""
    return cells[..., 3] / np.maximum(singles(cells).prod(-1), EPSILON)


def read_outs(cells: np.ndarray) -> dict[str, Any]:
    """One pair's cells, counts [4], as numbers: accuracy with Wilson's interval, single and conditional accuracies, binding ratio.

    A conditional accuracy is None where its condition never held.
    """
    n, both = int(cells.sum()), int(cells[3])
    a_i, a_j = (float(value) for value in singles(cells / n))
    return {
        "n": n,
        "hits": both,
        "ca": both / n,
        "ci": list(wilson(both, n)),
        "a_i": a_i,
        "a_j": a_j,
        "binding_ratio": float(binding_ratio(cells / n)),
        "i_given_j": both / n / a_j if a_j else None,
        "j_given_i": both / n / a_i if a_i else None,
    }
