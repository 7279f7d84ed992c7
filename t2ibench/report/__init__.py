"""One HTML page and one sheet of samples a suite, made from its records and, where they are still there, its images.

The page holds everything (style, plots, images), so it can be sent to anyone: no script, no font, no request to anywhere.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from t2ibench import formats, records, sheets, suite, table
from t2ibench.journal import Outcome, Store
from t2ibench.report.breakdown import breakdowns
from t2ibench.report.plots import intervals

CAPTIONS, OTHERS = 8, 6  # prompts shown of the captions, and of every other group


@dataclass(frozen=True)
class Shown:
    """A prompt and what every row of the board made of it (PNG bytes, None where there is no image)."""

    text: str
    images: Sequence[bytes | None]


@dataclass(frozen=True)
class Gallery:
    """The same prompts for every method: of one group."""

    group: str
    methods: Sequence[str]
    prompts: Sequence[Shown]


def write(found: Sequence[Mapping[str, Any]], work: Path, folder: Path) -> list[Path]:
    """Write `report.html`, and `samples.png` where images are there, for the records of one suite; returns what was written."""
    boards = table.boards(found)
    galleries = [gallery for board in boards for gallery in galleries_of(board, found, work)]
    page = folder / "report.html"
    records.write_whole(page, render(found, boards, galleries).encode())
    if not galleries:
        return [page]
    sheet = folder / "samples.png"
    first = galleries[0]
    rows = [[_pixels(shown.images[row]) for shown in first.prompts] for row in range(len(first.methods))]
    sheets.save(sheets.table(rows, first.methods, [shown.text for shown in first.prompts]), sheet)
    return [page, sheet]


def write_boards(found: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the leaderboard of a suite as Markdown and CSV; returns what was written."""
    boards = table.boards(found)
    paths = [folder / "leaderboard.md", folder / "leaderboard.csv"]
    texts = ["\n".join(formats.markdown(board, everything=True) for board in boards), formats.as_csv(boards)]
    for path, text in zip(paths, texts, strict=True):
        records.write_whole(path, text.encode())
    return paths


def render(found: Sequence[Mapping[str, Any]], boards: Sequence[table.Board], galleries: Sequence[Gallery]) -> str:
    """The page."""
    loader = jinja2.PackageLoader("t2ibench", "report")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": table.number, "rank": table.rank_text, "data": _data_uri}
    environment.globals |= {"mark": formats.mark, "canonical": records.canonical}
    name = found[0]["suite"]
    shipped = suite.available()
    return environment.get_template("page.html.j2").render(
        suite=name,
        title=suite.title(shipped[name]) if name in shipped else "",
        boards=[(board, formats.columns_of(board, False), formats.columns_of(board, True), formats.notes(board)) for board in boards],
        plots=[[(column, intervals(board, column)) for column in board.columns] for board in boards],
        breakdowns=[breakdowns(board, found) for board in boards],
        galleries=galleries,
        records=found,
        judges={judge: entry for record in found for judge, entry in record["judges"].items()},
        protocols={
            (id, value["protocol_id"]): value["protocol"] | {"interval": value["interval"]}
            for record in found
            for id, value in record["values"].items()
        },
    )


def galleries_of(board: table.Board, found: Sequence[Mapping[str, Any]], work: Path) -> list[Gallery]:
    """What the rows of a board made of the same prompts, by group of prompts; empty where the images are gone."""
    made: dict[str, tuple[Store, dict[str, Outcome]]] = {}
    for row in board.rows:
        record = next(record for record in found if (record["track"], record["method"]) == (board.track, row.method))
        folder = cell_folder(work, record)
        if (folder / "journal.jsonl").exists():
            store = Store(folder)
            made[row.method] = (store, store.outcomes())
    if not made:
        return []
    first = next(iter(made.values()))[1].values()
    galleries = []
    for group in dict.fromkeys(outcome.group for outcome in first):
        members = [outcome for outcome in first if outcome.group == group and outcome.k == 0]
        count = min(CAPTIONS if group == "captions" else OTHERS, len(members))
        chosen = [members[int(place)] for place in np.linspace(0, len(members) - 1, count)]
        shown = [Shown(asked.text, [_png(*made[method], asked.sample) for method in made]) for asked in chosen]
        galleries.append(Gallery(group, list(made), shown))
    return galleries


def cell_folder(work: Path, record: Mapping[str, Any]) -> Path:
    """Where the runner keeps the images of a record's cell."""
    return work / record["suite"] / record["track"] / record["method"] / f"{record['seed']}-{records.digest(record['config'])[:8]}"


def _png(store: Store, outcomes: Mapping[str, Outcome], sample: str) -> bytes | None:
    path = store.image_path(sample)
    return path.read_bytes() if sample in outcomes and outcomes[sample].sha256 and path.exists() else None


def _pixels(content: bytes | None) -> np.ndarray | None:
    return None if content is None else np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


def _data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
