"""How far a run is, from what lies in its folders. The processes that work on it are not asked and do not wait.

A run writes down which cells it has (`cells.json`) before its first image. Nothing here needs the plug-ins, or torch.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.mirrors import address_of
from t2ibench.core.storage import WORK, publish
from t2ibench.runner import journal

if TYPE_CHECKING:  # the plan of a run needs torch
    from t2ibench.runner.plan import Plan

CELLS = "cells.json"
ALIVE = 600.0  # seconds without a new line in a journal, after which nobody is said to be at work


@dataclass(frozen=True)
class CellStatus:
    """One cell of a run.

    images: how many samples it has.
    made, failed: how many of them have an outcome, and how many of these have no image that can be scored.
    recorded: whether it is scored.
    at_work: the names of the journals that have grown in the last ten minutes: part, host and process.
    rate: images a second of these processes together; None where nobody is at work.
    """

    track: str
    method: str
    seed: int
    images: int
    made: int
    failed: int
    recorded: bool
    at_work: Sequence[str]
    rate: float | None


def announce(plans: "Sequence[Plan]", work: Path) -> None:
    """Write down the cells of a run, and how many samples each has. Every part of a run writes the same."""
    cells = [
        {"track": plan.track, "method": entry.id, "seed": seed, "images": sum(p.images for p in plan.prompts)}
        for plan in plans
        for seed in plan.suite.seeds
        for entry in plan.entries
    ]
    path, content = work / plans[0].suite.name / CELLS, json.dumps(cells, indent=1).encode()
    if not path.exists() or path.read_bytes() != content:
        publish(path, content, WORK)


def status(suite: str, out: Path, work: Path, now: float | None = None) -> list[CellStatus]:
    """Every cell of a run of `suite`, in order. now: the time in seconds, as `time.time()` gives it.

    Raises UserError where no run of this suite has begun in the folder.
    """
    try:
        cells: list[Mapping[str, Any]] = json.loads((work / suite / CELLS).read_bytes())
    except (OSError, ValueError) as error:
        begun = sorted(path.parent.name for path in work.glob(f"*/{CELLS}"))
        raise UserError(
            f"{address_of(work / suite)}: no run has begun here; "
            + (f"runs in {address_of(work)}: {', '.join(begun)}" if begun else "give the --work of the run")
        ) from error
    return [_cell(cell, suite, out, work, time.time() if now is None else now) for cell in cells]


def _cell(cell: Mapping[str, Any], suite: str, out: Path, work: Path, now: float) -> CellStatus:
    track, method, seed, images = cell["track"], cell["method"], cell["seed"], cell["images"]
    path = records.path_of(out, suite, track, method, seed)
    if path.exists():
        counts = json.loads(path.read_bytes())["counts"]
        return CellStatus(track, method, seed, images, images, images - counts["ok"], True, (), None)
    folders = sorted((work / suite / track / method).glob(f"{seed}-*"), key=lambda path: path.stat().st_mtime)
    if not folders:
        return CellStatus(track, method, seed, images, 0, 0, False, (), None)
    statuses, made, at_work = dict[str, str](), dict[str, list[float]](), set[str]()
    for path in journal.journals(folders[-1]):  # the other folders hold images of other settings
        outcomes = journal.read(path).values()
        statuses |= {outcome.sample: outcome.status for outcome in outcomes}
        writer = journal.writer_of(path) or "one process"
        made.setdefault(writer, []).extend(outcome.seconds for outcome in outcomes)
        if now - path.stat().st_mtime < ALIVE:
            at_work.add(writer)
    failed = sum(status != "ok" for status in statuses.values())
    rate = sum(len(made[writer]) / max(sum(made[writer]), 1e-3) for writer in at_work)
    return CellStatus(track, method, seed, images, len(statuses), failed, False, sorted(at_work), rate or None)


def left(cells: Sequence[CellStatus]) -> float | None:
    """Seconds until all images are made, at the speed of the processes that are at work; None where nobody is."""
    rate = sum(cell.rate or 0.0 for cell in cells)
    return sum(cell.images - cell.made for cell in cells if not cell.recorded) / rate if rate else None
