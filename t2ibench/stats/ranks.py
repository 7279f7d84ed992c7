"""Who stands above whom in a column of the board, and the range of ranks that this leaves to each method.

Where every method's value can be paired prompt by prompt (`t2ibench.stats.paired`), two methods are told apart by the
paired test, Holm-adjusted over the pairs of the column, at 5 %. Elsewhere A stands above B only where their 95 %
intervals do not overlap, which may call two methods tied that a paired test would tell apart, and hardly ever the
reverse.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from t2ibench.stats.paired import PairedDifference, Rule, Value, difference, holm, paired

LEVEL = 0.05


def above_by_differences(found: Mapping[tuple[int, int], PairedDifference], count: int, better: str) -> np.ndarray:
    """bool [M, M]: whether method i of `count` stands above method j, from the differences i minus j of all pairs i <
    j.
    """
    above = np.zeros((count, count), bool)
    adjusted = holm([found[pair].p for pair in found])
    sign = -1 if better == "lower" else 1
    for ((i, j), gap), p in zip(found.items(), adjusted, strict=True):
        if p <= LEVEL:
            above[(i, j) if sign * gap.value > 0 else (j, i)] = True
    return above


def above_by_intervals(intervals: Sequence[tuple[float, float]], better: str) -> np.ndarray:
    """bool [M, M]: whether method i stands above method j because their intervals do not even touch."""
    signed = intervals if better == "lower" else [(-high, -low) for low, high in intervals]
    return np.array([[own[1] < other[0] for other in signed] for own in signed], bool).reshape(len(signed), len(signed))


def rank_intervals(above: np.ndarray) -> list[tuple[int, int]]:
    """The best and the worst rank of each method: 1 + those that stand above it, and all - those that it stands
    above.
    """
    return [(1 + int(above[:, i].sum()), len(above) - int(above[i].sum())) for i in range(len(above))]


def ranks(
    values: Sequence[Sequence[Value]], intervals: Sequence[tuple[float, float]], better: str
) -> tuple[list[tuple[int, int]], Rule]:
    """Rank intervals of methods and the rule they come from. values: of each method, its values (as in a record) of
    every run seed.

    Several seeds of a prompt are averaged before methods are compared.
    """
    if not paired(values):
        return rank_intervals(above_by_intervals(intervals, better)), "intervals"
    found = {(i, j): difference(values[i], values[j]) for i, j in combinations(range(len(values)), 2)}
    return rank_intervals(above_by_differences(found, len(values), better)), "paired"
