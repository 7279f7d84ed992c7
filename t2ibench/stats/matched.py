"""Two curves compared where both have reached the same: what does a method keep at a success of one half?

A method with a strength (a step, a guidance, a number of steps) is a curve of values, and two methods at their defaults
are two points of two curves. Both are read off where a metric x, such as the success of edits, has the same value.
Between two strengths, x and every other metric y are taken as straight lines. The strength is then estimated from the
same samples as y, and its error is part of the error of y: the numbers of samples below hold both (delta method).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from t2ibench.stats.finite import finite, not_infinite


class Place(NamedTuple):
    """Where a curve has a value: `share` of the way from the point `left` to the next one."""

    left: int
    share: float

    def between(self, values: Sequence[float]) -> float:
        """A number that the points of the curve have, on the straight line between the two."""
        return float((1 - self.share) * values[self.left] + self.share * values[self.left + 1])


def place(xs: Sequence[float], target: float) -> Place | None:
    """Where the curve first reaches `target`, from its first point on; None if it never does."""
    finite("a curve", points=xs, target=target)
    for left, (one, other) in enumerate(pairwise(xs)):
        if min(one, other) <= target <= max(one, other) and one != other:
            return Place(left, (target - one) / (other - one))
    return None


def samples_at(found: Place, target: float, x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> np.ndarray:
    """For each of N samples a number whose mean is y where x is `target`, and whose spread gives its standard error.

    With w the share of the way between points i and k, and s = (Y_k - Y_i) / (X_k - X_i) the slope of the means, it is
    (1 - w) y_i + w y_k - s ((1 - w) x_i + w x_k - target).

    x, y: the samples of the two metrics at each point, [N] each; NaN for a sample without an image.
    """
    not_infinite("a curve", x=np.stack(x), y=np.stack(y))
    i, k, w = found.left, found.left + 1, found.share
    both = ~np.isnan(x[i] + x[k] + y[i] + y[k])
    rise = x[k][both].mean() - x[i][both].mean()
    if rise == 0:
        raise ValueError("the two strengths around the value have the same samples in common")
    slope = (y[k][both].mean() - y[i][both].mean()) / rise
    return (1 - w) * y[i] + w * y[k] - slope * ((1 - w) * x[i] + w * x[k] - target)
