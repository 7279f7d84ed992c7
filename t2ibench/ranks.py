"""Who stands above whom in a column of the board, and the range of ranks that this leaves to each method.

Where every method's value keeps its samples, the samples of two methods are compared prompt by prompt: a paired t-test, Holm-adjusted over
the pairs of the column, at 5 %. Elsewhere A stands above B only where their 95 % intervals do not overlap, which may call two methods
tied that a paired test would tell apart, and hardly ever the reverse.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy import stats

from t2ibench.statistics import holm

LEVEL = 0.05
Rule = Literal["paired", "intervals"]


def per_sample(value: Mapping[str, Any]) -> np.ndarray | None:
    """A value's samples in their order, float64 [N], NaN where there was no image; None where the record does not keep them.

    They are spelled as words with spaces between, or as one digit each, with a dash for a missing one.
    """
    text = value["details"].get("per_sample")
    if not isinstance(text, str) or not text:
        return None
    return np.array([np.nan if word == "-" else float(word) for word in (text.split() if " " in text else text)])


def paired_p(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p of a paired t-test over the rows that both have; 1 for equal samples. Raises ValueError below two such rows."""
    gap = a - b
    gap = gap[~np.isnan(gap)]
    if len(gap) < 2:
        raise ValueError(f"a paired test needs two prompts that both methods answered, got {len(gap)}")
    if not gap.any():
        return 1.0
    return float(stats.ttest_1samp(gap, 0.0).pvalue) if gap.std() > 1e-12 * abs(gap.mean()) else 0.0


def above_by_samples(samples: Sequence[np.ndarray], better: str) -> np.ndarray:
    """bool [M, M]: whether method i stands above method j, from samples of the same prompts, [N] each."""
    above, pairs = np.zeros((len(samples),) * 2, bool), list(combinations(range(len(samples)), 2))
    adjusted = holm([paired_p(samples[i], samples[j]) for i, j in pairs])
    sign = -1 if better == "lower" else 1
    for (i, j), p in zip(pairs, adjusted, strict=True):
        if p <= LEVEL:
            first = sign * np.nanmean(samples[i] - samples[j]) > 0
            above[(i, j) if first else (j, i)] = True
    return above


def above_by_intervals(intervals: Sequence[tuple[float, float]], better: str) -> np.ndarray:
    """bool [M, M]: whether method i stands above method j because their intervals do not even touch."""
    signed = intervals if better == "lower" else [(-high, -low) for low, high in intervals]
    return np.array([[own[1] < other[0] for other in signed] for own in signed], bool).reshape(len(signed), len(signed))


def rank_intervals(above: np.ndarray) -> list[tuple[int, int]]:
    """The best and the worst rank of each method: 1 + those that stand above it, and all - those that it stands above."""
    return [(1 + int(above[:, i].sum()), len(above) - int(above[i].sum())) for i in range(len(above))]


def ranks(
    values: Sequence[Sequence[Mapping[str, Any]]], intervals: Sequence[tuple[float, float]], better: str
) -> tuple[list[tuple[int, int]], Rule]:
    """Rank intervals of methods and the rule they come from. values: of each method, its values (as in a record) of every run seed.

    Several seeds of a prompt are averaged before methods are compared.
    """
    kept = [[per_sample(value) for value in seeds] for seeds in values]
    sizes = {None if sample is None else len(sample) for seeds in kept for sample in seeds}
    if len(sizes) == 1 and None not in sizes and len({len(seeds) for seeds in kept}) == 1:
        means = [np.mean([sample for sample in seeds if sample is not None], axis=0) for seeds in kept]
        return rank_intervals(above_by_samples(means, better)), "paired"
    return rank_intervals(above_by_intervals(intervals, better)), "intervals"
