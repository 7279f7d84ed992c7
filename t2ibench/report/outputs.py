"""The files that a run leaves beside its records: leaderboards as Markdown and CSV, figures of attribute pairs, and
sheets of samples. The pages are another matter (`t2ibench.report.site`).
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from t2ibench.core import storage
from t2ibench.report import board as leaderboard
from t2ibench.report import formats, sheets
from t2ibench.report.gallery import Gallery, galleries_of
from t2ibench.report.pair_charts import Pairs, heat_map, pairs_of, rare_against_control, standalone
from t2ibench.report.plots import curve
from t2ibench.report.sweeps import sweeps


def write_sheets(cell_records: Sequence[Mapping[str, Any]], work: Path, folder: Path) -> list[Path]:
    """Write a sheet of samples for each track of a suite whose images exist: `samples.png`, `samples-<track>.png`.

    cell_records: the records of the suite. work: the folder of the images. folder: where to write.

    Returns the paths of the written files.
    """
    galleries = [g for board in leaderboard.boards(cell_records) for g in galleries_of(board, cell_records, work)]
    first_of: dict[str, Gallery] = {}
    for gallery in galleries:
        first_of.setdefault(gallery.track, gallery)
    paths: list[Path] = []
    for track, gallery in first_of.items():
        rows = [[_pixels(shown.images[row]) for shown in gallery.prompts] for row in range(len(gallery.rows))]
        paths.append(folder / (f"samples-{track}.png" if paths else "samples.png"))
        sheets.save(sheets.table(rows, gallery.rows, [shown.text for shown in gallery.prompts]), paths[-1])
    return paths


def write_boards(
    cell_records: Sequence[Mapping[str, Any]], folder: Path, audits: Sequence[Mapping[str, Any]] = ()
) -> list[Path]:
    """Write the leaderboard of a suite as Markdown and CSV, and figures of its attribute pairs as SVG.

    Returns the paths of the written files.
    """
    boards = leaderboard.boards(cell_records, audits)
    paths = [folder / "leaderboard.md", folder / "leaderboard.csv"]
    texts = ["\n".join(formats.markdown(board, everything=True) for board in boards), formats.as_csv(boards)]
    for board in boards:
        for name, figure in pair_figures(board, pairs_of(board, cell_records)):
            paths.append(folder / f"{name}-{board.track}.svg")
            texts.append(standalone(figure))
    for path, text in zip(paths, texts, strict=True):
        storage.publish(path, text.encode())
    return paths


def pair_figures(board: leaderboard.Board, pairs: Pairs | None) -> list[tuple[str, Markup]]:
    """The figures of a board's attribute pairs, each with its name; none where the board has no such pairs."""
    return [] if pairs is None else [("rare-pairs", rare_against_control(board)), ("pairs", heat_map(pairs))]


def curves_of(board: leaderboard.Board, cell_records: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """The curves of every sweep, each with a title: every other headline column against the first."""
    columns = formats.columns_of(board, False)
    plots = [
        (sweep, column, curve(sweep, columns[0], column))
        for sweep in sweeps(board, cell_records)
        for column in columns[1:]
    ]
    return [(f"{sweep.method}: {column.title} over {sweep.setting}", svg) for sweep, column, svg in plots if svg]


def _pixels(content: bytes | None) -> np.ndarray | None:
    return None if content is None else np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)
