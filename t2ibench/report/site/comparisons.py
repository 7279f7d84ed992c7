"""Every two methods of a board compared: metric by metric, and attribute pair by attribute pair.

The comparisons are those of `t2ibench compare`, with its default margin. They are made when the site is written, so the
pages show them and compute nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2ibench.report.board import Board
from t2ibench.report.breakdown import breakdowns
from t2ibench.report.compare import Comparison, Margins, MetricComparison, compare, figures, p_text
from t2ibench.report.site.contents import BoardContents
from t2ibench.stats.paired import between_samples, holm, per_sample

Record = Mapping[str, Any]
MOST = 24  # rows of a board of which every two are compared; of a longer board, its first


@dataclass(frozen=True)
class PairDifference:
    """The difference of two methods in one attribute pair: A minus B.

    value: the id of the value that the pair is a part of.
    low, high: its 95 % interval.
    p: the p-value of no difference, Holm-adjusted over the pairs of the value.
    """

    value: str
    pair: str
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Compared:
    """A compared with B on one board. pairs: the attribute pairs of the headline values."""

    a: str
    b: str
    comparison: Comparison
    pairs: Sequence[PairDifference]

    @property
    def by_metric(self) -> dict[str, MetricComparison]:
        return {line.metric: line for line in self.comparison.lines}


def names_of(board: Board) -> list[str]:
    """The rows of a board that are compared with one another, at most MOST."""
    return [row.method for row in board.rows][:MOST]


def comparisons(one: BoardContents) -> Iterator[tuple[str, list[Compared]]]:
    """For each compared row B of a board: every other row A, compared with it."""
    of: dict[str, list[Record]] = {}
    for record in one.records:
        if not record["partial"]:
            of.setdefault(record["method"], []).append(record)
    names, headline = names_of(one.board), [column.id for column in one.board.columns if column.headline]
    known: dict[tuple[str, str], list[PairDifference]] = {}
    for b in names:
        compared = []
        for a in names:
            if a == b:
                continue
            if (b, a) in known:  # the same tests, seen from the other side
                pairs = [_turned(entry) for entry in known[b, a]]
            else:
                pairs = known[a, b] = [entry for id in headline for entry in pair_differences(id, of[a], of[b])]
            compared.append(Compared(a, b, compare(of[a], of[b], Margins(), everything=True), pairs))
        yield b, compared


def pair_differences(id: str, a: Sequence[Record], b: Sequence[Record]) -> list[PairDifference]:
    """The paired differences of two methods in the attribute pairs of a value.

    Empty where the value keeps no samples of pairs, and where the two are of different protocols or seeds.
    """
    if {record["seed"] for record in a} != {record["seed"] for record in b}:
        return []
    sides = [[record["values"].get(id) for record in side] for side in (a, b)]
    values = [value for side in sides for value in side if value is not None]
    if len(values) != len(a) + len(b) or len({value["protocol_id"] for value in values}) > 1:
        return []
    protocol = values[0]["protocol"]
    listed = protocol.get("judged", protocol.get("pairs"))
    if not isinstance(listed, list) or not listed:
        return []
    arrays = []
    for side in sides:
        rows = [numbers for value in side if value is not None and (numbers := per_sample(value)) is not None]
        if len(rows) != len(side) or any(len(numbers) % len(listed) for numbers in rows):
            return []
        arrays.append(np.mean(rows, axis=0).reshape(len(listed), -1))  # [P, n]
    if arrays[0].shape != arrays[1].shape or arrays[0].shape[1] < 2:
        return []
    tests = [between_samples(first, second) for first, second in zip(*arrays, strict=True)]
    return [
        PairDifference(id, pair, test.value, *test.interval(), p)
        for pair, test, p in zip(listed, tests, holm([test.p for test in tests]), strict=True)
    ]


def _turned(entry: PairDifference) -> PairDifference:
    return PairDifference(entry.value, entry.pair, -entry.difference, -entry.high, -entry.low, entry.p)


def as_data(compared: Compared, headline: Sequence[str]) -> dict[str, Any]:
    """A comparison as the script of the page takes it."""
    comparison = compared.comparison
    return {
        "lines": [_line(line, line.metric in headline) for line in comparison.lines],
        "left_out": dict(comparison.left_out),
        "seeds": list(comparison.seeds),
        "pairs": [
            [
                entry.value,
                entry.pair,
                *(float(f"{x:.5g}") for x in (entry.difference, entry.low, entry.high)),
                p_text(entry.p),
                entry.p <= 0.05,
            ]
            for entry in compared.pairs
        ],
    }


def _line(line: MetricComparison, headline: bool) -> dict[str, Any]:
    low, high = line.difference.interval()
    a, b, difference = figures(line)
    return {
        "metric": line.metric,
        "better": line.better,
        "headline": headline,
        "a": line.a,
        "b": line.b,
        "difference": line.difference.value,
        "low": low,
        "high": high,
        "text": [a, b, difference],
        "p": line.p,
        "p_text": p_text(line.p),
        "effect": line.difference.effect,
        "margin": line.margin,
        "p_beyond": line.p_beyond,
        "verdict": line.verdict,
        "negligible": line.negligible,
        "rule": line.difference.rule,
        "notes": list(line.notes),
    }


def parts_data(one: BoardContents) -> dict[str, Any]:
    """The parts of all values, by method, as the script of the page takes them.

    A part is [value, low, high, n, mark], without an interval [value, null, null, n, ""]; null where a method has none.
    """
    tables: list[dict[str, Any]] = []
    pairs = one.pairs
    if pairs is not None:
        rows = [
            {
                "heading": line.heading,
                "name": line.pair,
                "shares": True,
                "parts": [
                    None
                    if rate is None or rate.value is None
                    else [*map(_short, (rate.value, rate.low, rate.high)), rate.n, "" if rate.corrected else "°"]
                    for rate in line.rates
                ],
            }
            for line in pairs.lines
        ]
        tables.append(
            {"group": pairs.group, "pairs": True, "methods": [name for name, _ in pairs.methods], "rows": rows}
        )
    for table in breakdowns(one.board, one.records):
        if pairs is not None and table.group == pairs.group:
            continue
        rows = [
            {
                "heading": line.heading,
                "name": line.name,
                "shares": line.shares,
                "parts": [
                    None
                    if part is None
                    else [
                        _short(part.value),
                        *(map(_short, part.interval) if part.interval else (None, None)),
                        part.n,
                        "",
                    ]
                    for part in line.parts
                ],
            }
            for line in table.lines
        ]
        tables.append({"group": table.group, "pairs": False, "methods": list(table.methods), "rows": rows})
    return {"tables": tables}


def _short(number: float) -> float:
    return float(f"{number:.4g}")
