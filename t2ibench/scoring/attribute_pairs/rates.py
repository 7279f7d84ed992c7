"""From counted images to rates of attribute pairs: raw, corrected for the judge's errors, above chance, and their
bootstrap.

The bootstrap is nested. It resamples the made images within each pair, and the real images, on which the judge's errors
were counted, within each true cell. Its variance goes into score intervals. These hold for a fixed set of pairs; a
second interval is for claims about composition beyond these pairs.
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
    """Counts for P pairs of literals (i, j).

    An image is in one of four cells, 00, 01, 10 or 11. The first digit says whether the judge sees literal i, the
    second whether it sees literal j.

    pairs: the literals (i, j) of each pair.
    cells: counts of the n images that were asked for each pair, int [P, 4].
    chance: counts of images that were asked for other things, int [P, 4].
    confusions: counts of real images, row judged, column true, int [P, 4, 4].
    verdicts: what the gate says about the judge on each pair.
    gate: the thresholds of the gate.
    draws: number B of bootstrap draws.
    seed: seed of the bootstrap.
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
        """Number n of images of each pair."""
        return int(self.cells[0].sum())

    @cached_property
    def judged(self) -> np.ndarray:
        """Whether the judge may speak about a pair, bool [P]."""
        return np.array([not verdict.failures for verdict in self.verdicts], bool)

    @cached_property
    def correctable(self) -> np.ndarray:
        """Whether the accuracy of a pair can be corrected for the judge's errors, bool [P].

        It can if the pair is judged, no stratum is untested, every cell has enough real images, and the judge can tell
        the cells apart.
        """
        enough = (self.confusions.sum(axis=1) >= self.gate.support).all(axis=1) & self.judged
        enough &= np.array([not verdict.untested_strata for verdict in self.verdicts], bool)
        enough[enough] = np.abs(np.linalg.det(columns(self.confusions[enough]))) > SINGULAR
        return enough

    @cached_property
    def cell_draws(self) -> np.ndarray:
        """Bootstrap draws of the frequencies of the cells, [B, P, 4]."""
        return multinomial_draws(self.cells, derive_seed(self.seed, "images"), self.draws) / self.images

    @cached_property
    def raw(self) -> np.ndarray:
        """Accuracies as judged, [P]."""
        return self.cells[:, 3] / self.images

    @cached_property
    def corrected(self) -> np.ndarray:
        """Accuracies corrected for the judge's errors, [P], each in [0, 1]; NaN for a pair that cannot be corrected."""
        point, which = np.full(len(self.pairs), np.nan), self.correctable
        point[which] = nearest_mixture(self.cells[which] / self.images, columns(self.confusions[which]))[:, 3]
        return point

    @cached_property
    def unmixed(self) -> tuple[np.ndarray, np.ndarray]:
        """Corrected accuracies without bounds, [P], and their draws, [B, P], for means and intervals (see `unmix`).

        A pair that cannot be corrected has its raw values.
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
        """Accuracies [K] of some pairs, their draws [B, K], and whether they are corrected.

        They are corrected only if all K pairs can be.

        members: indices of the pairs.
        """
        if self.correctable[list(members)].all():
            return self.unmixed[0][members], self.unmixed[1][:, members], True
        return self.raw[members], self.cell_draws[:, members, 3], False

    @cached_property
    def intervals(self) -> list[Interval]:
        """The interval of the accuracy of each pair, corrected if it can be, P of them."""
        point, drawn = self.unmixed
        return [rate_interval(point[k : k + 1], drawn[:, k : k + 1], self.images) for k in range(len(self.pairs))]

    def corrected_interval(self, k: int) -> Interval | None:
        """The interval of the corrected accuracy of pair k; None if it cannot be corrected."""
        return self.intervals[k] if self.correctable[k] else None

    def contributions(self, outcomes: np.ndarray, members: Sequence[int], corrected: bool) -> np.ndarray:
        """What each image adds to the accuracy of its pair, [K, n]. The mean over the n images is the accuracy.

        A hit counts 1 and a miss 0; if corrected, each cell counts what M^-1 gives for it. Tests that compare methods
        under the same judge use these numbers.

        outcomes: the cell of each image, [P, n].
        members: indices of the K pairs.
        """
        hits = np.tile(np.array([0.0, 0.0, 0.0, 1.0]), (len(members), 1))
        weights = np.linalg.inv(columns(self.confusions[list(members)]))[:, 3] if corrected else hits
        return np.take_along_axis(weights, outcomes[list(members)], axis=1)

    def above_chance(self, members: Sequence[int]) -> tuple[np.ndarray, Interval]:
        """Raw accuracies above chance of some pairs, (CA - b) / (1 - b), [K], and the interval of their mean.

        b is the share of the images asked for other things that show both literals.

        members: indices of the K pairs.
        """
        members, total = list(members), int(self.chance[0].sum())
        raw, b = self.raw[members], self.chance[members, 3] / total
        room = np.maximum(1 - b, EPSILON)
        of_accuracy = weighted_interval(raw, self.cell_draws[:, members, 3], self.images, 1 / room)
        again = multinomial_draws(self.chance[members], derive_seed(self.seed, "chance"), self.draws)[..., 3] / total
        of_chance = weighted_interval(b, again, total, (1 - raw) / room**2)
        values = chance_normalised(raw, b)
        low, high = difference_interval(of_accuracy, of_chance)  # to first order in b
        shift = float(values.mean()) - (of_accuracy[0] - of_chance[0])
        return values, clipped((low + shift, high + shift), -1.0)


def chance_normalised(accuracy: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Accuracy on a scale where chance is 0 and a perfect score is 1. It is negative below chance."""
    return (accuracy - chance) / np.maximum(1 - chance, EPSILON)


def rate_interval(
    values: np.ndarray, draws: np.ndarray | None, images: int, weights: np.ndarray | None = None
) -> Interval:
    """The score interval of the mean of K rates.

    values: the rates, [K].
    draws: their bootstrap draws, [B, K]; None if the rates have no error but that of sampling images.
    images: number of images of each rate.
    weights: weights of the rates, [K], which sum to 1; None: equal ones.

    The bootstrap gives only the variance, not the ends: a rate near 0 or 1 hardly varies in it, and one on which all
    images agree does not vary at all. The variance of sampling is that of `n` images of one rate; for n, each rate is
    smoothed by half a hit and half a miss. Whatever the variance of the bootstrap has beyond that of sampling is added:
    it comes from the judge's errors, which are known from few real images.
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
    """The mean of weighted rates [K] with its interval.

    weights: [K], none negative; they need not sum to 1. For values, draws and images see `rate_interval`.
    """
    total = float(weights.sum())
    if total == 0:
        return 0.0, (0.0, 0.0)
    low, high = rate_interval(values, draws, images, weights / total)
    scale = total / len(values)
    return scale * float(values @ weights) / total, (scale * low, scale * high)


@dataclass(frozen=True)
class Mean:
    """A mean over pairs with two intervals.

    value: the mean.
    ci: the interval for exactly these pairs.
    ci_pairs: the interval for all the pairs of which these are a sample.
    """

    value: float
    ci: Interval
    ci_pairs: Interval


def macro(values: np.ndarray, draws: np.ndarray, images: int) -> Mean:
    """The unweighted mean of rates [K] of `images` images each, cut at 0 and 1. draws: their bootstrap, [B, K]."""
    ci = rate_interval(values, draws, images)
    return _mean(values, ci, rate_mean_interval(values) if len(values) > 1 else (0.0, 1.0), 0.0)


def gap(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], distinct: Sequence[int], images: int
) -> Mean:
    """The mean of first minus second, in [-1, 1].

    first, second: rates [K] and their draws [B, K].
    distinct: a number for each rate of `first`. Equal numbers mark one rate that counts several times, such as that of
        a control of several pairs.
    images: number of images of each rate.
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
    """A mean cut at `low` and 1.

    ci: the interval for these pairs.
    wide: the interval over pairs, which is widened until it holds `ci`.
    low: the smallest possible value.
    """
    return Mean(clipped((float(values.mean()),) * 2, low)[0], ci, (min(wide[0], ci[0]), max(wide[1], ci[1])))


def clipped(interval: Interval, low: float = 0.0) -> Interval:
    """An interval cut at `low` and 1."""
    return min(1.0, max(low, interval[0])), min(1.0, max(low, interval[1]))


def worst_decile(values: np.ndarray, intervals: Sequence[Interval]) -> tuple[float, Interval]:
    """The 10th percentile of the rates of pairs, cut at 0 and 1, with its interval. It is less noisy than the minimum.

    The interval goes from the 10th percentile of the lower ends of `intervals` to that of the upper ends. Noise spreads
    rates, so the decile of counted rates lies below that of the true ones, and a bootstrap doubles this error. These
    ends hold the true decile, and somewhat more often than they need to.
    """
    low, high = (float(np.quantile([interval[end] for interval in intervals], 0.1)) for end in (0, 1))
    return min(1.0, max(0.0, float(np.quantile(values, 0.1)))), (low, high)


def singles(cells: np.ndarray) -> np.ndarray:
    """The accuracies of the single literals, (A_i, A_j), [..., 2]. cells: frequencies of the cells, [..., 4]."""
    return np.stack([cells[..., 2] + cells[..., 3], cells[..., 1] + cells[..., 3]], axis=-1)


def binding_ratio(cells: np.ndarray) -> np.ndarray:
    """CA / max(A_i A_j, 1e-6), which is 1 if the two literals occur independently.

    cells: frequencies of the cells, [..., 4].
    """
    return cells[..., 3] / np.maximum(singles(cells).prod(-1), EPSILON)


def ratio_of_means(cells: np.ndarray) -> np.ndarray:
    """The binding ratio of K pairs, mean CA / mean A_i A_j, [...]. It stays finite if some pairs are never drawn.

    cells: frequencies of the cells, [..., K, 4].
    """
    return cells[..., 3].mean(-1) / np.maximum(singles(cells).prod(-1).mean(-1), EPSILON)


def read_outs(cells: np.ndarray) -> dict[str, Any]:
    """The numbers of one pair: accuracy with Wilson's interval, single and conditional accuracies, binding ratio.

    A conditional accuracy is None if its condition never held.

    cells: counts of the cells, int [4].
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
