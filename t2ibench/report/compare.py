"""Two methods, metric by metric: how far they are apart, whether that is more than chance, and whether it is less than
matters.

Samples of one prompt and run seed are paired (`t2ibench.stats.paired`). Two families of tests, each Holm-adjusted over
the metrics, at 5 %: that there is no difference (`better`, `worse`), and, two one-sided tests, that the difference is
as large as a margin (`equivalent`). Neither shown is `no difference shown`, which is not equality. Numbers of different
protocols are not compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
    """The largest difference that does not matter: `size` as it stands, or as a share of B's value."""

    size: float
    relative: bool = True

    def of(self, value: float) -> float:
        return abs(value) * self.size if self.relative else self.size


@dataclass(frozen=True)
class Margins:
    """Of every metric: its own, or the one of all others."""

    others: Margin = field(default_factory=lambda: Margin(0.05))
    own: Mapping[str, Margin] = field(default_factory=dict)

    def of(self, metric: str) -> Margin:
        return self.own.get(metric, self.others)


@dataclass(frozen=True)
class MetricComparison:
    """One metric: the values of A and B (means over seeds) and A minus B.

    p, p_beyond: Holm-adjusted over the metrics; p_beyond that the difference is as large as the margin. verdict: on A.
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
        """Whether the difference is shown to be within the margin, also where it is shown to be there."""
        return self.p_beyond <= LEVEL


@dataclass(frozen=True)
class Comparison:
    """A and B in one track of one suite. seeds: run seeds that are paired, none where A and B have none in common.
    left_out: and why.
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
    """Compare the records of one method with those of another, each of one or more run seeds, in one track.

    metrics: only these; without any, the suite's columns, or everything. Where A and B have run seeds in common only
    those count; otherwise prompts are paired over different seeds. Raises UserError for a metric that neither has.
    """
    common = sorted({record["seed"] for record in a} & {record["seed"] for record in b})
    if common:
        a, b = ([record for record in side if record["seed"] in common] for side in (a, b))
    made = list(
        dict.fromkeys(
            id for record in (*a, *b) for id in [*record["columns"], *record["values"]] if id in record["values"]
        )
    )
    shown = [id for id in made if any(id in record["columns"] for record in (*a, *b))]
    if unknown := [id for id in metrics if id not in made]:
        raise UserError(f"--metrics: no value is called {unknown[0]!r}{did_you_mean(unknown[0], made)}")
    found, left_out = {}, {}
    for id in metrics or (made if everything or not shown else shown):
        if (reason := _incomparable(id, a, b)) is not None:
            left_out[id] = reason
            continue
        sides = [[record["values"][id] for record in side] for side in (a, b)]
        try:
            found[id] = (sides, difference(*sides))
        except ValueError as error:
            left_out[id] = str(error)
    of_margin = {id: margins.of(id).of(fmean(value["value"] for value in sides[1])) for id, (sides, _) in found.items()}
    p = dict(zip(found, holm([gap.p for _, gap in found.values()]), strict=True))
    p_beyond = dict(zip(found, holm([gap.p_beyond(of_margin[id]) for id, (_, gap) in found.items()]), strict=True))
    lines = tuple(
        MetricComparison(
            id,
            sides[0][0]["better"],
            fmean(value["value"] for value in sides[0]),
            fmean(value["value"] for value in sides[1]),
            gap,
            p[id],
            of_margin[id],
            p_beyond[id],
            verdict(gap, sides[0][0]["better"], p[id], p_beyond[id]),
            _notes(id, a, b),
        )
        for id, (sides, gap) in found.items()
    )
    first = a[0]
    return Comparison(first["suite"], first["track"], _name(a, b, 0), _name(a, b, 1), tuple(common), lines, left_out)


def verdict(gap: PairedDifference, better: str, p: float, p_beyond: float) -> Verdict:
    """What two adjusted p-values say of A."""
    if p <= LEVEL:
        if better == "none":
            return "differs"
        return "better" if (gap.value > 0) == (better == "higher") else "worse"
    return "equivalent" if p_beyond <= LEVEL else "no difference shown"


def pairs(
    a: str, b: str, folder: Path, suite: str | None, track: str | None
) -> list[tuple[list[Record], list[Record]]]:
    """The records that two words of the command line name, matched by track.

    A word is a method id of `folder`, or a record or folder of records. Where both are paths of several methods, equal
    cells are matched. Raises UserError where a word names nothing, or nothing matches.
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
    """Margins as said on the command line: "2%" or "0.1" for all metrics, "fd_avatars=2%" or "clip_score=0.001" for
    one.
    """
    others, own = Margins().others, {}
    for text in texts:
        metric, equals, size = text.rpartition("=")
        try:
            margin = Margin(float(size[:-1]) / 100) if size.endswith("%") else Margin(float(size), relative=False)
        except ValueError:
            margin = Margin(-1)
        if not margin.size > 0 or (equals and not metric):
            raise UserError(f"--margin {text!r}: expected 2%, 0.1, or METRIC=2%, with a number above 0")
        if metric:
            own[metric] = margin
        else:
            others = margin
    return Margins(others, own)


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison for another program; intervals of 95 %."""
    return {**asdict(found), "lines": [line_as_json(line) for line in found.lines]}


def line_as_json(line: MetricComparison) -> dict[str, Any]:
    content = asdict(line)
    gap = content.pop("difference")
    gap["freedom"] = None if gap["freedom"] == float("inf") else gap["freedom"]
    return {**content, "difference": {**gap, "ci": list(line.difference.interval()), "effect": line.difference.effect}}


def figures(line: MetricComparison) -> list[str]:
    """A, B, and their difference with its interval, as text with as many decimals as the interval is worth; ~ where
    nothing is paired.
    """
    gap = line.difference
    low, high = gap.interval()
    decimals = decimals_of((high - low) / 2)
    a, b, value, *ends = (
        f"{number:.{decimals}f}".replace("-", "−") for number in (line.a, line.b, gap.value, low, high)
    )
    return [a, b, f"{value}{'' if gap.rule == 'paired' else '~'} [{', '.join(ends)}]"]


def p_text(p: float) -> str:
    return "<1e-4" if p < 1e-4 else f"{p:.2g}"


def _grouped(word: str, folder: Path, suite: str | None, track: str | None) -> dict[tuple[str, str], list[Record]]:
    """Records by (track of suite, method)."""
    path = Path(word)
    found: list[Record] = list(records.load(path if path.exists() else folder))
    if not path.exists():
        there = {record["method"] for record in found}
        if word not in there:
            raise UserError(
                f"{folder} has no record of a method {word!r}{did_you_mean(word, there)}; or give a record or a "
                f"folder of them"
            )
        found = [record for record in found if record["method"] == word]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in found:
        if suite in (None, record["suite"]) and track in (None, record["track"]):
            groups.setdefault((f"{record['suite']}: {record['track']}", record["method"]), []).append(record)
    if not groups:
        raise UserError(
            f"{word}: no record is of {' and '.join(part for part in (suite, track) if part)}: see its folders"
        )
    return groups


def _incomparable(id: str, a: Sequence[Record], b: Sequence[Record]) -> str | None:
    """Why two sides cannot be compared in a value."""
    for side in (a, b):
        if any(id not in record["values"] for record in side):
            record = next(record for record in side if id not in record["values"])
            return f"{record['method']} has none of seed {record['seed']}"
    ids = {record["values"][id]["protocol_id"] for record in (*a, *b)}
    return f"different protocols: {' and '.join(sorted(ids))}" if len(ids) > 1 else None


def _notes(id: str, a: Sequence[Record], b: Sequence[Record]) -> tuple[str, ...]:
    notes = [
        f"{name} was made for this judge"
        for name in dict.fromkeys(r["method"] for r in (*a, *b) if id in r["judge_overlap"])
    ]
    notes += [f"{name} is partial" for name in dict.fromkeys(r["method"] for r in (*a, *b) if r["partial"])]
    return tuple(notes)


def _name(a: Sequence[Record], b: Sequence[Record], side: int) -> str:
    """A method's name; A and B where both are records of one method."""
    same = a[0]["method"] == b[0]["method"]
    return f"{'AB'[side]}: {a[0]['method']}" if same else (a, b)[side][0]["method"]
