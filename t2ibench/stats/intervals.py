"""Intervals of rates, of means and of differences of rates: Wilson, Newcombe, Student, and the BCa bootstrap over
clusters.

A cluster is what was drawn independently, here a prompt: its images share a text, so they are resampled together. Every
draw comes from an explicit seed through `t2ibench.core.seeds`, so an interval has the same draws on every machine.
Levels are 95 % unless `confidence` says otherwise.

Wilson (JASA 1927); Newcombe, Interval estimation for the difference between independent proportions (Stat. Med. 1998);
Efron, Better Bootstrap Confidence Intervals (JASA 1987).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.stats.finite import finite

Interval = tuple[float, float]
CHUNK = 4_000_000  # resampled indices held at once


def wilson(hits: float, n: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion, in [0, 1]: honest for small n and for 0 or n hits.

    Raises ValueError unless 0 <= hits <= n.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"wilson needs 0 <= hits <= n and n >= 1, got {hits} of {n}")
    low, high = score_interval(hits / n, n, confidence=confidence)
    return (0.0 if hits == 0 else low), (1.0 if hits == n else high)


def score_interval(
    p: float, n: float, extra: float = 0.0, confidence: float = 0.95, freedom: float = math.inf
) -> Interval:
    """Wilson's interval of a rate that also has errors other than sampling.

    It holds all p' with (p - p')^2 <= z^2 (p' (1 - p') / n + extra), cut at 0 and 1. With p and n alone it is `wilson`
    of p n hits.

    p: the rate.
    n: the number of images, or the number that would give the same sampling error; it need not be whole.
    extra: the variance that does not come from sampling, such as that of a judge's error rates.
    freedom: degrees of freedom of Student's t, if n is itself an estimate.
    """
    finite("a score interval", p=p, n=n, extra=extra)
    z = float(special.stdtrit(freedom, (1 + confidence) / 2))
    a, b, c = 1 + z * z / n, 2 * p + z * z / n, p * p - z * z * extra
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return max(0.0, (b - root) / (2 * a)), min(1.0, (b + root) / (2 * a))


def difference_interval(first: tuple[float, Interval], second: tuple[float, Interval]) -> Interval:
    """The interval of first minus second, two independent estimates (Newcombe 1998, method 10).

    first, second: an estimate and its own interval. The result is honest also if a rate is 0 or 1.
    """
    (a, (low_a, high_a)), (b, (low_b, high_b)) = first, second
    finite("the interval of a difference", first=[a, low_a, high_a], second=[b, low_b, high_b])
    return a - b - ((a - low_a) ** 2 + (high_b - b) ** 2) ** 0.5, a - b + ((high_a - a) ** 2 + (b - low_b) ** 2) ** 0.5


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of the population that the values [N] are drawn from.

    Raises ValueError for fewer than two values.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise ValueError(f"an interval over values needs at least 2 of them, got {len(values)}")
    finite("an interval", values=values)
    half = float(special.stdtrit(len(values) - 1, (1 + confidence) / 2)) * standard_error(values)
    return float(values.mean()) - half, float(values.mean()) + half


def rate_mean_interval(rates: ArrayLike, confidence: float = 0.95) -> Interval:
    """The interval, in [0, 1], of the mean of the population that the rates [N] are drawn from.

    It is a score interval, which unlike Student's follows the skew of rates near 0 or 1. Its n is the number that gives
    the standard error of the rates. Raises ValueError for fewer than two rates.
    """
    values = np.asarray(rates, float)
    if len(values) < 2:
        raise ValueError(f"an interval over rates needs at least 2 of them, got {len(values)}")
    finite("an interval", rates=values)
    p, se = min(1.0, max(0.0, float(values.mean()))), standard_error(values)
    return (
        score_interval(p, max(p * (1 - p), 1e-12) / se**2, confidence=confidence, freedom=len(values) - 1)
        if se
        else (p, p)
    )


def wilson_by_cluster(hits: ArrayLike, clusters: Sequence[object] | np.ndarray) -> Interval:
    """Wilson's interval of the mean of hits [N], each in [0, 1], where a cluster counts as one draw.

    It is exact if every cluster has one row, and too wide otherwise.
    """
    finite("an interval", hits=np.asarray(hits, float))
    n = len(set(clusters))
    return wilson(float(np.asarray(hits, float).mean()) * n, n)


def normal_interval(value: float, se: float, confidence: float = 0.95) -> Interval:
    """`value` plus and minus z standard errors."""
    finite("an interval", value=value, se=se)
    half = float(special.ndtri((1 + confidence) / 2)) * se
    return value - half, value + half


def percentile_interval(draws: ArrayLike, confidence: float = 0.95) -> Interval:
    """The middle of the bootstrap draws. Only for statistics without bias, so never for a Fréchet distance."""
    finite("an interval", draws=draws)
    low, high = np.quantile(np.asarray(draws), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bca_interval(value: float, draws: ArrayLike, jackknife: ArrayLike, confidence: float = 0.95) -> Interval:
    """Bias-corrected and accelerated percentile interval (Efron 1987, eq. 2.3).

    value: the statistic.
    draws: the statistic of each resample.
    jackknife: the statistic without each of the clusters.
    """
    finite("an interval", value=value, draws=draws, jackknife=jackknife)
    draws, without = np.sort(np.asarray(draws, float)), np.asarray(jackknife, float)
    if draws[0] == draws[-1]:
        return float(draws[0]), float(draws[-1])
    below = ((draws < value).sum() + 0.5 * (draws == value).sum()) / len(draws)
    shift = special.ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    away = without.mean() - without
    spread = (away**2).sum() ** 1.5
    acceleration = (away**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = shift + special.ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(draws, special.ndtr(shift + z / (1 - acceleration * z)))
    return float(low), float(high)


def resamples(count: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """`draws` resamples of range(count) with replacement, in blocks of int64 [b, count]."""
    rows = max(1, CHUNK // count)
    for start in range(0, draws, rows):
        block = min(rows, draws - start)
        picks = uniform(derive_seed(seed, "resample", start), block * count) * count
        yield picks.astype(np.int64).reshape(block, count)


def cluster_mean_interval(
    values: ArrayLike, clusters: Sequence[object] | np.ndarray, seed: int, draws: int = 10_000, confidence: float = 0.95
) -> Interval:
    """BCa interval of the mean of `values` [N], where whole clusters are resampled.

    Raises ValueError for fewer than two clusters.
    """
    values = np.asarray(values, float)
    finite("an interval over clusters", values=values)
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    total, size = np.bincount(index, values), np.bincount(index).astype(float)
    if len(total) < 2:
        raise ValueError(f"an interval over clusters needs at least 2 of them, got {len(total)}")
    means = np.concatenate([total[picks].sum(1) / size[picks].sum(1) for picks in resamples(len(total), seed, draws)])
    without = (total.sum() - total) / (size.sum() - size)
    return bca_interval(float(values.mean()), means, without, confidence)


def standard_error(influence: ArrayLike, clusters: Sequence[object] | np.ndarray | None = None) -> float:
    """sd / sqrt(n) of the influence values [n] of samples, whose mean is 0; with clusters, of the clusters' sums.

    For the influence values of one method minus those of another, prompt by prompt, it is the error of the difference
    between the methods.
    """
    values = np.asarray(influence, float)
    finite("a standard error", influence=values)
    if clusters is None:
        return float(values.std(ddof=1) / len(values) ** 0.5)
    sums = np.bincount(np.unique(np.asarray(clusters), return_inverse=True)[1], values)
    return float(sums.std(ddof=1) * len(sums) ** 0.5 / len(values))
