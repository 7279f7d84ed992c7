"""A leaderboard as the table of a page: every value with its text, its place in the order, and its bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from t2ibench.report.board import (
    COST_QUESTIONS,
    COSTS,
    Board,
    Cell,
    Column,
    Row,
    mean_rank,
    number,
    question,
    rank_text,
)
from t2ibench.report.formats import cost, mark
from t2ibench.report.site.facts import Facts, parameters_text, size_class
from t2ibench.report.verdicts import Standing

LAST = 1e308  # the place in the order of a value that is not there: behind all others in the better direction
HIDDEN = "made for this judge"
WIDTH, HEIGHT = 100, 8  # units of a bar
BARS = 100  # rows; a longer board has no bars, which would slow a browser down


@dataclass(frozen=True)
class Figure:
    """One cell of the table.

    text: what stands in it.
    order: the number by which it is sorted.
    ends: the interval as text; empty where there is none.
    rank: its rank as text.
    bar: the path of its bar in WIDTH x HEIGHT units; empty where it has none.
    first: whether it may be first.
    values: what a filter may choose it by.
    hint: what stands beside the pointer.
    """

    text: str
    order: float | str
    ends: str = ""
    rank: str = ""
    bar: str = ""
    first: bool = False
    values: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Heading:
    """One column of the table.

    id: the id of the value, of the cost or of the fact.
    kind: what it is.
    title: what stands above it.
    question: what it asks, in one sentence; empty where its metric does not say.
    better: "higher", "lower" or "none".
    shown: whether it is shown before the reader chooses.
    text: whether its cells are words.
    facet: whether the rows can be filtered by it.
    """

    id: str
    kind: Literal["value", "cost", "fact"]
    title: str
    question: str
    better: str = "none"
    shown: bool = True
    text: bool = False
    facet: bool = False


@dataclass(frozen=True)
class Line:
    """One row of the table: a method or baseline with a cell for each heading."""

    method: str
    kind: str
    cells: Sequence[Figure]


@dataclass(frozen=True)
class Table:
    """The table of one board."""

    headings: Sequence[Heading]
    lines: Sequence[Line] = field(default_factory=list)


FACTS = (
    Heading("mean_rank", "fact", "mean rank", "what is its place, on average over the headline columns?", "lower"),
    Heading("parameters", "fact", "parameters", "how many numbers do its weights hold?", "lower", facet=True),
    Heading("training_minutes", "fact", "training min", "how long were its weights trained?", "lower", shown=False),
    Heading("paper", "fact", "paper", "where is it published?", shown=False, text=True, facet=True),
    Heading("year", "fact", "year", "when was it published?", "none", shown=False, facet=True),
    Heading("trained_on", "fact", "trained on", "what did its weights see?", shown=False, text=True, facet=True),
)
CHECKED = Heading("checked", "fact", "checked", "did the board score its images again?", text=True, facet=True)


def table(board: Board, facts: Mapping[str, Facts], standings: Mapping[str, Standing]) -> Table:
    """The table of a board.

    facts: what is known about each of its rows, by method. standings: which of them were verified; where none was, the
    column that says so is not shown before the reader chooses it.
    """
    checked = any(standing.state != "self-reported" for standing in standings.values())
    shown = [column for column in board.columns if column.headline]
    costs = [key for key in COSTS if any(row.cost.get(key) for row in board.methods)]
    headings = [
        FACTS[0],
        *(_heading(column) for column in [*shown, *(c for c in board.columns if not c.headline)]),
        *(Heading(key, "cost", COSTS[key], COST_QUESTIONS[key], "lower") for key in costs),
        replace(CHECKED, shown=checked),
        *FACTS[1:],
    ]
    columns = {column.id: column for column in board.columns}
    scales = {id: _scale(board, id) for id in columns}
    ids = [column.id for column in shown]
    lines = []
    for row in board.rows:
        known = {**_facts(row, facts[row.method], ids), CHECKED.id: _checked(standings[row.method])}
        cells = []
        for heading in headings:
            if heading.kind == "value":
                column = columns[heading.id]
                scale = scales[column.id] if len(board.rows) <= BARS else None
                cells.append(_value(row.cells.get(column.id), column, scale))
            elif heading.kind == "cost":
                cells.append(_cost(row, heading.id))
            else:
                cells.append(known[heading.id])
        lines.append(Line(row.method, row.kind, cells))
    return Table(headings, lines)


def _heading(column: Column) -> Heading:
    return Heading(column.id, "value", column.title, question(column), column.better, column.headline)


def _scale(board: Board, id: str) -> tuple[float, float]:
    """The ends of the axis on which the bars of a column lie: those of all its shown intervals."""
    cells = [row.cells[id] for row in board.rows if id in row.cells and row.cells[id].note != HIDDEN]
    low, high = (min(cell.low for cell in cells), max(cell.high for cell in cells)) if cells else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _value(cell: Cell | None, column: Column, scale: tuple[float, float] | None) -> Figure:
    if cell is None:
        return Figure("—", missing(column.better), hint="not measured")
    if cell.note == HIDDEN:
        return Figure(mark(cell), missing(column.better), hint=cell.note)
    text = f"{number(cell.value, column)}{mark(cell)}"
    ends = f"{number(cell.low, column)} … {number(cell.high, column)}"
    hint = f"{cell.value:.6g}, 95 % interval {cell.low:.6g} … {cell.high:.6g}, n = {cell.n:,}"
    hint += f", {cell.note}" if cell.note else ""
    return Figure(
        text, cell.value, ends, rank_text(cell), "" if scale is None else bar(cell, scale), cell.may_be_first, hint=hint
    )


def bar(cell: Cell, scale: tuple[float, float]) -> str:
    """The path of an interval with a stroke across it at the value."""

    def at(value: float) -> str:
        return f"{2 + (WIDTH - 4) * (value - scale[0]) / (scale[1] - scale[0]):.1f}".removesuffix(".0")

    return f"M{at(cell.low)} 4H{at(cell.high)}M{at(cell.value)} 0V{HEIGHT}"


def missing(better: str) -> float:
    """The number by which a value that is not there is sorted."""
    return -LAST if better == "higher" else LAST


def _checked(standing: Standing) -> Figure:
    return Figure(standing.state, standing.state, values=(standing.state,), hint=standing.why)


def _cost(row: Row, key: str) -> Figure:
    seconds = row.cost.get(key) if row.kind == "method" else None
    return Figure(cost(row, key), seconds or LAST, hint=f"{seconds:.6g} seconds" if seconds else "")


def _facts(row: Row, facts: Facts, headline: Sequence[str]) -> dict[str, Figure]:
    place = mean_rank(row, headline)
    minutes, paper = facts.minutes, facts.paper
    cite = ", ".join(part for part in (paper.title, paper.venue) if part)
    return {
        "mean_rank": Figure("—" if place is None else f"{place:.1f}", LAST if place is None else place),
        "parameters": Figure(
            parameters_text(facts.parameters),
            LAST if facts.parameters is None else facts.parameters,
            values=(size_class(facts.parameters),),
            hint="" if facts.parameters is None else f"{facts.parameters:,}",
        ),
        "training_minutes": Figure("—" if minutes is None else f"{minutes:,.0f}", LAST if minutes is None else minutes),
        "paper": Figure(paper.short or "—", paper.short or "~", values=(paper.short or "none",), hint=cite),
        "year": Figure(paper.year or "—", int(paper.year) if paper.year else LAST, values=(paper.year or "none",)),
        "trained_on": Figure(
            ", ".join(facts.trained_on) or "—",
            ", ".join(facts.trained_on) or "~",
            values=facts.trained_on or ("nothing",),
        ),
    }
