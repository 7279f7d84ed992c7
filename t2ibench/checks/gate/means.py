"""Whether what can be said of single images is equivalent on average: two one-sided tests on differences of pairs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from t2ibench.checks.gate.distances import detail
from t2ibench.stats.paired import between_samples

ALPHA = 0.05
SHARE = 0.25  # of the deviation of A's values: the margin where none is given
POWER = 17.8  # r^2 times this is the number of pairs for a power of 99 %


@dataclass(frozen=True)
class Mean:
    """One value on average over the pairs.

    name: of the value. difference: B minus A, with half the width of its 90 % interval. margin: how far it may be off.
    r: the deviation of the differences over the margin. enough: pairs that a power of 99 % needs.
    status: "pass" inside the margin, "fail" wholly outside, "open" where the interval crosses it.
    """

    name: str
    difference: float
    half: float
    margin: float
    r: float
    enough: int
    status: Literal["pass", "fail", "open"]


def of_image(image: np.ndarray) -> dict[str, float]:
    """What can be said of any image uint8 [H, W, 3]: brightness and contrast in grey levels, and detail."""
    return {"brightness": float(image.mean()), "contrast": float(image.std()), "detail": detail(image)}


def columns(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """What can be said of images, [N] by name."""
    rows = [of_image(image) for image in images]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def margins(a: Mapping[str, np.ndarray], reruns: Iterable[Mapping[str, np.ndarray]], factor: float) -> dict[str, float]:
    """How far each mean may be off: a quarter of the deviation of A's values, or `factor` times what reruns move it."""
    again = list(reruns)
    moved = {
        name: max((abs(float(one[name].mean() - a[name].mean())) for one in again if name in one), default=0.0)
        for name in a
    }
    return {name: max(SHARE * float(values.std(ddof=1)), factor * moved[name]) for name, values in a.items()}


def equivalence(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], margins: Mapping[str, float]) -> list[Mean]:
    """Every value [N] of A and B, against its margin."""
    found = []
    for name, values in a.items():
        margin = margins[name]
        gap = between_samples(b[name], values)
        half = float(stats.t.ppf(1 - ALPHA, gap.freedom)) * gap.se
        away = abs(gap.value)
        status: Literal["pass", "fail", "open"] = "open"
        if away + half < margin or away + half == 0:
            status = "pass"
        elif away - half > margin:
            status = "fail"
        r = (gap.spread or 0.0) / margin if margin else math.inf
        enough = math.ceil(max(2.0, POWER * r * r)) if math.isfinite(r) else 0
        found.append(Mean(name, gap.value, half, margin, r, enough, status))
    return found
