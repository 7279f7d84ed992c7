"""The parts that values are made of, as a table of all methods. A record keeps them in the `details` of a value.

A part has `n`, and a number with its `ci` right after it. It comes from one of two places in `details`:

- An entry of a list. Its first text is its name. The first of its `roles`, where it has some, is its heading.
- An entry of a mapping from names to parts. Its heading is the id of the value and the key of the mapping. It may have
  a `mean` without `ci`.

Where all parts under a heading are shares in [0, 1], their cells are shaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.report.board import Board


@dataclass(frozen=True)
class Part:
    """One number, its 95 % interval where it has one, and how many samples it is made of."""

    value: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class AttributeRow:
    """One part of every method.

    name, heading: the name of the part, and the heading under which it stands.
    parts: one for every row of the board; None where a method has no such part.
    shares: whether all parts under the heading are shares.
    """

    name: str
    heading: str
    parts: Sequence[Part | None]
    shares: bool


@dataclass(frozen=True)
class Breakdown:
    """The table of one metric: a line a part, a column a method."""

    group: str  # the metric plug-in that made the parts
    methods: Sequence[str]
    lines: Sequence[AttributeRow]


def breakdowns(board: Board, cell_records: Sequence[Mapping[str, Any]]) -> list[Breakdown]:
    """Every breakdown of a board, from the first run seed of each method."""
    parts: dict[
        str, dict[str, dict[tuple[str, str], Part]]
    ] = {}  # by metric plug-in, then method, then (heading, name)
    methods = [row.method for row in board.rows]
    for method in methods:
        record = next(record for record in cell_records if (record["track"], record["method"]) == (board.track, method))
        for id, value in record["values"].items():
            for heading, name, part in [*_listed(value["details"]), *_mapped(id, value["details"])]:
                parts.setdefault(value["metric"], {}).setdefault(method, {})[heading, name] = part
    tables = []
    for group, by_method in parts.items():
        names = dict.fromkeys(key for entries in by_method.values() for key in entries)
        headings = list(dict.fromkeys(heading for heading, _ in names))
        spread = {(key[0], part.value) for entries in by_method.values() for key, part in entries.items()}
        beyond = {heading for heading, value in spread if not 0 <= value <= 1}
        ordered = sorted(names, key=lambda key: headings.index(key[0]))
        lines = [
            AttributeRow(
                name, heading, [by_method.get(m, {}).get((heading, name)) for m in methods], heading not in beyond
            )
            for heading, name in ordered
        ]
        tables.append(Breakdown(group, methods, lines))
    return tables


def _listed(details: Mapping[str, Any]) -> list[tuple[str, str, Part]]:
    """The heading, the name and the part of every entry of the lists, if it is a share."""
    rows = []
    for entry in [
        entry
        for content in details.values()
        if isinstance(content, list)
        for entry in content
        if isinstance(entry, dict)
    ]:
        name, part = next((value for value in entry.values() if isinstance(value, str)), None), _part(entry)
        if name is not None and part is not None and part.interval is not None and 0 <= part.value <= 1:
            rows.append((str((entry.get("roles") or [""])[0]), name, part))
    return rows


def _mapped(id: str, details: Mapping[str, Any]) -> list[tuple[str, str, Part]]:
    """The heading, the name and the part of every entry of the mappings."""
    mappings = [(key, content) for key, content in details.items() if isinstance(content, dict)]
    entries = [
        (key, name, entry) for key, content in mappings for name, entry in content.items() if isinstance(entry, dict)
    ]
    return [(f"{id}: {key}", name, part) for key, name, entry in entries if (part := _part(entry)) is not None]


def _part(entry: Mapping[str, Any]) -> Part | None:
    """The part in an entry: the number before its interval, or its mean. None where it holds no part."""
    keys = list(entry)
    interval = (float(entry["ci"][0]), float(entry["ci"][1])) if "ci" in keys[1:] else None
    value = entry.get("mean") if interval is None else entry[keys[keys.index("ci") - 1]]
    if "n" not in entry or not isinstance(value, int | float):
        return None
    return Part(float(value), interval, int(entry["n"]))
