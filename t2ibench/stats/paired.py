"""The difference of two methods in one value, with its standard error and its p. Ranks, `compare` and `drift` use it.

How it is computed depends on what the records keep:

- `per_sample`: a number for every prompt (or source), in the order of the prompts. The methods are compared prompt by
  prompt.
- `effects`: for a distance between sets, the first-order effect of each prompt's images on it, and of each real image.
  The error comes from the differences of the effects, in which everything that the methods share cancels.
- neither: the two 95 % intervals are taken as independent. This is too wide for methods that were given equal prompts.

Where each method was trained several times, the trainings are what is compared: `between_trainings`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from t2ibench.stats.finite import finite, not_infinite
from t2ibench.stats.intervals import Interval, standard_error

Rule = Literal["paired", "intervals", "trainings"]
Value = Mapping[str, Any]  # a value of a metric, as in a record
SIDES = ("made", "real")
EQUAL = 1e-12  # gaps that vary by less than this share of their mean do not vary


@dataclass(frozen=True)
class PairedDifference:
    """The difference A minus B of two methods.

    value: the difference.
    se: its standard error, of a t distribution.
    freedom: the degrees of freedom of this distribution.
    p: the two-sided p of the hypothesis that there is no difference.
    n: the number of pairs; without pairs, the smallest n of the values.
    spread: the standard deviation of the pairs' differences; None without pairs.
    rule: what was compared: pairs, intervals or trainings.
    """

    value: float
    se: float
    freedom: float
    p: float
    n: int
    spread: float | None
    rule: Rule

    @property
    def effect(self) -> float | None:
        """Cohen's d of paired samples: the difference divided by `spread`. None if that is unknown or 0."""
        return self.value / self.spread if self.spread else None

    def interval(self, confidence: float = 0.95) -> Interval:
        half = float(special.stdtrit(self.freedom, (1 + confidence) / 2)) * self.se
        return self.value - half, self.value + half

    def p_beyond(self, margin: float) -> float:
        """p of two one-sided tests (Schuirmann 1987) of the hypothesis that the difference is as large as `margin`.

        It is small if the difference is smaller than the margin.
        """
        finite("an equivalence test", margin=margin)
        if self.se == 0:
            return 0.0 if abs(self.value) <= margin else 1.0
        return float(special.stdtr(self.freedom, (abs(self.value) - margin) / self.se))

    def visible(self, level: float = 0.05, power: float = 0.8) -> float:
        """The smallest difference that this test finds with a probability of `power`, given this error."""
        return float(special.stdtrit(self.freedom, 1 - level / 2) + special.stdtrit(self.freedom, power)) * self.se

    def provable(self, level: float = 0.05, power: float = 0.8) -> float:
        """The smallest margin within which two equal methods are shown to be with a probability of `power`."""
        return (
            float(special.stdtrit(self.freedom, 1 - level) + special.stdtrit(self.freedom, (1 + power) / 2)) * self.se
        )

    def power(self, margin: float, level: float = 0.05) -> float:
        """The probability that two equal methods are shown to differ by less than `margin`, given this error."""
        finite("the power of a test", margin=margin)
        if self.se == 0:
            return 1.0
        return max(
            0.0, 2 * float(special.stdtr(self.freedom, margin / self.se - special.stdtrit(self.freedom, 1 - level))) - 1
        )


def spell(numbers: ArrayLike, digits: int = 3) -> str:
    """Numbers [N] as one line of words for a record, with a dash for NaN. Raises ValueError for infinity."""
    not_infinite("numbers of a record", numbers=numbers)
    return " ".join(
        "-" if math.isnan(number) else f"{number:.{digits}g}" for number in np.asarray(numbers, float).tolist()
    )


def read(text: Any) -> np.ndarray | None:
    """Numbers [N], float64, from their spelling in a record: words separated by spaces, or one digit each.

    A dash is NaN. Returns None for a value that is not text, or is empty. Raises ValueError for other words, such as
    nan and inf.
    """
    return _numbers(text) if isinstance(text, str) and text else None


@lru_cache(maxsize=1024)
def _numbers(text: str) -> np.ndarray:
    """The numbers of a spelling. They are kept, since all methods of a board are compared with one another."""
    words = text.split() if " " in text else text
    finite("numbers of a record", numbers=[float(word) for word in words if word != "-"])
    numbers = np.array([np.nan if word == "-" else float(word) for word in words])
    numbers.flags.writeable = False
    return numbers


def spell_samples(numbers: ArrayLike, ok: ArrayLike) -> str:
    """The spelling of one number for each of N samples: one digit each if all numbers are 0 or 1, words otherwise.

    numbers: [M], those of the samples that have an image.
    ok: bool [N], which samples have an image; the others get a dash.
    """
    has_image, values = np.asarray(ok, bool), np.asarray(numbers, float)
    finite("numbers of samples", numbers=values)
    every = np.full(len(has_image), np.nan)
    every[has_image] = values
    return (
        "".join("-" if math.isnan(v) else str(int(v)) for v in every)
        if np.isin(values, (0.0, 1.0)).all()
        else spell(every)
    )


def by_prompt(effects: ArrayLike, prompts: Sequence[str], ok: ArrayLike) -> str:
    """The spelling of one effect for each prompt, in the order of their first samples; a dash for one without an image.

    With K prompts and M samples, a prompt's number is the sum of its effects times K / M. So the standard error of the
    numbers is that of the whole value.

    effects: [M], those of the samples that have an image.
    prompts: [N], the prompt of each sample.
    ok: bool [N], which samples have an image.
    """
    has_image = np.asarray(ok, bool)
    finite("effects of prompts", effects=effects)
    names = list(dict.fromkeys(prompts))
    place = {name: row for row, name in enumerate(names)}
    rows = np.array([place[name] for name in prompts])[has_image]
    count, total = (
        np.bincount(rows, minlength=len(names)),
        np.bincount(rows, np.asarray(effects, float), minlength=len(names)),
    )
    return spell(np.where(count > 0, total * (count > 0).sum() / len(rows), np.nan))


def per_sample(value: Value) -> np.ndarray | None:
    """The number of each sample of a value, float64 [N]; NaN for a sample without an image.

    None if the record does not keep them.
    """
    return read(value["details"].get("per_sample"))


def effects(value: Value) -> tuple[np.ndarray, np.ndarray] | None:
    """The effects of prompts and of real images on a value, float64 [N] and [R].

    A value that uses no real images has two effects of 0 for them. None if the record does not keep the effects.
    """
    kept = value["details"].get("effects")
    if not isinstance(kept, Mapping):
        return None
    fake, real = (read(kept.get(side, "00" if side == "real" else None)) for side in SIDES)
    return None if fake is None or real is None else (fake, real)


def difference(a: Sequence[Value], b: Sequence[Value]) -> PairedDifference:
    """The difference A minus B. a, b: a metric's value for each run seed of a method.

    Seeds are averaged: prompt by prompt if the records keep samples or effects.
    """
    samples = [[per_sample(value) for value in method] for method in (a, b)]
    if (averages := means(samples)) is not None:
        return between_samples(*averages)
    of_sets = [[effects(value) for value in method] for method in (a, b)]
    if all(sides is not None for method in of_sets for sides in method):
        fake, real = (
            means([[sides[i] for sides in method if sides is not None] for method in of_sets], centred=True)
            for i in range(2)
        )
        if fake is not None and real is not None:
            return between_effects(_mean(a) - _mean(b), fake, real)
    return between_intervals(a, b)


def between_samples(a: np.ndarray, b: np.ndarray) -> PairedDifference:
    """The difference of samples a and b [N], paired row by row; rows where one of them is NaN are left out.

    p is that of a t-test, or of McNemar's exact test if all samples are 0 or 1. Equal samples have p = 1. Raises
    ValueError for fewer than two rows.
    """
    not_infinite("a paired test", a=a, b=b)
    both = ~np.isnan(a - b)
    gap, n = (a - b)[both], int(both.sum())
    if n < 2:
        raise ValueError(f"a paired test needs two prompts that both methods answered, got {n}")
    value, spread = float(gap.mean()), float(gap.std(ddof=1))
    spread = 0.0 if spread <= EQUAL * abs(value) else spread
    se = spread / math.sqrt(n)
    hits = np.isin(np.concatenate([a[both], b[both]]), (0.0, 1.0)).all()
    p = mcnemar(a[both], b[both]) if hits else _p(value, se, n - 1)
    return PairedDifference(value, se, n - 1, p, n, spread, "paired")


def between_effects(value: float, fake: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> PairedDifference:
    """The difference of two distances to one set of real images, from its size and the effects.

    value: the difference.
    fake: the effects of A's and of B's prompts, [N] each; NaN counts as 0.
    real: the effects of the real images on A's distance and on B's, [R] each.
    """
    finite("a paired test", value=value, real=np.stack(real))
    not_infinite("a paired test", fake=np.stack(fake))
    gap_fake, gap_real = np.nan_to_num(fake[0]) - np.nan_to_num(fake[1]), real[0] - real[1]
    n, se = len(gap_fake), math.hypot(standard_error(gap_fake), standard_error(gap_real))
    return PairedDifference(value, se, n - 1, _p(value, se, n - 1), n, float(gap_fake.std(ddof=1)), "paired")


def between_intervals(a: Sequence[Value], b: Sequence[Value]) -> PairedDifference:
    """The difference from the values and their 95 % intervals alone, as if the methods were independent."""
    halves = [float(np.mean([value["ci"][1] - value["ci"][0] for value in side])) / 2 for side in (a, b)]
    value, se = _mean(a) - _mean(b), math.hypot(*halves) / float(special.ndtri(0.975))
    finite("a comparison", values_and_their_intervals=[value, se])
    return PairedDifference(
        value, se, math.inf, _p(value, se, math.inf), min(value["n"] for value in (*a, *b)), None, "intervals"
    )


def between_trainings(a: ArrayLike, b: ArrayLike) -> PairedDifference:
    """The difference of the mean trainings of two methods, by Welch's t-test (Biometrika 1947).

    a, b: a value of each training of a method, [K] and [L]: networks that differ in the seed of their training alone.
    Raises ValueError for fewer than two trainings of a method.
    """
    sides = [np.asarray(side, float) for side in (a, b)]
    finite("a test between trainings", a=sides[0], b=sides[1])
    if min(map(len, sides)) < 2:
        raise ValueError(f"a test between trainings needs two of each method, got {len(sides[0])} and {len(sides[1])}")
    value = float(sides[0].mean() - sides[1].mean())
    errors = np.array([side.var(ddof=1) / len(side) for side in sides])
    se = math.sqrt(errors.sum())
    shares = (errors / errors.sum()) ** 2 / [len(side) - 1 for side in sides] if se else np.array([0.0])
    freedom = 1 / float(shares.sum()) if se else float(sum(map(len, sides)) - 2)
    return PairedDifference(value, se, freedom, _p(value, se, freedom), min(map(len, sides)), None, "trainings")


def paired(values: Sequence[Sequence[Value]]) -> bool:
    """Whether every two of these methods can be paired. values: for each method, its value for each run seed."""
    flat = [value for seeds in values for value in seeds]
    if len({len(seeds) for seeds in values}) != 1:
        return False
    kept: list[tuple[np.ndarray, ...] | None] = [
        None if (rows := per_sample(value)) is None else (rows,) for value in flat
    ]
    if any(arrays is None for arrays in kept):
        kept = [effects(value) for value in flat]
    return len({None if arrays is None else tuple(map(len, arrays)) for arrays in kept}) == 1 and kept[0] is not None


def means(sides: Sequence[Sequence[np.ndarray | None]], centred: bool = False) -> list[np.ndarray] | None:
    """The rows of each side (or method), averaged over its seeds.

    None if rows are missing, or not equally many everywhere.

    centred: first subtract from the rows of each seed their mean.
    """
    kept = [[rows for rows in side if rows is not None] for side in sides]
    if [len(side) for side in kept] != [len(side) for side in sides] or len(
        {len(rows) for side in kept for rows in side}
    ) != 1:
        return None
    if centred:
        kept = [[rows - np.nanmean(rows) for rows in side] for side in kept]
    return [np.mean(side, axis=0) for side in kept]


def _mean(values: Sequence[Value]) -> float:
    return float(np.mean([value["value"] for value in values]))


def _p(value: float, se: float, freedom: float) -> float:
    """Two-sided p of a t-test. Without any error it is 1 for no difference, and 0 for a difference."""
    if se == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * special.stdtr(freedom, -abs(value) / se))


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """Exact two-sided p of the hypothesis that two methods hit equally often (McNemar, Psychometrika 1947).

    a, b: hits on the same prompts, bool [N].
    """
    finite("McNemar's test", a=a, b=b)
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    # Both tails of a fair coin are equal, so this is scipy.stats.binomtest, in a hundredth of its time.
    return min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: ArrayLike) -> list[float]:
    """The p-values of a family of tests, adjusted (Holm, Scand. J. Stat. 1979), in the same order.

    Reject those at or below the level that you would use for a single test.
    """
    finite("Holm's adjustment", p_values=p_values)
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, (len(p) - np.arange(len(p))) * p[order]))
    return adjusted.tolist()
