"""What the rows of a board made of the same prompts, side by side; in tracks that start from an image, under that
image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import records
from t2ibench.report import board
from t2ibench.runner.journal import Outcome, Store
from t2ibench.tracks.contract import ADAPTED, COMPOSED, TRACKS

MOST, OTHERS = {"captions": 8, ADAPTED: 12, COMPOSED: 12}, 6  # prompts shown of these groups, and of every other


@dataclass(frozen=True)
class Shown:
    """A prompt and what every row has for it (PNG bytes, None where there is no image)."""

    text: str
    images: Sequence[bytes | None]


@dataclass(frozen=True)
class Gallery:
    """Prompts of one group, the same for every row; groups whose names begin alike, up to a "/", are one.

    rows: methods, each under the images it started from where the track has such.
    """

    track: str
    group: str
    rows: Sequence[str]
    prompts: Sequence[Shown]


@dataclass(frozen=True)
class Made:
    """What one cell made."""

    store: Store

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        return self.store.outcomes()

    def png(self, asked: Outcome) -> bytes | None:
        path = self.store.image_path(asked.sample)
        return (
            path.read_bytes()
            if asked.sample in self.outcomes and self.outcomes[asked.sample].sha256 and path.exists()
            else None
        )


def galleries_of(board: board.Board, found: Sequence[Mapping[str, Any]], work: Path) -> list[Gallery]:
    """One for each group of prompts, of all rows of a board; empty where the images are gone."""
    made: dict[str, Made] = {}
    for row in board.rows:
        record = next(record for record in found if (record["track"], record["method"]) == (board.track, row.method))
        folder = cell_folder(work, record)
        if (folder / "journal.jsonl").exists():
            made[row.method] = Made(Store(folder))
    if not made:
        return []
    asked = list(next(iter(made.values())).outcomes.values())
    above = TRACKS[board.track].above if board.track in TRACKS else {}
    groups = [group for group in dict.fromkeys(_family(outcome) for outcome in asked) if group not in above.values()]
    return [_gallery(board.track, group, asked, made, above.get(group)) for group in groups]


def _family(outcome: Outcome) -> str:
    """ "adapted" of "adapted/sepia"."""
    return outcome.group.partition("/")[0]


def cell_folder(work: Path, record: Mapping[str, Any]) -> Path:
    """Where the runner keeps the images of a record's cell."""
    return records.images_of(work, *(record[key] for key in ("suite", "track", "method", "seed", "config")))


def _gallery(track: str, group: str, asked: Sequence[Outcome], made: Mapping[str, Made], above: str | None) -> Gallery:
    """Prompts at even distances: their first images; or, under the group `above`, another k of each, in one column with
    its source.
    """
    first = [outcome for outcome in asked if _family(outcome) == group and outcome.k == 0]
    count = min(MOST.get(group, OTHERS), len(first))
    columns = [first[int(place)] for place in np.linspace(0, len(first) - 1, count)]
    if above is None:
        rows = [(method, [cell.png(column) for column in columns]) for method, cell in made.items()]
    else:
        sources = [outcome for outcome in asked if outcome.group == above]
        there = {(outcome.prompt, outcome.k): outcome for outcome in asked if _family(outcome) == group}
        under = [sources[i % len(sources)] for i in range(count)]
        columns = [there[column.prompt, source.k] for column, source in zip(columns, under, strict=True)]
        starts: dict[tuple[bytes | None, ...], list[str]] = {}
        for method, cell in made.items():
            starts.setdefault(tuple(cell.png(source) for source in under), []).append(method)
        rows = []
        for start, methods in starts.items():
            rows.append((above.removesuffix("s"), list(start)))
            rows += [(method, [made[method].png(column) for column in columns]) for method in methods]
    shown = [Shown(column.text, [images[i] for _, images in rows]) for i, column in enumerate(columns)]
    return Gallery(track, group, [label for label, _ in rows], shown)
