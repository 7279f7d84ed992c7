"""Compares two methods where both have reached the same: `compare A B --at edit_success=0.5`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import records
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.report.board import boards
from t2ibench.report.compare import Comparison, Margins, compared_in, ids_of
from t2ibench.report.sweeps import sweeps
from t2ibench.stats.matched import Place, place, samples_at
from t2ibench.stats.paired import PairedDifference, between_samples, means, per_sample

Record = Mapping[str, Any]


@dataclass(frozen=True)
class At:
    """Where two methods are compared: the value of a metric that both have to reach."""

    metric: str
    value: float


@dataclass(frozen=True)
class Strengths:
    """The entries of one method that differ in its strength alone.

    name: of the method.
    setting: that is its strength.
    points: its values in ascending order, each with the records of that entry, one a run seed.
    """

    name: str
    setting: str
    points: Sequence[tuple[float, Sequence[Record]]]


def at_of(text: str) -> At:
    """What the command line says, as "edit_success=0.5". Raises UserError for anything else."""
    metric, equals, number = (part.strip() for part in text.rpartition("="))
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    if not equals or not metric or not np.isfinite(value):
        raise UserError(f"--at {text!r}: expected METRIC=NUMBER, such as edit_success=0.5")
    return At(metric, value)


def curves(a: str, b: str, folder: Path, suite: str | None, track: str | None) -> list[tuple[Strengths, Strengths]]:
    """The curves of two names in each suite and track of a folder that has both. Raises UserError where none has."""
    groups = {
        key: group
        for key, group in records.suites(records.load(folder)).items()
        if suite in (None, key[0]) and track in (None, key[1])
    }
    found, reasons = [], []
    for (of_suite, of_track), group in groups.items():
        try:
            found.append((strengths(a, group, f"{of_suite} {of_track}"), strengths(b, group, f"{of_suite} {of_track}")))
        except UserError as error:
            reasons.append(error)
    if not found:
        raise reasons[0] if reasons else UserError(f"{folder}: no record is of this suite and track")
    return found


def strengths(name: str, found: Sequence[Record], track: str) -> Strengths:
    """The curve that a name means: a method with one curve, or one of the entries on it.

    Raises UserError for a name that means none, or several.
    """
    curves = [
        Strengths(
            sweep.method if not line.label else f"{sweep.method} {line.label}",
            sweep.setting,
            [(at, [r for r in found if r["method"] == row.method]) for at, row in line.points],
        )
        for board in boards(found)
        for sweep in sweeps(board, found)
        for line in sweep.lines
    ]
    mine = [
        curve
        for curve in curves
        if name in (curve.name, curve.name.split(" ")[0], *(records[0]["method"] for _, records in curve.points))
    ]
    if len(mine) == 1:
        return mine[0]
    if mine:
        several = ", ".join(f"{curve.name} over {curve.setting}" for curve in mine)
        entries = ", ".join(curve.points[0][1][0]["method"] for curve in mine)
        raise UserError(
            f"--at: {name} has several curves ({several}): name an entry of the one that is meant ({entries})"
        )
    known = [curve.name for curve in curves]
    others = f"; it has {', '.join(known) or 'none'}"
    raise UserError(
        f"--at: {track} has no curve of {name!r}, three or more entries that differ in one setting"
        f"{did_you_mean(name, known) or others}"
    )


def compare_at(
    a: Strengths, b: Strengths, at: At, margins: Margins, metrics: Sequence[str] = (), *, everything: bool = False
) -> Comparison:
    """Compare two methods in every other metric where both have the value `at`.

    Raises UserError for a curve that does not reach it, and for a metric without numbers of samples.
    """
    sides = [_Side(curve, at) for curve in (a, b)]
    flat = [record for side in sides for records in side.records for record in records]
    seeds = sorted(set.intersection(*({r["seed"] for r in records} for side in sides for records in side.records)))
    differences: dict[str, tuple[float, float, PairedDifference]] = {}
    left_out: dict[str, str] = {}
    for id in ids_of(flat, metrics, everything):
        if id == at.metric:
            continue
        protocols = {record["values"][id]["protocol_id"] for record in flat if id in record["values"]}
        if len(protocols) != 1 or any(id not in record["values"] for record in flat):
            left_out[id] = "not all strengths have it under one protocol"
            continue
        try:
            one, other = (side.samples(id) for side in sides)
            gap = between_samples(one, other)
        except ValueError as error:
            left_out[id] = str(error)
            continue
        differences[id] = (float(np.nanmean(one)), float(np.nanmean(other)), gap)
    lines = compared_in(differences, {id: _better(id, flat) for id in differences}, margins)
    first = flat[0]
    return Comparison(first["suite"], first["track"], sides[0].title, sides[1].title, tuple(seeds), lines, left_out)


class _Side:
    """One method where it has the value."""

    def __init__(self, curve: Strengths, at: At) -> None:
        self.at, self.records = at, [records for _, records in curve.points]
        if any(at.metric not in record["values"] for records in self.records for record in records):
            known = [*self.records[0][0]["values"]]
            raise UserError(f"--at: {curve.name} has no value {at.metric!r}{did_you_mean(at.metric, known)}")
        self._x = self._samples_of(at.metric)
        if self._x is None:
            raise UserError(f"--at: the records of {curve.name} keep no samples of {at.metric}: choose another metric")
        xs = [float(np.nanmean(x)) for x in self._x]
        found = place(xs, at.value)
        if found is None:
            setting, low, high = curve.setting, min(xs), max(xs)
            raise UserError(
                f"--at {at.metric}={at.value:g}: {curve.name} has {low:.3g} to {high:.3g} from {setting}="
                f"{curve.points[0][0]:g} to {curve.points[-1][0]:g}: choose a value between, or run more strengths"
            )
        self.place: Place = found
        strength = found.between([value for value, _ in curve.points])
        self.title = f"{curve.name} at {curve.setting}={strength:.3g}"

    def samples(self, id: str) -> np.ndarray:
        """Raises ValueError where the records keep no samples of it."""
        y = self._samples_of(id)
        if y is None or self._x is None:
            raise ValueError("the records keep no samples of it, and a curve of its value alone has no error")
        return samples_at(self.place, self.at.value, self._x, y)

    def _samples_of(self, id: str) -> list[np.ndarray] | None:
        return means([[per_sample(record["values"][id]) for record in records] for records in self.records])


def _better(id: str, flat: Sequence[Record]) -> str:
    return str(flat[0]["values"][id]["better"])
