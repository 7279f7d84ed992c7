"""Boards as figures for a paper: PDF and SVG with real text, one panel a column, a point and its interval a method.

A filled point is of a method that may be first, and baselines are grey. The files hold no date, so that the same
records give the same files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.report.board import Board, Column, number
from t2ibench.report.formats import columns_of, mark

PANEL, ROW, MARGIN = 2.0, 0.22, 0.9  # inches: the width of a panel, the height of a row, what is above and below
SETTINGS: Any = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # TrueType: letters that can be searched and edited
    "svg.fonttype": "none",
    "svg.hashsalt": "t2ibench",
}
BLUE, GREY = "#2458a6", "#8a8f98"


def write(boards: Sequence[Board], folder: Path, everything: bool = False) -> list[Path]:
    """Write `<suite>-<track>.pdf` and `.svg` for each board. Returns the paths.

    Raises UserError where a board has no column to draw.
    """
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for board in boards:
        with mpl.rc_context(SETTINGS):
            figure = drawn(board, everything)
            for suffix, dated in (("pdf", "CreationDate"), ("svg", "Date")):
                path = folder / f"{board.suite}-{board.track}.{suffix}"
                figure.savefig(path, metadata={dated: None}, bbox_inches="tight")
                paths.append(path)
    return paths


def drawn(board: Board, everything: bool = False) -> Any:
    """The figure of a board, of matplotlib."""
    from matplotlib.figure import Figure

    columns = [column for column in columns_of(board, everything) if any(_shown(board, column))]
    if not columns:
        raise UserError(f"{board.suite} {board.track}: there is no value to draw: choose others with --columns")
    figure = Figure((1.2 + PANEL * len(columns), MARGIN + ROW * len(board.rows)))
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, columns, strict=True):
        for place, cell in enumerate(_shown(board, column)):
            if cell is None:
                continue
            colour = BLUE if board.rows[place].kind == "method" else GREY
            panel.plot([cell.low, cell.high], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
            face = colour if cell.may_be_first else "white"
            panel.plot([cell.value], [place], "o", markersize=4, markeredgecolor=colour, markerfacecolor=face)
        panel.set_title(column.title, fontsize=8)
        panel.grid(axis="x", linewidth=0.3, color="#d9dbe0")
        panel.tick_params(length=2, width=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.set_major_formatter(lambda value, place, column=column: number(value, column))
        panel.locator_params(axis="x", nbins=4)
    names = [row.method for row in board.rows]
    panels[0].set_yticks(range(len(names)), names)
    for label, row in zip(panels[0].get_yticklabels(), board.rows, strict=True):
        label.set_style("normal" if row.kind == "method" else "italic")
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.tight_layout()
    return figure


def _shown(board: Board, column: Column) -> list[Any]:
    """The cell of each row, or None where the board shows none."""
    cells = [row.cells.get(column.id) for row in board.rows]
    return [None if cell is None or mark(cell) == "‡" else cell for cell in cells]
