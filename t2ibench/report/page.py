"""The HTML page of a suite and its sheets of samples, made from its records and from its images if they still exist.

The page holds everything (style, plots, images) and can be sent to anyone. It has no script and no font, and requests
nothing from anywhere.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from t2ibench.core import files, records
from t2ibench.report import board as leaderboard
from t2ibench.report import formats, sheets, templates
from t2ibench.report.breakdown import breakdowns
from t2ibench.report.gallery import Gallery, galleries_of
from t2ibench.report.pair_charts import STYLE, Pairs, heat_map, pairs_of, rare_against_control, standalone
from t2ibench.report.plots import curve, intervals
from t2ibench.report.sweeps import sweeps
from t2ibench.runner import suite


def write(
    cell_records: Sequence[Mapping[str, Any]], work: Path, folder: Path, audits: Sequence[Mapping[str, Any]] = ()
) -> list[Path]:
    """Write `report.html` for the records of one suite, and a sheet of samples for each track whose images exist.

    cell_records: the records of the suite.
    work: the folder of the images.
    folder: where to write.
    audits: human audits of its methods.

    Returns the paths of the written files.
    """
    boards = leaderboard.boards(cell_records, audits)
    galleries = [gallery for board in boards for gallery in galleries_of(board, cell_records, work)]
    page = folder / "report.html"
    files.write_whole(page, render(cell_records, boards, galleries).encode())
    sheet_of = {gallery.track: gallery for gallery in reversed(galleries)}  # the first of each track
    paths: list[Path] = []
    for board in boards:
        if (gallery := sheet_of.get(board.track)) is not None:
            rows = [[_pixels(shown.images[row]) for shown in gallery.prompts] for row in range(len(gallery.rows))]
            paths.append(folder / (f"samples-{board.track}.png" if paths else "samples.png"))
            sheets.save(sheets.table(rows, gallery.rows, [shown.text for shown in gallery.prompts]), paths[-1])
    return [page, *paths]


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
        files.write_whole(path, text.encode())
    return paths


def pair_figures(board: leaderboard.Board, pairs: Pairs | None) -> list[tuple[str, Markup]]:
    """The figures of a board's attribute pairs, each with its name; none where the board has no such pairs."""
    return [] if pairs is None else [("rare-pairs", rare_against_control(board)), ("pairs", heat_map(pairs))]


def render(
    cell_records: Sequence[Mapping[str, Any]], boards: Sequence[leaderboard.Board], galleries: Sequence[Gallery]
) -> str:
    """The HTML of the page."""
    environment = templates.environment("report")
    environment.filters |= {"number": leaderboard.number, "rank": leaderboard.rank_text, "data": _data_uri}
    environment.globals |= {
        "mark": formats.mark,
        "canonical": records.canonical,
        "cost": formats.cost,
        "costs": leaderboard.COSTS,
    }
    name = cell_records[0]["suite"]
    attribute_pairs = [pairs_of(board, cell_records) for board in boards]
    shipped = suite.available()
    return environment.get_template("page.html.j2").render(
        suite=name,
        title=suite.title(shipped[name]) if name in shipped else "",
        boards=[
            (board, formats.columns_of(board, False), formats.columns_of(board, True), formats.notes(board))
            for board in boards
        ],
        plots=[[(column, intervals(board, column)) for column in board.columns] for board in boards],
        curves=[curves_of(board, cell_records) for board in boards],
        breakdowns=[
            [parts for parts in breakdowns(board, cell_records) if pairs is None or parts.group != pairs.group]
            for board, pairs in zip(boards, attribute_pairs, strict=True)
        ],
        pairs=[(pairs, pair_figures(board, pairs)) for board, pairs in zip(boards, attribute_pairs, strict=True)],
        pair_style=Markup(STYLE),
        galleries=galleries,
        asked={group: count for record in cell_records for group, count in record["prompts"]["images"].items()},
        records=cell_records,
        judges={judge: entry for record in cell_records for judge, entry in record["judges"].items()},
        protocols={
            (id, value["protocol_id"]): value["protocol"] | {"interval": value["interval"]}
            for record in cell_records
            for id, value in record["values"].items()
        },
    )


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


def _data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
