"""Charts of a whole board as SVG text: quality against cost, and the ranks of all methods in all columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from t2ibench.report.board import Board, Cell, Column, Row, number, rank_text
from t2ibench.report.plots import nice_ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 620, 380, 62, 18, 14, 44
LETTER = 6.3  # about the width of a letter of a label
NAMED = 40  # of more points, only those on the line of the best, or that may be first, have their names beside them
COSTS = (
    ("seconds_per_image", "seconds for an image"),
    ("training_seconds_per_prompt", "seconds of training for a text"),
)
ROW, CELL, NAMES, HEAD = 30, 92, 190, 62  # of the chart of ranks


@dataclass(frozen=True)
class Point:
    """A method in the plane of quality and cost. x, y: its place on the page."""

    row: Row
    cell: Cell
    cost: float
    x: float
    y: float


def quality_against_cost(board: Board, column: Column, cost: str, label: str) -> Markup:
    """A column against a cost, which is logarithmic, with 95 % intervals.

    A line joins the methods of which no other is both cheaper and better. Empty where fewer than two methods have both.

    cost: the key of the cost in the rows. label: its name on the axis.
    """
    rows = [
        (row, row.cells[column.id], row.cost[cost])
        for row in board.methods
        if column.id in row.cells and row.cells[column.id].note == "" and row.cost.get(cost, 0) > 0
    ]
    if len(rows) < 2:
        return Markup("")
    ticks = nice_ticks(min(cell.low for _, cell, _ in rows), max(cell.high for _, cell, _ in rows))
    decades = powers(min(value for *_, value in rows), max(value for *_, value in rows))
    first, last = math.log10(decades[0]), math.log10(decades[-1])

    def across(value: float) -> float:
        return round(LEFT + (math.log10(value) - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - TOP - BOTTOM), 1)

    caption = f"{column.title} against {label}"
    parts = [f'<svg class="cost" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(caption)}">']
    for tick in decades:
        parts.append(f'<line class="grid" x1="{across(tick)}" x2="{across(tick)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(_text(across(tick), HEIGHT - BOTTOM + 17, f"{tick:g}", "tick", "middle"))
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(tick)}" y2="{up(tick)}"/>')
        parts.append(_text(LEFT - 7, up(tick) + 4, _tick(tick, ticks), "tick", "end"))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 8, label, "axis", "end"))
    points = [Point(row, cell, value, across(value), up(cell.value)) for row, cell, value in rows]
    front = frontier(points, column.better)
    if len(front) > 1:
        parts.append(f'<polyline class="front" points="{" ".join(f"{p.x},{p.y}" for p in front)}"/>')
    named = points if len(points) <= NAMED else [p for p in points if p in front or p.cell.may_be_first][:NAMED]
    places = dict(zip((point.row.method for point in named), labels(named), strict=True))
    for point in points:
        name = escape(point.row.method)
        said = f"{point.row.method}: {number(point.cell.value, column)}, {point.cost:.3g}"
        kind = " first" if point.cell.may_be_first else ""
        parts.append(f'<g class="point{kind}" data-method="{name}"><title>{escape(said)}</title>')
        ends = f'y1="{up(point.cell.low)}" y2="{up(point.cell.high)}"'
        parts.append(f'<line class="whisker" x1="{point.x}" x2="{point.x}" {ends}/>')
        parts.append(f'<circle cx="{point.x}" cy="{point.y}" r="5"/>')
        if point.row.method in places:
            x, y, anchor = places[point.row.method]
            parts.append(_text(x, y, point.row.method, "label", anchor))
        parts.append("</g>")
    return Markup("".join([*parts, "</svg>"]))


def powers(low: float, high: float) -> list[float]:
    """The powers of ten that enclose [low, high], at least two."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def frontier(points: Sequence[Point], better: str) -> list[Point]:
    """The points of which no other is both cheaper and better, from cheap to dear."""
    sign = {"higher": 1, "lower": -1}.get(better)
    if sign is None:
        return []
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -sign * point.cell.value)):
        if not front or sign * point.cell.value > sign * front[-1].cell.value:
            front.append(point)
    return front


def labels(points: Sequence[Point]) -> list[tuple[float, float, str]]:
    """A place for the label of each point, (x, y, anchor): where it covers the least of other points and labels."""
    taken = [(p.x - 6, p.y - 6, p.x + 6, p.y + 6) for p in points]
    places = []
    for point in points:
        width = LETTER * len(point.row.method)
        options = [
            (point.x + dx, point.y + dy, anchor)
            for dy in (4, -9, 17, -22, 30, -35, 43)
            for dx, anchor in ((10, "start"), (-10, "end"))
        ]
        boxes = [
            (x - (width if anchor == "end" else 0), y - 10, x + (0 if anchor == "end" else width), y + 3)
            for x, y, anchor in options
        ]
        cost = [
            sum(_overlap(box, other) for other in taken)
            + 10.0 * (box[0] < LEFT or box[2] > WIDTH or not TOP < y < HEIGHT - BOTTOM)
            for box, (_, y, _) in zip(boxes, options, strict=True)
        ]
        best = min(range(len(options)), key=lambda i: (cost[i], i))
        taken.append(boxes[best])
        places.append((round(options[best][0], 1), round(options[best][1], 1), options[best][2]))
    return places


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """The share of box a that box b covers. Boxes are (left, top, right, bottom)."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return across * down / ((a[2] - a[0]) * (a[3] - a[1])) if across > 0 and down > 0 else 0.0


def ranks(board: Board, columns: Sequence[Column]) -> Markup:
    """The rank range of every method in every column as a bar. Empty where nothing is ranked."""
    ranked = [c for c in columns if any(row.cells[c.id].rank for row in board.methods if c.id in row.cells)]
    if not ranked:
        return Markup("")
    worst = max(len(board.methods), 2)
    width, height = NAMES + CELL * len(ranked), HEAD + ROW * len(board.methods) + 6
    parts = [
        f'<svg class="ranks" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="rank ranges of all methods">'
    ]
    for k, column in enumerate(ranked):
        x = NAMES + CELL * k
        for place, words in enumerate(_broken(column.title)):
            parts.append(_text(x + CELL / 2, HEAD - 44 + 14 * place, words, "label", "middle"))
    for i, row in enumerate(board.methods):
        y = HEAD + ROW * i
        parts.append(f'<g data-method="{escape(row.method)}">')
        parts.append(f'<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>')
        parts.append(_text(NAMES - 14, y + ROW / 2 + 4, row.method, "label", "end"))
        for k, column in enumerate(ranked):
            cell = row.cells.get(column.id)
            if cell is None or cell.rank is None:
                continue
            x, step = NAMES + CELL * k + 8, (CELL - 16) / worst
            start, end = x + (cell.rank[0] - 1) * step, x + cell.rank[1] * step
            kind = "range first" if cell.may_be_first else "range"
            said = escape(f"{row.method}, {column.id}: rank {rank_text(cell)}")
            parts.append(f"<g><title>{said}</title>")
            parts.append(f'<rect class="track" x="{x}" y="{y + 19}" width="{CELL - 16}" height="5" rx="2.5"/>')
            parts.append(
                f'<rect class="{kind}" x="{start:.1f}" y="{y + 19}" width="{end - start:.1f}" height="5" rx="2.5"/>'
            )
            parts.append(f"{_text(round((start + end) / 2, 1), y + 14, rank_text(cell), 'tick', 'middle')}</g>")
        parts.append("</g>")
    return Markup("".join([*parts, "</svg>"]))


def _broken(title: str) -> list[str]:
    """The title of a column in lines of about 12 letters, broken behind underscores."""
    lines = [""]
    for word in title.replace("_", "_\n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(word) > 13:
            lines.append("")
        lines[-1] += word
    return lines[:3]


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _tick(value: float, ticks: Sequence[float]) -> str:
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return f"{value:.{decimals}f}".replace("-", "−")
