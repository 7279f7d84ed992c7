"""The difference of two methods in one value: its size, its error, and how sure it is; the one test behind ranks,
`compare` and `drift`.

What a record keeps decides how. `per_sample`: a number for every prompt (or source), in the order in which they were
asked for, so that two methods are paired prompt by prompt. `effects`: of a distance between sets, the first-order
effect of every prompt's images on it, and of every real image; the error of a difference is that of the effects'
differences, in which what both methods share falls out. Where a record keeps neither, the two 95 % intervals are taken
as independent, which is too wide wherever methods were given equal prompts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from t2ibench.stats.intervals import Interval, standard_error

Rule = Literal["paired", "intervals"]
Value = Mapping[str, Any]  # of a metric, as in a record
SIDES = ("made", "real")
EQUAL = 1e-12  # gaps that vary by less than this share of their mean do not vary


@dataclass(frozen=True)
class PairedDifference:
    """A minus B. se: its standard error, of a t distribution with `freedom` degrees. p: two-sided, that there is none.

    n: pairs it stands on. spread: the deviation of the pairs' differences, None where there are no pairs.
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
        """Cohen's d of paired samples: the difference in units of the deviation of a pair's; None where that is not
        known, or 0.
        """
        return self.value / self.spread if self.spread else None

    def interval(self, confidence: float = 0.95) -> Interval:
        half = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * self.se
        return self.value - half, self.value + half

    def p_beyond(self, margin: float) -> float:
        """p of two one-sided tests (Schuirmann 1987) that the difference is as large as `margin`: small where it is
        less.
        """
        if self.se == 0:
            return 0.0 if abs(self.value) <= margin else 1.0
        return float(stats.t.sf((margin - abs(self.value)) / self.se, self.freedom))

    def power(self, margin: float, level: float = 0.05) -> float:
        """The chance that two equal methods are shown to be within `margin`, given this error."""
        if self.se == 0:
            return 1.0
        return max(
            0.0, 2 * float(stats.t.cdf(margin / self.se - stats.t.ppf(1 - level, self.freedom), self.freedom)) - 1
        )


def spell(numbers: ArrayLike, digits: int = 3) -> str:
    """Numbers [N] as words of a record, NaN as a dash: one line, not N."""
    return " ".join(
        "-" if math.isnan(number) else f"{number:.{digits}g}" for number in np.asarray(numbers, float).tolist()
    )


def read(text: Any) -> np.ndarray | None:
    """Numbers as a record spells them, float64 [N]: words with spaces between, or one digit each; a dash is NaN.

    None for anything else.
    """
    if not isinstance(text, str) or not text:
        return None
    return np.array([np.nan if word == "-" else float(word) for word in (text.split() if " " in text else text)])


def spell_samples(numbers: ArrayLike, ok: ArrayLike) -> str:
    """Numbers [M] of the samples with an image as words for all samples [N]: one digit each where all are 0 or 1."""
    there, values = np.asarray(ok, bool), np.asarray(numbers, float)
    every = np.full(len(there), np.nan)
    every[there] = values
    return (
        "".join("-" if math.isnan(v) else str(int(v)) for v in every)
        if np.isin(values, (0.0, 1.0)).all()
        else spell(every)
    )


def by_prompt(effects: ArrayLike, prompts: Sequence[str], ok: ArrayLike) -> str:
    """The effects [M] of the samples with an image as one word a prompt, in the order of `prompts` [N]; a dash for one
    without an image.

    With K prompts of M samples a prompt's word is the sum of its effects times K / M, so that the words have the error
    of the whole.
    """
    there = np.asarray(ok, bool)
    names = list(dict.fromkeys(prompts))
    place = {name: row for row, name in enumerate(names)}
    rows = np.array([place[name] for name in prompts])[there]
    count, total = (
        np.bincount(rows, minlength=len(names)),
        np.bincount(rows, np.asarray(effects, float), minlength=len(names)),
    )
    return spell(np.where(count > 0, total * (count > 0).sum() / len(rows), np.nan))


def per_sample(value: Value) -> np.ndarray | None:
    """A value's samples in their order, float64 [N], NaN where there was no image; None where the record does not keep
    them.
    """
    return read(value["details"].get("per_sample"))


def effects(value: Value) -> tuple[np.ndarray, np.ndarray] | None:
    """A value's effects, of prompts and of real images, float64 [N] and [R]; None where the record does not keep them.

    Those of real images are 0 where a value looks at none.
    """
    kept = value["details"].get("effects")
    found = (
        [read(kept.get(side, "00" if side == "real" else None)) for side in SIDES] if isinstance(kept, Mapping) else []
    )
    made, real = found if len(found) == len(SIDES) else (None, None)
    return None if made is None or real is None else (made, real)


def difference(a: Sequence[Value], b: Sequence[Value]) -> PairedDifference:
    """A minus B, each a metric's value under one or more run seeds; seeds are averaged, prompt by prompt where these
    are kept.
    """
    samples = [[per_sample(value) for value in side] for side in (a, b)]
    if (means := _means(samples)) is not None:
        return between_samples(*means)
    of_sets = [[effects(value) for value in side] for side in (a, b)]
    if all(pair is not None for side in of_sets for pair in side):
        made, real = (
            _means([[pair[i] for pair in side if pair is not None] for side in of_sets], centred=True) for i in range(2)
        )
        if made is not None and real is not None:
            return between_effects(_mean(a) - _mean(b), made, real)
    return between_intervals(a, b)


def between_samples(a: np.ndarray, b: np.ndarray) -> PairedDifference:
    """Paired over the rows [N] that both have: a t-test, or McNemar's exact test where all samples are hits and misses.

    Equal samples have p = 1. Raises ValueError below two such rows.
    """
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


def between_effects(value: float, made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> PairedDifference:
    """Of two distances to one set of real images that differ by `value`, from the effects of A and of B on either
    side.
    """
    gap_made, gap_real = np.nan_to_num(made[0]) - np.nan_to_num(made[1]), real[0] - real[1]
    n, se = len(gap_made), math.hypot(standard_error(gap_made), standard_error(gap_real))
    return PairedDifference(value, se, n - 1, _p(value, se, n - 1), n, float(gap_made.std(ddof=1)), "paired")


def between_intervals(a: Sequence[Value], b: Sequence[Value]) -> PairedDifference:
    """From the values and their 95 % intervals alone, as if the two were independent."""
    halves = [float(np.mean([value["ci"][1] - value["ci"][0] for value in side])) / 2 for side in (a, b)]
    value, se = _mean(a) - _mean(b), math.hypot(*halves) / float(stats.norm.ppf(0.975))
    return PairedDifference(
        value, se, math.inf, _p(value, se, math.inf), min(value["n"] for value in (*a, *b)), None, "intervals"
    )


def paired(values: Sequence[Sequence[Value]]) -> bool:
    """Whether any two of these methods, each with its values of every run seed, can be paired."""
    flat = [value for seeds in values for value in seeds]
    if len({len(seeds) for seeds in values}) != 1:
        return False
    kept: list[tuple[np.ndarray, ...] | None] = [
        None if (rows := per_sample(value)) is None else (rows,) for value in flat
    ]
    if any(arrays is None for arrays in kept):
        kept = [effects(value) for value in flat]
    return len({None if arrays is None else tuple(map(len, arrays)) for arrays in kept}) == 1 and kept[0] is not None


def _means(sides: Sequence[Sequence[np.ndarray | None]], centred: bool = False) -> list[np.ndarray] | None:
    """The mean over seeds of either side's rows; None where rows are not kept, or not equally many. centred: their mean
    is 0.
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
    """Two-sided p of a t-test; 1 for no difference at all, 0 for one without any error."""
    if se == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / se, freedom))


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """Exact two-sided p that two methods hit equally often; a, b: hits (bool [N]) on the same prompts."""
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return 1.0 if only_a + only_b == 0 else float(stats.binomtest(only_a, only_a + only_b).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being a family, in their order: reject those at or below the level you would use for
    one.
    """
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted
