"""Plots as SVG text: one column of a leaderboard as points with their intervals."""

import math

from markupsafe import Markup, escape

from t2ibench.table import Board, Cell, Column, number

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 460, 22, 168, 14, 8, 26


def intervals(board: Board, column: Column) -> Markup:
    """A column as points with 95 % intervals, methods above baselines; what may be first is filled. Empty where nothing can be drawn."""
    rows = [(row, cell) for row in board.rows if (cell := row.cells.get(column.id)) is not None and cell.note != "made for this judge"]
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
        parts.append(f'<text class="tick" x="{x(tick)}" y="{height - BOTTOM + 16}" text-anchor="middle">{_tick(tick, ticks)}</text>')
    for i, (row, cell) in enumerate(rows):
        y = TOP + ROW * i + ROW / 2
        shown = _title(row.method, cell, column)
        parts.append(f'<g class="{row.kind}{" first" if cell.may_be_first else ""}"><title>{escape(shown)}</title>')
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(row.method)}</text>')
        parts.append(f'<line class="whisker" x1="{x(cell.low)}" x2="{x(cell.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle cx="{x(cell.value)}" cy="{y}" r="4.5"/></g>')
    return Markup("".join([*parts, "</svg>"]))


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
    return f"{method}: {number(cell.value, column)} [{number(cell.low, column)}, {number(cell.high, column)}], n = {cell.n:,}"
