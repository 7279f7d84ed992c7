"""Sweeps: entries of one method that differ in one setting, such as the strength of an edit.

They show how one number falls as another rises along the setting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.core.records import canonical
from t2ibench.report.board import Board, Row

LEAST = 3  # values of a setting, at least, that make a curve


@dataclass(frozen=True)
class Curve:
    """Entries of a method that differ in one setting alone.

    label: the settings that tell it from the other curves, as "beta=0.1".
    points: the values of the setting in ascending order, each with the row that has it.
    """

    label: str
    points: Sequence[tuple[float, Row]]


@dataclass(frozen=True)
class Sweep:
    """All curves of one method along one setting."""

    method: str  # the plug-in
    setting: str
    lines: Sequence[Curve]


def sweeps(board: Board, cell_records: Sequence[Mapping[str, Any]]) -> list[Sweep]:
    """Every sweep among the methods of a board.

    A curve has at least LEAST values of one numeric setting, with all other settings equal. A sweep has one curve for
    each combination of the other settings.
    """
    makers = {
        record["method"]: record["config"]
        for record in cell_records
        if record["track"] == board.track and "config" in record["config"]
    }
    rows = [(row, makers[row.method]) for row in board.methods if row.method in makers]
    results = []
    for name in dict.fromkeys(maker["name"] for _, maker in rows):
        entries = [(row, maker) for row, maker in rows if maker["name"] == name]
        for setting in entries[0][1]["config"]:
            lines: dict[str, list[tuple[float, Row]]] = {}
            others: dict[str, dict[str, Any]] = {}
            for row, maker in entries:
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
                results.append(
                    Sweep(
                        name,
                        setting,
                        [Curve(label, points) for label, points in zip(labels, long.values(), strict=True)],
                    )
                )
    return results


def _labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which each differs from the others, as text."""
    keys = [key for key in settings[0] if len({canonical(other.get(key)) for other in settings}) > 1]
    return [" ".join(f"{key}={other.get(key)}" for key in keys) for other in settings]
