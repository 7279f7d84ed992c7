"""Entries of one method that differ in one setting, such as the strength of an edit: how two numbers trade against each
other over it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.core.records import canonical
from t2ibench.report.board import Board, Row

LEAST = 3  # values of a setting that make a line


@dataclass(frozen=True)
class Curve:
    """label: what tells it from the other lines, "beta=0.1". points: the values of the setting in order, and the rows
    that have them.
    """

    label: str
    points: Sequence[tuple[float, Row]]


@dataclass(frozen=True)
class Sweep:
    method: str  # the plug-in
    setting: str
    lines: Sequence[Curve]


def sweeps(board: Board, found: Sequence[Mapping[str, Any]]) -> list[Sweep]:
    """Every sweep among the methods of a board: at least LEAST values of one number, all else equal; one line for each
    "all else".
    """
    makers = {
        record["method"]: record["config"]
        for record in found
        if record["track"] == board.track and "config" in record["config"]
    }
    rows = [(row, makers[row.method]) for row in board.methods if row.method in makers]
    made = []
    for name in dict.fromkeys(maker["name"] for _, maker in rows):
        own = [(row, maker) for row, maker in rows if maker["name"] == name]
        for setting in own[0][1]["config"]:
            lines: dict[str, list[tuple[float, Row]]] = {}
            others: dict[str, dict[str, Any]] = {}
            for row, maker in own:
                value = maker["config"].get(setting)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    rest = {key: other for key, other in maker["config"].items() if key != setting}
                    key = canonical([rest, maker.get("weights")])
                    lines.setdefault(key, []).append((float(value), row))
                    others[key] = rest
            long = {
                key: sorted(points, key=lambda point: point[0])
                for key, points in lines.items()
                if len(dict(points)) >= LEAST
            }
            if long:
                labels = _labels([others[key] for key in long])
                made.append(
                    Sweep(
                        name,
                        setting,
                        [Curve(label, points) for label, points in zip(labels, long.values(), strict=True)],
                    )
                )
    return made


def _labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells settings from each other."""
    keys = [key for key in settings[0] if len({canonical(other.get(key)) for other in settings}) > 1]
    return [" ".join(f"{key}={other.get(key)}" for key in keys) for other in settings]
