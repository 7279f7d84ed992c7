"""Compares two methods metric by metric: how far they are apart, whether by more than chance, and whether it matters.

Samples of the same prompt and run seed are paired (`t2ibench.stats.paired`). Every metric is tested twice, at 5 %, and
each of the two tests is Holm-adjusted over the metrics:

- The first tests that there is no difference. If it is rejected, A is `better` or `worse`, or just
  `differs` in a metric where neither direction is better.
- The second, two one-sided tests, tests that the difference is at least as large as a margin. If it is rejected, A and
  B are `equivalent`.

If neither is rejected, the verdict is `no difference shown`, which does not mean that they are equal. Numbers of
different protocols are not compared.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from t2ibench.core import records
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.report.board import decimals_of
from t2ibench.stats.paired import PairedDifference, difference, holm

LEVEL = 0.05
Verdict = Literal["better", "worse", "differs", "equivalent", "no difference shown"]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Margin:
    """The largest difference that does not matter.

    size: the difference itself, or a share of B's value.
    relative: whether `size` is a share.
    """

    size: float
    relative: bool = True

    def of(self, value: float) -> float:
        return abs(value) * self.size if self.relative else self.size


@dataclass(frozen=True)
class Margins:
    """The margin of every metric.

    others: the margin of the metrics that have none of their own.
    own: margins of single metrics, by id.
    """

    others: Margin = field(default_factory=lambda: Margin(0.05))
    own: Mapping[str, Margin] = field(default_factory=dict)

    def of(self, metric: str) -> Margin:
        return self.own.get(metric, self.others)

    def check(self, ids: Iterable[str]) -> None:
        """Raise UserError for a margin of a value that is none of these."""
        known = list(ids)
        for id in self.own:
            if id not in known:
                raise UserError(f"--margin: {id} is not compared{did_you_mean(id, known)}")


@dataclass(frozen=True)
class MetricComparison:
    """The comparison in one metric.

    metric, better: the id of the values, and which direction is better.
    a, b: the values of A and B, means over their seeds.
    difference: A minus B.
    p: the adjusted p-value of no difference.
    margin: the largest difference that does not matter, in units of the metric.
    p_beyond: the adjusted p-value of a difference at least as large as the margin.
    verdict: what the two p-values say of A.
    notes: reasons for caution.
    """

    metric: str
    better: str
    a: float
    b: float
    difference: PairedDifference
    p: float
    margin: float
    p_beyond: float
    verdict: Verdict
    notes: tuple[str, ...] = ()

    @property
    def negligible(self) -> bool:
        """Whether the difference is shown to be within the margin. There may be a difference all the same."""
        return self.p_beyond <= LEVEL


@dataclass(frozen=True)
class Comparison:
    """The comparison of A and B in one track of one suite.

    suite, track: where they are compared.
    a, b: their names.
    seeds: the run seeds that are paired; empty where A and B have no seed in common.
    lines: one comparison for each metric.
    left_out: the metrics that are not compared, each with the reason.
    """

    suite: str
    track: str
    a: str
    b: str
    seeds: tuple[int, ...]
    lines: tuple[MetricComparison, ...]
    left_out: Mapping[str, str]


def compare(
    a: Sequence[Record], b: Sequence[Record], margins: Margins, metrics: Sequence[str] = (), *, everything: bool = False
) -> Comparison:
    """Compare the records of one method with the records of another, in one track.

    a, b: the records of each, for one or more run seeds. Where they have run seeds in common, only these count.
        Otherwise, and where images of a side do not follow from seeds, the prompts are paired over different seeds.
    margins: the largest differences that do not matter.
    metrics: ids of the values to compare; empty: those in the suite's columns.
    everything: compare all values where `metrics` is empty.

    Raises UserError for a metric that neither has.
    """
    common = sorted({record["seed"] for record in a} & {record["seed"] for record in b})
    if any(record["facts"].get("unseeded") for record in (*a, *b)):
        common = []
    if common:
        a, b = ([record for record in side if record["seed"] in common] for side in (a, b))
    differences: dict[str, tuple[float, float, PairedDifference]] = {}
    left_out: dict[str, str] = {}
    for id in ids_of([*a, *b], metrics, everything):
        if (reason := _incomparable(id, a, b)) is not None:
            left_out[id] = reason
            continue
        sides = [[record["values"][id] for record in side] for side in (a, b)]
        try:
            one, other = (fmean(value["value"] for value in side) for side in sides)
            differences[id] = (one, other, difference(*sides))
        except ValueError as error:
            left_out[id] = str(error)
    lines = tuple(
        replace(line, notes=_notes(line.metric, a, b))
        for line in compared_in(differences, {id: str(a[0]["values"][id]["better"]) for id in differences}, margins)
    )
    first = a[0]
    return Comparison(first["suite"], first["track"], _name(a, b, 0), _name(a, b, 1), tuple(common), lines, left_out)


def ids_of(found: Sequence[Record], metrics: Sequence[str], everything: bool) -> list[str]:
    """The values to compare: those asked for, else the suite's columns, or all. Raises UserError for another."""
    ids = list(dict.fromkeys(id for r in found for id in [*r["columns"], *r["values"]] if id in r["values"]))
    shown = [id for id in ids if any(id in record["columns"] for record in found)]
    if unknown := [id for id in metrics if id not in ids]:
        raise UserError(f"--metrics: no value is called {unknown[0]!r}{did_you_mean(unknown[0], ids)}")
    return list(metrics) or (ids if everything or not shown else shown)


def compared_in(
    differences: Mapping[str, tuple[float, float, PairedDifference]], better: Mapping[str, str], margins: Margins
) -> tuple[MetricComparison, ...]:
    """The lines of a comparison, Holm-adjusted over its metrics.

    differences: of each metric the values of A and B, and their difference.
    better: which direction of each metric is better.
    """
    margin = {id: margins.of(id).of(b) for id, (_, b, _) in differences.items()}
    p = holm([gap.p for _, _, gap in differences.values()])
    p_beyond = holm([gap.p_beyond(margin[id]) for id, (_, _, gap) in differences.items()])
    return tuple(
        MetricComparison(id, better[id], a, b, gap, one, margin[id], other, verdict(gap, better[id], one, other))
        for (id, (a, b, gap)), one, other in zip(differences.items(), p, p_beyond, strict=True)
    )


def verdict(gap: PairedDifference, better: str, p: float, p_beyond: float) -> Verdict:
    """The verdict on A by its two adjusted p-values."""
    if p <= LEVEL:
        if better == "none":
            return "differs"
        return "better" if (gap.value > 0) == (better == "higher") else "worse"
    return "equivalent" if p_beyond <= LEVEL else "no difference shown"


def pairs(
    a: str, b: str, folder: Path, suite: str | None, track: str | None
) -> list[tuple[list[Record], list[Record]]]:
    """The records of the two sides that the command line names, matched by suite and track.

    a, b: a method id in `folder`, or the path of a record or of a folder of records. Where a path has several methods,
        those with the same id are matched.
    folder: the records in which method ids are looked up.
    suite, track: if given, only their records count.

    Raises UserError where a word names nothing, or nothing matches.
    """
    sides = [_grouped(word, folder, suite, track) for word in (a, b)]
    single = all(len({method for _, method in side}) == 1 for side in sides)
    keys = [{place if single else (place, method): group for (place, method), group in side.items()} for side in sides]
    matched = [(keys[0][key], keys[1][key]) for key in keys[0] if key in keys[1]]
    if not matched:
        has = [", ".join(sorted({f"{method} ({place})" for place, method in side})) for side in sides]
        raise UserError(f"nothing in common to compare: {a} has {has[0]}; {b} has {has[1]}")
    return matched


def margins_of(texts: Sequence[str]) -> Margins:
    """The margins that the command line gives.

    "2%" or "0.1" is for all metrics, "fid=2%" or "clip_score=0.001" for one.
    """
    others, own = Margins().others, {}
    given: set[str] = set()
    for text in texts:
        metric, equals, size = (part.strip() for part in text.rpartition("="))
        if metric in given:
            raise UserError(
                f"--margin {text!r}: {metric or 'a margin for all metrics'} was given before: leave one out"
            )
        given.add(metric)
        try:
            margin = Margin(float(size[:-1]) / 100) if size.endswith("%") else Margin(float(size), relative=False)
        except ValueError:
            margin = Margin(-1)
        if not 0 < margin.size < math.inf or (equals and not metric):
            raise UserError(f"--margin {text!r}: expected 2%, 0.1, or METRIC=2%, with a number above 0")
        if metric:
            own[metric] = margin
        else:
            others = margin
    return Margins(others, own)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison for another program, with 95 % intervals."""
    return {**asdict(comparison), "lines": [line_as_json(line) for line in comparison.lines]}


def line_as_json(line: MetricComparison) -> dict[str, Any]:
    content = asdict(line)
    gap = content.pop("difference")
    gap["freedom"] = None if gap["freedom"] == float("inf") else gap["freedom"]
    return {**content, "difference": {**gap, "ci": list(line.difference.interval()), "effect": line.difference.effect}}


def figures(line: MetricComparison) -> list[str]:
    """A, B, and their difference with its interval, as text with the decimals that the interval deserves.

    A "~" stands beside a difference for which no samples could be paired.
    """
    gap = line.difference
    low, high = gap.interval()
    decimals = decimals_of((high - low) / 2)
    a, b, value, *ends = (
        f"{number:.{decimals}f}".replace("-", "−") for number in (line.a, line.b, gap.value, low, high)
    )
    return [a, b, f"{value}{'~' if gap.rule == 'intervals' else ''} [{', '.join(ends)}]"]


def p_text(p: float) -> str:
    return "<1e-4" if p < 1e-4 else f"{p:.2g}"


def _grouped(word: str, folder: Path, suite: str | None, track: str | None) -> dict[tuple[str, str], list[Record]]:
    """The records that a word names, by ("suite: track", method)."""
    path = Path(word)
    rows: list[Record] = list(records.load(path if path.exists() else folder))
    if not path.exists():
        methods = {record["method"] for record in rows}
        if word not in methods:
            raise UserError(
                f"{folder} has no record of a method {word!r}{did_you_mean(word, methods)}; or give a record or a "
                f"folder of them"
            )
        rows = [record for record in rows if record["method"] == word]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in rows:
        if suite in (None, record["suite"]) and track in (None, record["track"]):
            groups.setdefault((f"{record['suite']}: {record['track']}", record["method"]), []).append(record)
    if not groups:
        raise UserError(
            f"{word}: no record is of {' and '.join(name for name in (suite, track) if name)}: see its folders"
        )
    return groups


def _incomparable(id: str, a: Sequence[Record], b: Sequence[Record]) -> str | None:
    """Why two sides cannot be compared in a value; None where they can."""
    for side in (a, b):
        if any(id not in record["values"] for record in side):
            record = next(record for record in side if id not in record["values"])
            return f"{record['method']} has none of seed {record['seed']}"
    values = {value["protocol_id"]: value for value in (record["values"][id] for record in (*a, *b))}
    if len(values) == 1:
        return None
    one, other, *_ = (values[id] for id in values)
    return f"different protocols: {' and '.join(values)}: {records.difference(one['protocol'], other['protocol'])}"


def _notes(id: str, a: Sequence[Record], b: Sequence[Record]) -> tuple[str, ...]:
    notes = [
        f"{name} was made for this judge"
        for name in dict.fromkeys(r["method"] for r in (*a, *b) if id in r["judge_overlap"])
    ]
    notes += [f"{name} is partial" for name in dict.fromkeys(r["method"] for r in (*a, *b) if r["partial"])]
    return tuple(notes)


def _name(a: Sequence[Record], b: Sequence[Record], side: int) -> str:
    """The name of a side: its method, with "A" or "B" before it where both sides are records of one method."""
    same = a[0]["method"] == b[0]["method"]
    return f"{'AB'[side]}: {a[0]['method']}" if same else (a, b)[side][0]["method"]
