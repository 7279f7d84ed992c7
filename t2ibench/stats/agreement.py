"""How well a score agrees with labels of people: the area under the ROC curve, with an interval.

DeLong, DeLong & Clarke-Pearson, Comparing the areas under two or more correlated ROC curves (Biometrics 1988).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import Interval, score_interval


@dataclass(frozen=True)
class Auroc:
    """The probability that a score is higher for a positive label than for a negative one; ties count half.

    value: in [0, 1]; 0.5 for a score that knows nothing.
    ci: its 95 % interval.
    positives, negatives: how many labels there are of each.
    """

    value: float
    ci: Interval
    positives: int
    negatives: int


def auroc(scores: ArrayLike, labels: ArrayLike) -> Auroc:
    """The area under the ROC curve of scores [N] for labels [N], each 0 or 1 (Mann and Whitney's U, scaled).

    The interval is a score interval, whose n is the number that gives DeLong's variance; it stays in [0, 1], and is no
    point where positives and negatives are parted completely. Raises ValueError unless both labels occur twice.
    """
    x, y = np.asarray(scores, float), np.asarray(labels)
    if x.shape != y.shape or x.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise ValueError(f"auroc needs as many labels of 0 or 1 as scores, got {x.shape} and {y.shape}")
    finite("auroc", scores=x)
    positive, negative = x[y == 1], x[y == 0]
    m, n = len(positive), len(negative)
    if min(m, n) < 2:
        raise ValueError(f"auroc needs at least 2 labels of each kind, got {m} positive and {n} negative")
    together = rankdata(np.concatenate([positive, negative]))
    above = (together[:m] - rankdata(positive)) / n  # for each positive, the share of the negatives below it
    below = 1 - (together[m:] - rankdata(negative)) / m  # for each negative, the share of the positives above it
    value = float(above.mean())
    variance = float(above.var(ddof=1) / m + below.var(ddof=1) / n)
    spread = value * (1 - value)
    # parted completely, each label of the rarer kind is one draw
    of_draws = spread / variance if variance > 0 and spread > 0 else float(min(m, n))
    low, high = score_interval(value, of_draws)
    return Auroc(value, (min(low, value), max(high, value)), m, n)
