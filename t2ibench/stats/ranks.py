"""Which methods stand above which in a column of the board, and the range of ranks of each method.

If all values of the column can be paired prompt by prompt, the paired test (`t2ibench.stats.paired`) decides, at 5 %,
Holm-adjusted over the pairs of methods. Otherwise A stands above B only if their 95 % intervals do not overlap. This
may leave two methods tied that a paired test would separate, and hardly ever the reverse.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from t2ibench.stats.finite import finite
from t2ibench.stats.paired import PairedDifference, Rule, Value, difference, holm, paired

LEVEL = 0.05


def above_by_differences(gaps: Mapping[tuple[int, int], PairedDifference], count: int, better: str) -> np.ndarray:
    """bool [M, M], M = count: whether method i stands above method j.

    gaps: the difference i minus j, for all (i, j) with i < j. better: "lower" or "higher".
    """
    finite("ranks", differences=[gap.value for gap in gaps.values()])
    above = np.zeros((count, count), bool)
    adjusted = holm([gap.p for gap in gaps.values()])
    sign = -1 if better == "lower" else 1
    for ((i, j), gap), p in zip(gaps.items(), adjusted, strict=True):
        if p <= LEVEL:
            above[(i, j) if sign * gap.value > 0 else (j, i)] = True
    return above


def above_by_intervals(intervals: Sequence[tuple[float, float]], better: str) -> np.ndarray:
    """bool [M, M]: whether method i stands above method j, which it does if their intervals do not even touch."""
    finite("ranks", intervals=intervals)
    signed = intervals if better == "lower" else [(-high, -low) for low, high in intervals]
    above = [[first[1] < second[0] for second in signed] for first in signed]
    return np.array(above, bool).reshape(len(signed), len(signed))


def rank_intervals(above: np.ndarray) -> list[tuple[int, int]]:
    """The best and the worst rank of each method.

    The best is 1 + the number of methods above it, the worst the number of all methods - those below it.
    """
    return [(1 + int(above[:, i].sum()), len(above) - int(above[i].sum())) for i in range(len(above))]


def ranks(
    values: Sequence[Sequence[Value]], intervals: Sequence[tuple[float, float]], better: str
) -> tuple[list[tuple[int, int]], Rule]:
    """The rank intervals of methods, and the rule that they come from.

    values: for each method, its value (as in a record) for each run seed. Seeds are averaged before the comparison.
    intervals: the 95 % interval of each method, used if values cannot be paired.
    better: "lower" or "higher".
    """
    if not paired(values):
        return rank_intervals(above_by_intervals(intervals, better)), "intervals"
    gaps = {(i, j): difference(values[i], values[j]) for i, j in combinations(range(len(values)), 2)}
    return rank_intervals(above_by_differences(gaps, len(values), better)), "paired"
