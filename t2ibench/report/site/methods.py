"""What the page of a method shows: its numbers on every board, its pairs, and the claims about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.report.board import Column, Row
from t2ibench.report.pair_charts import Rate
from t2ibench.report.site.contents import BoardContents, Claim, Contents
from t2ibench.report.site.facts import Facts

MOST = 8  # pairs at each end


@dataclass(frozen=True)
class PairRate:
    """An attribute pair and how often the method draws it."""

    pair: str
    heading: str
    train_n: int
    rate: Rate


@dataclass(frozen=True)
class OnBoard:
    """A method on one board.

    one: the board.
    row: its row; None where its records are partial.
    why_off: why it is not on the board.
    columns: the columns in which it has a value.
    best, worst: the attribute pairs that it draws most and least often, at most MOST of each.
    """

    one: BoardContents
    row: Row | None
    why_off: str
    columns: Sequence[Column]
    best: Sequence[PairRate]
    worst: Sequence[PairRate]


def on_boards(contents: Contents, suite: str, method: str) -> list[OnBoard]:
    """A method on every board of its suite that it takes part in."""
    found = []
    for one in contents.boards:
        if one.board.suite != suite or method not in one.facts:
            continue
        row = next((row for row in one.board.rows if row.method == method), None)
        why = "; ".join(why for name, why in one.board.off if name == method)
        columns = [column for column in one.board.columns if row is not None and column.id in row.cells]
        ordered = _pairs(one, method) if row is not None else []
        worst = [entry for entry in ordered[: min(MOST, len(ordered) // 2)]]
        best = list(reversed(ordered[len(ordered) - min(MOST, len(ordered) // 2) :])) if len(ordered) > 1 else []
        found.append(OnBoard(one, row, why, columns, best, worst))
    return found


def _pairs(one: BoardContents, method: str) -> list[PairRate]:
    """The judged pairs of a method, from the one that it draws least often."""
    pairs = one.pairs
    names = [name for name, _ in pairs.methods] if pairs is not None else []
    if pairs is None or method not in names:
        return []
    place = names.index(method)
    rated = [
        PairRate(line.pair, line.heading, line.train_n, rate)
        for line in pairs.lines
        if (rate := line.rates[place]) is not None and rate.value is not None
    ]
    return sorted(rated, key=lambda entry: (entry.rate.value or 0.0, entry.rate.high, entry.pair))


def claims_of(contents: Contents, facts: Facts) -> list[Claim]:
    """The claims that are about a method, or that its paper makes."""
    return [
        claim
        for claim in contents.claims
        if facts.method in claim.entries or (facts.plugin and claim.paper == facts.plugin)
    ]


def settings_of(facts: Facts) -> list[tuple[str, Mapping[str, Any]]]:
    """The settings of a method, once for all tracks in which they are equal: (names of the tracks, settings)."""
    groups: list[tuple[list[str], Mapping[str, Any]]] = []
    for record in facts.records:
        config = record["config"].get("config", {k: v for k, v in record["config"].items() if k != "name"})
        for tracks, known in groups:
            if known == config:
                tracks.append(record["track"])
                break
        else:
            groups.append(([record["track"]], config))
    return [(", ".join(dict.fromkeys(tracks)).replace("_", " "), config) for tracks, config in groups]
