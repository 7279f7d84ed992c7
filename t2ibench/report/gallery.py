"""Galleries: the images that the rows of a board made for the same prompts, side by side.

In tracks that start from an image, each column has that image above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import records
from t2ibench.core.mirrors import fetched
from t2ibench.report import board
from t2ibench.runner import journal
from t2ibench.runner.journal import Outcome
from t2ibench.tracks.contract import Group, installed


@dataclass(frozen=True)
class Shown:
    """A prompt, and the image of every row for it, as PNG bytes; None where there is no image."""

    text: str
    images: Sequence[bytes | None]


@dataclass(frozen=True)
class Gallery:
    """Prompts of one group, the same for every row.

    track: the track of the board.
    group: the name of the group. Groups whose names are equal up to a "/" count as one.
    rows: labels: methods, and above them the images they start from where the track has such images.
    prompts: the columns.
    """

    track: str
    group: str
    rows: Sequence[str]
    prompts: Sequence[Shown]


@dataclass(frozen=True)
class Made:
    """The images of one cell: its folder, and its outcomes by sample."""

    folder: Path
    outcomes: Mapping[str, Outcome]

    def png(self, outcome: Outcome) -> bytes | None:
        """This cell's image of the same sample as an outcome of any cell; None where it has none."""
        path = self.folder / "images" / f"{outcome.sample}.png"
        return (
            path.read_bytes()
            if outcome.sample in self.outcomes and self.outcomes[outcome.sample].sha256 and fetched(path).exists()
            else None
        )


def galleries_of(board: board.Board, cell_records: Sequence[Mapping[str, Any]], work: Path) -> list[Gallery]:
    """A gallery for each group of prompts, with all rows of a board; empty where the images are gone."""
    cells: dict[str, Made] = {}
    for row in board.rows:
        record = next(
            record for record in cell_records if (record["track"], record["method"]) == (board.track, row.method)
        )
        folder = cell_folder(work, record)
        if (folder / "journal.jsonl").exists():
            cells[row.method] = Made(folder, journal.read(folder / "journal.jsonl"))
    return galleries(board.track, cells)


def galleries(track: str, cells: Mapping[str, Made]) -> list[Gallery]:
    """A gallery for each group of prompts of a track, with the images of these cells, by method."""
    if not cells:
        return []
    outcomes = list(next(iter(cells.values())).outcomes.values())
    of_track = installed(track)
    shows = {} if of_track is None else of_track.groups
    above = {show.above for show in shows.values()}
    groups = [group for group in dict.fromkeys(_family(outcome) for outcome in outcomes) if group not in above]
    return [_gallery(track, group, outcomes, cells, shows.get(group, Group())) for group in groups]


def _family(outcome: Outcome) -> str:
    """ "adapted" of "adapted/sepia"."""
    return outcome.group.partition("/")[0]


def cell_folder(work: Path, record: Mapping[str, Any]) -> Path:
    """The folder in which the runner keeps the images of a record's cell."""
    return records.images_of(work, *(record[key] for key in ("suite", "track", "method", "seed", "config", "plugins")))


def _gallery(track: str, group: str, outcomes: Sequence[Outcome], cells: Mapping[str, Made], show: Group) -> Gallery:
    """The gallery of one group, with prompts at even distances in its list.

    It shows the first image of each prompt. Where a group stands above this one, the columns have different sources
    from it, and each shows the image that was made from its source, which is the one with the same k.
    """
    first = [outcome for outcome in outcomes if _family(outcome) == group and outcome.k == 0]
    count = min(show.shown, len(first))
    columns = [first[int(place)] for place in np.linspace(0, len(first) - 1, count)]
    if show.above is None:
        rows = [(method, [cell.png(column) for column in columns]) for method, cell in cells.items()]
    else:
        sources = [outcome for outcome in outcomes if outcome.group == show.above]
        by_sample = {(outcome.prompt, outcome.k): outcome for outcome in outcomes if _family(outcome) == group}
        under = [sources[i % len(sources)] for i in range(count)]
        columns = [by_sample[column.prompt, source.k] for column, source in zip(columns, under, strict=True)]
        starts: dict[tuple[bytes | None, ...], list[str]] = {}
        for method, cell in cells.items():
            starts.setdefault(tuple(cell.png(source) for source in under), []).append(method)
        rows = []
        for start, methods in starts.items():
            rows.append((show.above.removesuffix("s"), list(start)))
            rows += [(method, [cells[method].png(column) for column in columns]) for method in methods]
    shown = [Shown(column.text, [images[i] for _, images in rows]) for i, column in enumerate(columns)]
    return Gallery(track, group, [label for label, _ in rows], shown)
