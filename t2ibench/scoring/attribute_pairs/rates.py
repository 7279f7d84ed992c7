"""From counted images to rates of attribute pairs: raw, corrected for the judge's errors, above chance, and their
bootstrap.

The bootstrap is nested: images are drawn anew within each pair, and the real images that the judge is known by within
each true cell. Its variance goes into score intervals. The pairs are a fixed set; a second interval is for claims about
composition beyond these pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.judge_gate import Gate, Verdict
from t2ibench.stats.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    rate_mean_interval,
    score_interval,
    wilson,
)
from t2ibench.stats.judge_errors import SINGULAR, columns, multinomial_draws, nearest_mixture, unmix

EPSILON = 1e-6


@dataclass(frozen=True)
class Rates:
    """What was counted for P pairs of literals (i, j); the cells of an image are 00, 01, 10, 11 by the literals that
    the judge sees.

    cells: int [P, 4], of n images each that were asked for the pair. chance: [P, 4], of images that were asked for
    other things. confusions: [P, 4, 4], of real images, row judged, column true. verdicts: of the judge's gate.
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
        """Judged, no stratum untested, enough real images in every cell, and cells that the judge can tell apart: bool
        [P].
        """
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
        """The same without the bounds, for means and intervals (see `unmix`): [P] and draws [B, P]; raw where it cannot
        be corrected.
        """
        point, drawn, which = self.raw.copy(), self.cell_draws[..., 3].copy(), self.correctable
        if which.any():
            real = self.confusions[which]
            point[which] = unmix(self.cells[which] / self.images, columns(real))[:, 3]
            again = multinomial_draws(real.swapaxes(1, 2), derive_seed(self.seed, "real images"), self.draws).swapaxes(
                2, 3
            )
            solved = unmix(self.cell_draws[:, which].reshape(-1, 4), columns(again).reshape(-1, 4, 4))
            drawn[:, which] = solved[:, 3].reshape(self.draws, -1)
        return point, drawn

    def accuracy(self, members: Sequence[int]) -> tuple[np.ndarray, np.ndarray, bool]:
        """Accuracies [K] of some pairs, their draws [B, K], and whether they are corrected: all of them, or none."""
        if self.correctable[list(members)].all():
            return self.unmixed[0][members], self.unmixed[1][:, members], True
        return self.raw[members], self.cell_draws[:, members, 3], False

    @cached_property
    def intervals(self) -> list[Interval]:
        """The interval of each accuracy [P], corrected where it can be."""
        point, drawn = self.unmixed
        return [rate_interval(point[k : k + 1], drawn[:, k : k + 1], self.images) for k in range(len(self.pairs))]

    def corrected_interval(self, k: int) -> Interval | None:
        """The interval of one corrected accuracy; None where it cannot be corrected."""
        return self.intervals[k] if self.correctable[k] else None

    def contributions(self, outcomes: np.ndarray, members: Sequence[int], corrected: bool) -> np.ndarray:
        """What each image adds to the accuracy of its pair, [K, n], of the cells [P, n] that images fell into: their
        mean is the accuracy.

        A hit counts 1 and a miss 0; corrected, both count what M^-1 makes of them. Methods that are scored by one judge
        compare by these.
        """
        hits = np.tile(np.array([0.0, 0.0, 0.0, 1.0]), (len(members), 1))
        weights = np.linalg.inv(columns(self.confusions[list(members)]))[:, 3] if corrected else hits
        return np.take_along_axis(weights, outcomes[list(members)], axis=1)

    def above_chance(self, members: Sequence[int]) -> tuple[np.ndarray, Interval]:
        """(CA - b) / (1 - b) of some pairs [K], raw, and the interval of their mean; b: how often images asked for
        other things hit.
        """
        members, total = list(members), int(self.chance[0].sum())
        raw, b = self.raw[members], self.chance[members, 3] / total
        room = np.maximum(1 - b, EPSILON)
        own = weighted_interval(raw, self.cell_draws[:, members, 3], self.images, 1 / room)
        again = multinomial_draws(self.chance[members], derive_seed(self.seed, "chance"), self.draws)[..., 3] / total
        other = weighted_interval(b, again, total, (1 - raw) / room**2)
        values = chance_normalised(raw, b)
        low, high = difference_interval(own, other)  # to first order in b
        shift = float(values.mean()) - (own[0] - other[0])
        return values, clipped((low + shift, high + shift), -1.0)


def chance_normalised(accuracy: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """0 for what chance reaches, 1 for a perfect score; negative below chance."""
    return (accuracy - chance) / np.maximum(1 - chance, EPSILON)


def rate_interval(
    values: np.ndarray, draws: np.ndarray | None, images: int, weights: np.ndarray | None = None
) -> Interval:
    """The interval of the mean of rates [K], of `images` each, given their bootstrap draws [B, K]; weights [K] sum to 1
    (equal ones).

    draws: None for rates without other errors than sampling's. A score interval: the bootstrap gives the variance and
    not the ends, since rates near 0 or 1 hardly vary in it, and where every image agrees not at all. Sampling counts as
    `n` images of one rate, those of a pair being smoothed by half a hit and half a miss; what the bootstrap's variance
    has beyond sampling (of the judge's errors, known from few real images) is added.
    """
    share = np.full(len(values), 1 / len(values)) if weights is None else weights
    inside = np.clip(values, 0.0, 1.0)
    smooth = (inside * images + 0.5) / (images + 1)
    mean = float(smooth @ share)
    n = images * mean * (1 - mean) / float(smooth * (1 - smooth) @ share**2)
    sampling = float(inside * (1 - inside) @ share**2) / images
    extra = 0.0 if draws is None else max(0.0, float((draws @ share).var()) - sampling)
    return score_interval(min(1.0, max(0.0, float(values @ share))), n, extra)


def weighted_interval(
    values: np.ndarray, draws: np.ndarray, images: int, weights: np.ndarray
) -> tuple[float, Interval]:
    """The mean of weighted rates [K] with its interval; weights [K] of any size, of which none is negative."""
    total = float(weights.sum())
    if total == 0:
        return 0.0, (0.0, 0.0)
    low, high = rate_interval(values, draws, images, weights / total)
    scale = total / len(values)
    return scale * float(values @ weights) / total, (scale * low, scale * high)


@dataclass(frozen=True)
class Mean:
    """A mean over pairs with two intervals: of these pairs, and of the pairs that these are a sample of."""

    value: float
    ci: Interval
    ci_pairs: Interval


def macro(values: np.ndarray, draws: np.ndarray, images: int) -> Mean:
    """The unweighted mean of rates [K], of `images` each, given their bootstrap draws [B, K]; cut at 0 and 1."""
    ci = rate_interval(values, draws, images)
    return _mean(values, ci, rate_mean_interval(values) if len(values) > 1 else (0.0, 1.0), 0.0)


def gap(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], distinct: Sequence[int], images: int
) -> Mean:
    """The mean of first minus second, rates [K] with draws [B, K] each; in [-1, 1].

    distinct: what each of `first` is; equal numbers are one rate that counts several times (a control of several
    pairs).
    """
    _, rows, times = np.unique(np.asarray(distinct), return_index=True, return_counts=True)
    one = weighted_interval(first[0][rows], first[1][:, rows], images, times / times.mean())
    other = weighted_interval(second[0], second[1], images, np.ones(len(second[0])))
    (a, b) = (min(1.0, max(0.0, value)) for value, _ in (one, other))
    return _of_differences(first[0] - second[0], clipped(difference_interval((a, one[1]), (b, other[1])), -1.0))


def above(values: np.ndarray, ci: Interval) -> Mean:
    """The mean of rates above chance [K] with its interval; in [-1, 1]."""
    return _of_differences(values, ci)


def _of_differences(values: np.ndarray, ci: Interval) -> Mean:
    return _mean(values, ci, clipped(mean_interval(values), -1.0) if len(values) > 1 else (-1.0, 1.0), -1.0)


def _mean(values: np.ndarray, ci: Interval, wide: Interval, low: float) -> Mean:
    """wide: the interval over pairs; one pair says nothing of others."""
    return Mean(clipped((float(values.mean()),) * 2, low)[0], ci, (min(wide[0], ci[0]), max(wide[1], ci[1])))


def clipped(interval: Interval, low: float = 0.0) -> Interval:
    """An interval cut at `low` and 1."""
    return min(1.0, max(low, interval[0])), min(1.0, max(low, interval[1]))


def worst_decile(values: np.ndarray, intervals: Sequence[Interval]) -> tuple[float, Interval]:
    """The 10th percentile over pairs, less noisy than the minimum, cut at 0 and 1, from the pairs' intervals.

    Its own goes from the 10th percentile of their lower ends to that of their upper ends. Noise spreads rates, so the
    decile of what was counted lies below that of the truth, and a bootstrap doubles this; the ends hold the truth,
    somewhat more often than they need.
    """
    low, high = (float(np.quantile([interval[end] for interval in intervals], 0.1)) for end in (0, 1))
    return min(1.0, max(0.0, float(np.quantile(values, 0.1)))), (low, high)


def singles(cells: np.ndarray) -> np.ndarray:
    """(A_i, A_j) [..., 2] of frequencies of the cells [..., 4]."""
    return np.stack([cells[..., 2] + cells[..., 3], cells[..., 1] + cells[..., 3]], axis=-1)


def binding_ratio(cells: np.ndarray) -> np.ndarray:
    """CA / max(A_i A_j, 1e-6) of frequencies of the cells [..., 4]: 1 where the two literals come independently."""
    return cells[..., 3] / np.maximum(singles(cells).prod(-1), EPSILON)


def ratio_of_means(cells: np.ndarray) -> np.ndarray:
    """The binding ratio of several pairs, [..., K, 4] to [...]: mean CA / mean A_i A_j, steady where some are never
    drawn.
    """
    return cells[..., 3].mean(-1) / np.maximum(singles(cells).prod(-1).mean(-1), EPSILON)


def read_outs(cells: np.ndarray) -> dict[str, Any]:
    """One pair's cells, counts [4], as numbers: accuracy with Wilson's interval, single and conditional accuracies,
    binding ratio.

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
