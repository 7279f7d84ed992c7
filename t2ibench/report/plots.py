"""Plots as SVG text.

One kind shows a column of a leaderboard as points with their intervals. The other shows two columns against each other
as a curve, along the values of a setting.
"""

import math

from markupsafe import Markup, escape

from t2ibench.report.board import Board, Cell, Column, number
from t2ibench.report.sweeps import Curve, Sweep

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 460, 22, 168, 14, 8, 26
CURVE, DASHES = (
    300,
    ("", "6 3", "2 3", "8 3 2 3"),
)  # height of a curve's plot; how its second line and the further ones are drawn


def intervals(board: Board, column: Column) -> Markup:
    """A column as points with 95 % intervals, methods above baselines. A filled point is of a method that may be first.

    Empty where nothing can be drawn.
    """
    rows = [
        (row, cell)
        for row in board.rows
        if (cell := row.cells.get(column.id)) is not None and cell.note != "made for this judge"
    ]
    if not rows:
        return Markup("")
    low, high = min(cell.low for _, cell in rows), max(cell.high for _, cell in rows)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return round(LEFT + (value - low) / span * (WIDTH - LEFT - RIGHT), 1)

    height = TOP + ROW * len(rows) + BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(column.id)} with 95 % intervals">']
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{x(tick)}" y="{height - BOTTOM + 16}" '
            f'text-anchor="middle">{_tick(tick, ticks)}</text>'
        )
    for i, (row, cell) in enumerate(rows):
        y = TOP + ROW * i + ROW / 2
        shown = _title(row.method, cell, column)
        parts.append(f'<g class="{row.kind}{" first" if cell.may_be_first else ""}"><title>{escape(shown)}</title>')
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(row.method)}</text>')
        parts.append(f'<line class="whisker" x1="{x(cell.low)}" x2="{x(cell.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle cx="{x(cell.value)}" cy="{y}" r="4.5"/></g>')
    return Markup("".join([*parts, "</svg>"]))


def curve(sweep: Sweep, across: Column, up: Column) -> Markup:
    """Two columns against each other, along a sweep.

    Each curve of the sweep is a line. Each value of its setting is a point with both intervals. Empty where nothing can
    be drawn.
    """
    drawn = [(line.label, _places(line, across, up)) for line in sweep.lines]
    places = [(x, y) for _, points in drawn for _, x, y in points]
    if not places:
        return Markup("")
    left, right, top, bottom = 46, WIDTH - 24, 14, CURVE - 38
    x_ticks = nice_ticks(min(x.low for x, _ in places), max(x.high for x, _ in places))
    y_ticks = nice_ticks(min(y.low for _, y in places), max(y.high for _, y in places))

    def across_at(value: float) -> float:
        return round(left + (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - left), 1)

    def up_at(value: float) -> float:
        return round(bottom - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - top), 1)

    caption = f"{up.id} against {across.id} over {sweep.setting}"
    parts = [f'<svg viewBox="0 0 {WIDTH} {CURVE}" role="img" aria-label="{escape(caption)}">']
    for tick in x_ticks:
        at = across_at(tick)
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at}" y="{bottom + 16}" text-anchor="middle">{_tick(tick, x_ticks)}</text>'
        )
    for tick in y_ticks:
        at = up_at(tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{at + 4}" text-anchor="end">{_tick(tick, y_ticks)}</text>')
    parts.append(f'<text class="tick" x="{right}" y="{CURVE - 4}" text-anchor="end">{escape(across.title)}</text>')
    for number_of, (label, points) in enumerate(drawn):
        dashes = f' stroke-dasharray="{DASHES[number_of % len(DASHES)]}"' if number_of else ""
        joined = " ".join(f"{across_at(x.value)},{up_at(y.value)}" for _, x, y in points)
        parts.append(f'<polyline class="curve" points="{joined}"{dashes}/>')
        for value, x, y in points:
            here = (across_at(x.value), up_at(y.value))
            shown = (
                f"{sweep.setting}={value:g} {label}: {across.id} {number(x.value, across)}, {up.id} "
                f"{number(y.value, up)}"
            )
            parts.append(f"<g><title>{escape(shown)}</title>")
            parts.append(
                f'<line class="spread" x1="{across_at(x.low)}" x2="{across_at(x.high)}" y1="{here[1]}" y2="{here[1]}"/>'
            )
            parts.append(
                f'<line class="spread" x1="{here[0]}" x2="{here[0]}" y1="{up_at(y.low)}" y2="{up_at(y.high)}"/>'
            )
            parts.append(f'<circle cx="{here[0]}" cy="{here[1]}" r="4"/>')
            parts.append(f'<text class="tick" x="{here[0] + 7}" y="{here[1] - 6}">{value:g}</text></g>')
        if label and points:
            parts.append(f'<text class="tick" x="{here[0] + 7}" y="{here[1] + 14}">{escape(label)}</text>')
    return Markup("".join([*parts, "</svg>"]))


def _places(line: Curve, across: Column, up: Column) -> list[tuple[float, Cell, Cell]]:
    """The points of a curve for which both values are shown and comparable."""
    points = [(value, row.cells.get(across.id), row.cells.get(up.id)) for value, row in line.points]
    return [(value, x, y) for value, x, y in points if x is not None and y is not None and not x.note and not y.note]


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that enclose [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(low) or 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _tick(value: float, ticks: list[float]) -> str:
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return f"{value:.{decimals}f}".replace("-", "−")


def _title(method: str, cell: Cell, column: Column) -> str:
    return (
        f"{method}: {number(cell.value, column)} [{number(cell.low, column)}, {number(cell.high, column)}], n = "
        f"{cell.n:,}"
    )
