"""A leaderboard as text: for the terminal, as Markdown, LaTeX, CSV and JSON."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from t2ibench.core import tables
from t2ibench.core.plain_text import for_csv, for_latex, for_markdown
from t2ibench.report.board import COSTS, Board, Cell, Column, Row, number, rank_text

LEGEND = (
    "95 % intervals below the values, ranks beside them (a range where they are open); bold: may be first; "
    "italics: baselines."
)


def columns_of(board: Board, everything: bool) -> list[Column]:
    """The headline columns of a board, or all of them."""
    return [column for column in board.columns if everything or column.headline]


def notes(board: Board, everything: bool = True) -> list[str]:
    """The notes under a board: ranks, shown columns, hidden values, cut texts, audits, and what is off the board."""
    columns = columns_of(board, everything)
    lines = [rules(columns)] if board.methods and columns else []
    seeds = sorted({len(row.seeds) for row in board.rows if len(row.seeds) > 1})
    if seeds:
        lines.append(
            f"±: standard deviation over {' or '.join(map(str, seeds))} run seeds; the interval is of sampling"
        )
    lines += labels(columns)
    lines += [
        f"{column.id}: {column.protocols} protocols, the rarer ones (†) do not compare with the rest"
        for column in columns
        if column.protocols > 1
    ]
    hidden = sorted(
        {row.method for row in board.rows for cell in row.cells.values() if cell.note == "made for this judge"}
    )
    lines += [
        f"{method}: a value is hidden (‡) where the method used its judge, or was optimised for it" for method in hidden
    ]
    return [*lines, *board.cut, *board.audits, *(f"off the board: {method}, {why}" for method, why in board.off)]


def questions(board: Board) -> list[str]:
    """One line for each column that the user chose: the question that it answers."""
    return [f"{title}: {question}" for title, question in board.questions.items()]


def rules(columns: Sequence[Column]) -> str:
    """Where the ranks of the columns come from."""
    paired = [column.id for column in columns if column.rule == "paired"]
    parts = [f"{', '.join(paired)}: paired t-tests on the same prompts, Holm-adjusted"] if paired else []
    if len(paired) < len(columns):
        parts.append(f"{'others: ' if paired else ''}only disjoint intervals are told apart")
    return f"ranks: {'; '.join(parts)}"


def labels(columns: Sequence[Column]) -> list[str]:
    """Each remark that metrics make about their numbers, once, with the columns that it is about."""
    ids_of: dict[str, list[str]] = {}
    for column in columns:
        for label in column.labels:
            ids_of.setdefault(label, []).append(column.id)
    return [f"{label} ({', '.join(ids)})" for label, ids in ids_of.items()]


def cost(row: Row, key: str) -> str:
    """A row's seconds of one kind: two digits, or whole seconds from 10 on.

    A dash stands for a baseline, and for a method without such a cost.
    """
    seconds = row.cost.get(key) if row.kind == "method" else None
    return "—" if not seconds else f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}"


def spread_text(cell: Cell, column: Column) -> str:
    """The standard deviation over the run seeds: "±0.3"; empty for one seed."""
    return "" if cell.sd is None else f"±{cell.sd:.{column.decimals}f}"


def mark(cell: Cell) -> str:
    return {"other protocol": "†", "seeds of different protocols": "†", "made for this judge": "‡"}.get(cell.note, "")


def terminal(board: Board, width: int, everything: bool = False) -> Group:
    """Tables that fit `width`, as many as needed, each with all rows."""
    names = max(len("method"), *(len(row.method) for row in board.rows), 0)
    blocks, parts = _fit(columns_of(board, everything), board, width - names - 2), []
    for i, block in enumerate(blocks):
        title = f"{board.suite} · {board.track}" if i == 0 else None
        table = tables.table(title=title)
        table.add_column("method", no_wrap=True)
        for column in block:
            table.add_column(column.title, justify="right", no_wrap=True)
        for row in board.methods:
            table.add_row(Text(row.method, "bold"), *(_styled(row.cells.get(column.id), column) for column in block))
        if board.methods and board.baselines:
            table.add_section()
        for row in board.baselines:
            table.add_row(Text(row.method, "italic"), *(_styled(row.cells.get(column.id), column) for column in block))
        parts.append(Padding(table, (1, 0, 0, 0)))
    if board.costs:
        table = tables.table()
        table.add_column("cost", no_wrap=True)
        for key in board.costs:
            table.add_column(COSTS[key], justify="right", no_wrap=True)
        for row in board.methods:
            table.add_row(Text(row.method, "bold"), *(cost(row, key) for key in board.costs))
        parts.append(Padding(table, (1, 0, 0, 0)))
    lines = [*map(Text, questions(board)), *(Text(line, "dim") for line in [LEGEND, *notes(board, everything)])]
    return Group(*parts, Text(), *lines)


def _fit(columns: Sequence[Column], board: Board, width: int) -> list[list[Column]]:
    blocks: list[list[Column]] = [[]]
    left = width
    for column in columns:
        cells = [row.cells[column.id] for row in board.rows if column.id in row.cells]
        need = 3 + max([len(column.title), *(max(len(line) for line in _lines(cell, column)) for cell in cells)])
        if blocks[-1] and need > left:
            blocks, left = [*blocks, []], width
        blocks[-1].append(column)
        left -= need
    return blocks


def _lines(cell: Cell, column: Column) -> tuple[str, str]:
    if mark(cell) == "‡":
        return "‡", ""
    rank = rank_text(cell)
    interval = f"[{number(cell.low, column)}, {number(cell.high, column)}]"
    spread = f" {spread_text(cell, column)}" if cell.sd is not None else ""
    return f"{number(cell.value, column)}{mark(cell)}" + (f"  #{rank}" if rank else ""), interval + spread


def _styled(cell: Cell | None, column: Column) -> Text:
    if cell is None:
        return Text("—", "dim")
    value, interval = _lines(cell, column)
    figure, _, rank = value.partition("  ")
    style = "bold green" if cell.may_be_first else ""
    return Text.assemble((figure, style), (f"  {rank}" if rank else "", "dim"), "\n", (interval, "dim"))


def markdown(board: Board, everything: bool = False, transpose: bool = False) -> str:
    """One table, methods first, then baselines in italics. transpose: a row a column of the board."""
    columns = columns_of(board, everything)
    titles = ["method", *(for_markdown(column.title) for column in columns), *(COSTS[key] for key in board.costs)]
    question_lines = [*(f"- {for_markdown(line)}" for line in questions(board)), ""] if board.questions else []
    grid = [titles]
    for row in board.rows:
        shown = for_markdown(row.method)
        name = shown if row.kind == "method" else f"*{shown}*"
        cells = [
            *(_markdown(row.cells.get(column.id), column) for column in columns),
            *(cost(row, key) for key in board.costs),
        ]
        grid.append([name, *cells])
    grid = transposed(grid) if transpose else grid
    lines = [f"### {for_markdown(board.suite)}: {for_markdown(board.track)}", "", *question_lines]
    lines += [f"| {' | '.join(grid[0])} |", "|" + "---|" * len(grid[0])]
    lines += [f"| {' | '.join(row)} |" for row in grid[1:]]
    footer = [
        "[95 % interval]; (rank, or the range of ranks that is open); bold: may be first; italics: baselines.",
        *map(for_markdown, notes(board, everything)),
    ]
    return "\n".join([*lines, "", "  \n".join(footer)]) + "\n"


def transposed(grid: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows as columns; the cell in the corner says what the first row is now."""
    turned = [list(row) for row in zip(*grid, strict=True)]
    turned[0][0] = "value"
    return turned


def _markdown(cell: Cell | None, column: Column) -> str:
    if cell is None or mark(cell) == "‡":
        return "‡" if cell else "—"
    value = f"{number(cell.value, column)}{mark(cell)}"
    rank = f" ({rank_text(cell)})" if cell.rank else ""
    spread = f" {spread_text(cell, column)}" if cell.sd is not None else ""
    return (
        f"{f'**{value}**' if cell.may_be_first else value} [{number(cell.low, column)}, "
        f"{number(cell.high, column)}]{spread}{rank}"
    )


def latex(
    board: Board,
    everything: bool = False,
    transpose: bool = False,
    caption: str | None = None,
    label: str | None = None,
) -> str:
    """A tabular with booktabs' rules; intervals as subscripts.

    transpose: a row a column of the board. caption, label: where one is given, the tabular stands in a table with it.
    """
    columns = columns_of(board, everything)
    arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}
    titles = [
        *(_escape(column.id) + arrows.get(column.better, "") for column in columns),
        *(COSTS[key] for key in board.costs),
    ]
    grid = [["method", *titles]]
    grid += [[_name(row), *_latex_cells(row, columns, board.costs)] for row in board.rows]
    rules = {1, 1 + len(board.methods)} if board.methods and board.baselines else {1}
    if transpose:
        grid, rules = transposed(grid), {1}
    lines = [r"\begin{tabular}{l" + "r" * (len(grid[0]) - 1) + "}", r"\toprule"]
    for place, row in enumerate(grid):
        lines += [r"\midrule"] if place in rules else []
        lines.append(" & ".join(row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if caption is not None or label is not None:
        of_table = [rf"\caption{{{_escape(caption)}}}"] if caption is not None else []
        of_table += [rf"\label{{{label}}}"] if label is not None else []
        lines = [r"\begin{table}", r"\centering", *of_table, *lines, r"\end{table}"]
    comments = [f"% {' '.join(line.splitlines())}" for line in [*questions(board), *notes(board, everything)]]
    return "\n".join([*lines, *comments]) + "\n"


def _latex_cells(row: Row, columns: Sequence[Column], costs: Sequence[str]) -> list[str]:
    return [
        *(_latex(row.cells.get(column.id), column) for column in columns),
        *(cost(row, key).replace("—", "--") for key in costs),
    ]


def _name(row: Row) -> str:
    return _escape(row.method) if row.kind == "method" else rf"\textit{{{_escape(row.method)}}}"


def _latex(cell: Cell | None, column: Column) -> str:
    if cell is None or mark(cell) == "‡":
        return r"\ddag" if cell else "--"
    value, low, high = (number(x, column).replace("−", "-") for x in (cell.value, cell.low, cell.high))
    figure = rf"\mathbf{{{value}}}" if cell.may_be_first else value
    dagger = r"^\dagger" if mark(cell) else ""
    spread = "" if cell.sd is None else rf" \pm {cell.sd:.{column.decimals}f}"
    return f"${figure}{dagger}{spread}_{{[{low},\\,{high}]}}$"


def _escape(text: str) -> str:
    return for_latex(text)


FIELDS = (
    *(
        "suite",
        "track",
        "method",
        "kind",
        "seeds",
        "metric",
        "value",
        "low",
        "high",
        "sd",
        "n",
        "better",
        "rank_best",
        "rank_worst",
    ),
    *("protocol_id", "note", "coverage", *COSTS),
)


def tidy(board: Board) -> list[dict[str, Any]]:
    """One entry a value: all columns, unrounded."""
    return [
        {
            "suite": board.suite,
            "track": board.track,
            "method": row.method,
            "kind": row.kind,
            "seeds": list(row.seeds),
            "metric": column.id,
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "sd": cell.sd,
            "n": cell.n,
            "better": column.better,
            "rank_best": cell.rank[0] if cell.rank else None,
            "rank_worst": cell.rank[1] if cell.rank else None,
            "protocol_id": cell.protocol_id,
            "note": cell.note,
            "coverage": row.coverage,
            **{key: row.cost.get(key) for key in COSTS},
        }
        for row in board.rows
        for column in board.columns
        if (cell := row.cells.get(column.id)) is not None
    ]


def as_csv(boards: Iterable[Board]) -> str:
    """`tidy` of every board."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    for board in boards:
        for entry in tidy(board):
            row = {**entry, "seeds": " ".join(map(str, entry["seeds"]))}
            writer.writerow({key: for_csv(text) if isinstance(text, str) else text for key, text in row.items()})
    return buffer.getvalue()


def as_json(boards: Iterable[Board]) -> list[dict[str, Any]]:
    """Boards with their values, and what is off them."""
    return [
        {
            "suite": board.suite,
            "track": board.track,
            "values": tidy(board),
            "off": [{"method": method, "why": why} for method, why in board.off],
            "notes": notes(board),
            "questions": dict(board.questions),
        }
        for board in boards
    ]


def show(boards: Iterable[Board], console: Console, everything: bool = False) -> None:
    """Print boards to a console."""
    for board in boards:
        console.print(terminal(board, console.width, everything))
