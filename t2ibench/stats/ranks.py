"""Which methods stand above which in a column of the board, and the range of ranks of each method.

If all values of the column can be paired prompt by prompt, the paired test (`t2ibench.stats.paired`) decides, at 5 %,
Holm-adjusted over the pairs of methods. Otherwise A stands above B only if their 95 % intervals do not overlap. This
may leave two methods tied that a paired test would separate, and hardly ever the reverse.
"""

from collections.abc import Sequence

import numpy as np

from t2ibench.stats.finite import finite
from t2ibench.stats.paired import Rule, Value, holm, paired
from t2ibench.stats.pairwise import PairwiseDifferences, differences

LEVEL = 0.05


def above_by_differences(gaps: PairwiseDifferences, count: int, better: str) -> np.ndarray:
    """bool [M, M], M = count: whether method i stands above method j.

    gaps: the differences of all methods. better: "lower" or "higher".
    """
    finite("ranks", differences=gaps.value)
    above = np.zeros((count, count), bool)
    sign = -1 if better == "lower" else 1
    differs, ahead = np.array(holm(gaps.p)) <= LEVEL, sign * gaps.value > 0
    for these, winner, other in ((ahead, gaps.first, gaps.second), (~ahead, gaps.second, gaps.first)):
        above[winner[differs & these], other[differs & these]] = True
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
    return rank_intervals(above_by_differences(differences(values), len(values), better)), "paired"
