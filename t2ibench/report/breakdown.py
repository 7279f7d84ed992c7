"""What a value is made of, as a table of all methods: the parts that a record keeps in the details of a value.

A part is an entry of a list in `details` with `n`, a number, and right after it its `ci`; its first text is its name, and the first of its
`roles`, where it has them, the heading it stands under. Numbers are shares in [0, 1], and shade their cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.table import Board


@dataclass(frozen=True)
class Part:
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Line:
    """One part for every row of the board; None where a method has no such part."""

    name: str
    heading: str
    parts: Sequence[Part | None]


@dataclass(frozen=True)
class Breakdown:
    group: str  # the plug-in that made it
    methods: Sequence[str]
    lines: Sequence[Line]


def breakdowns(board: Board, found: Sequence[Mapping[str, Any]]) -> list[Breakdown]:
    """Every breakdown of a board, from the first run seed of each method."""
    parts: dict[str, dict[str, dict[tuple[str, str], Part]]] = {}  # by metric plug-in, then method, then (heading, name)
    methods = [row.method for row in board.rows]
    for method in methods:
        record = next(record for record in found if (record["track"], record["method"]) == (board.track, method))
        for value in record["values"].values():
            for entry in _entries(value["details"]):
                heading, name, part = entry
                parts.setdefault(value["metric"], {}).setdefault(method, {})[heading, name] = part
    made = []
    for group, by_method in parts.items():
        names = dict.fromkeys(key for entries in by_method.values() for key in entries)
        headings = list(dict.fromkeys(heading for heading, _ in names))
        ordered = sorted(names, key=lambda key: headings.index(key[0]))
        lines = [Line(name, heading, [by_method.get(m, {}).get((heading, name)) for m in methods]) for heading, name in ordered]
        made.append(Breakdown(group, methods, lines))
    return made


def _entries(details: Mapping[str, Any]) -> list[tuple[str, str, Part]]:
    lists = [content for content in details.values() if isinstance(content, list)]
    return [part for content in lists for entry in content if isinstance(entry, dict) and (part := _part(entry)) is not None]


def _part(entry: Mapping[str, Any]) -> tuple[str, str, Part] | None:
    keys = list(entry)
    name = next((value for value in entry.values() if isinstance(value, str)), None)
    if name is None or "n" not in entry or "ci" not in entry or keys.index("ci") == 0:
        return None
    value = entry[keys[keys.index("ci") - 1]]
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    roles = entry.get("roles") or [""]
    return str(roles[0]), name, Part(float(value), float(entry["ci"][0]), float(entry["ci"][1]), int(entry["n"]))
