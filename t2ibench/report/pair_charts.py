"""Two figures of compositional accuracy, made from records.

The first is a heat map of all attribute pairs by all methods. The second compares rare pairs with their controls.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from t2ibench.report.board import Board, Cell

STRATA = {"ca_control": "control", "ca_rare": "rare", "ca_near_unseen": "near unseen"}
LOW, MIDDLE, HIGH = (247, 249, 252), (106, 165, 216), (11, 60, 111)  # colours of the rates 0, 0.5 and 1
CELL, ROW, LABEL, HEAD = (88, 20, 316, 64)
LINE, LEFT, WIDTH = 17, 200, 760  # pixels of the second figure
STYLE = """
.pairs { background: #fff; } .pairs text { font-family: system-ui, 'DejaVu Sans', sans-serif; font-size: 12px; fill: #1c1d22; }
.pairs .tick { fill: #6d7079; font-size: 9.5px; } .pairs .interval { fill: #4a4d55; font-size: 9.5px; } .pairs .deep { fill: #1c1d22; }
.pairs .list { font-weight: bold; } .pairs .pale { fill: #fff; } .pairs .baseline { font-style: italic; } .pairs .grid { stroke: #e3e4e8; }
.pairs .none { fill: #f1f1f3; } .pairs .whisker { stroke-width: 2; } .pairs .lost { stroke: #c9ccd3; stroke-width: 5; }
.pairs .control { stroke: #6d7079; fill: #fff; } .pairs .rare { stroke: #2f5fd0; fill: #2f5fd0; }
.pairs .near-unseen { stroke: #b4472f; fill: #b4472f; }
"""  # noqa: E501


@dataclass(frozen=True)
class Rate:
    """How often a method draws an attribute pair.

    value: the rate, in [0, 1]; None where the judge is not reliable enough on the pair.
    low, high: its 95 % interval.
    n: the number of images.
    corrected: whether the errors of the judge are taken out of the rate.
    """

    value: float | None
    low: float
    high: float
    n: int
    corrected: bool


@dataclass(frozen=True)
class AttributePairRow:
    """One attribute pair.

    pair: its name.
    heading: the list of pairs in which it stands.
    train_n: how many training images show it.
    control: the pair that it is matched with, if any.
    rates: one for each method; None where a method has no such pair.
    """

    pair: str
    heading: str
    train_n: int
    control: str | None
    rates: Sequence[Rate | None]


@dataclass(frozen=True)
class Pairs:
    """The attribute pairs of a board.

    group: the metric plug-in that made the rates.
    methods: (name, kind), in the order of the board.
    lines: one for each pair.
    """

    group: str
    methods: Sequence[tuple[str, str]]
    lines: Sequence[AttributePairRow]

    @property
    def not_judged(self) -> list[str]:
        """The names of the pairs on which the judge is not reliable enough."""
        return [line.pair for line in self.lines if any(rate is not None and rate.value is None for rate in line.rates)]


def pairs_of(board: Board, cell_records: Sequence[Mapping[str, Any]]) -> Pairs | None:
    """The attribute pairs of a board, from the first run seed of each method; None where its records have none."""
    tables: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    group = ""
    firsts: dict[str, Mapping[str, Any]] = {}
    for record in cell_records:
        if record["track"] == board.track:
            firsts.setdefault(record["method"], record)
    for row in board.rows:
        for value in firsts[row.method]["values"].values():
            listed = value["details"].get("pairs")
            if isinstance(listed, list) and all(isinstance(entry, dict) and "train_n" in entry for entry in listed):
                tables[row.method], group = {entry["pair"]: entry for entry in listed}, value["metric"]
                break
    if not tables:
        return None
    methods = [(row.method, row.kind) for row in board.rows if row.method in tables]
    first = {name: entry for name, _ in methods for name, entry in tables[name].items()}
    order = list(dict.fromkeys(entry["roles"][0] for entry in first.values()))
    lines = [
        AttributePairRow(
            pair,
            entry["roles"][0],
            entry["train_n"],
            entry["control"],
            [_rate(tables[name][pair]) if pair in tables[name] else None for name, _ in methods],
        )
        for pair, entry in sorted(first.items(), key=lambda item: order.index(item[1]["roles"][0]))
    ]
    return Pairs(group, methods, lines)


def _rate(entry: Mapping[str, Any]) -> Rate:
    corrected = entry["corrected"] is not None
    low, high = entry["corrected_ci"] if corrected else entry["ci"]
    value = None if entry["status"] == "not judged" else entry["corrected"] if corrected else entry["ca"]
    return Rate(value, low, high, entry["n"], corrected)


def heat_map(pairs: Pairs) -> Markup:
    """The heat map, with a row a pair and a column a method. A cell shows the rate and its 95 % interval.

    A ring (°) marks an uncorrected rate. A pair that is not judged has no colour.
    """
    width, parts, y, heading = LABEL + CELL * len(pairs.methods), [], HEAD, ""
    for column, (method, kind) in enumerate(pairs.methods):
        x = LABEL + CELL * column + CELL / 2
        for place, words in enumerate(_broken(method)):
            parts.append(
                f'<text class="{kind}" x="{x}" y="{HEAD - 46 + 13 * place}" text-anchor="middle">{escape(words)}</text>'
            )
    parts.append(f'<text class="tick" x="{LABEL - 8}" y="{HEAD - 46}" text-anchor="end">images in training</text>')
    for line in pairs.lines:
        if line.heading != heading:
            heading, y = line.heading, y + 24
            parts.append(f'<text class="list" x="0" y="{y - 7}">{escape(heading.replace("_", " "))}</text>')
        matched = f", matched control {line.control}" if line.control else ""
        parts.append(
            f'<text x="0" '
            f'y="{y + 14}">{escape(line.pair.replace("+", " + "))}<title>{escape(line.pair + matched)}</title></text>'
        )
        parts.append(f'<text class="tick" x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{line.train_n:,}</text>')
        parts += [
            _cell(LABEL + CELL * k, y, f"{method}, {line.pair}", rate)
            for k, ((method, _), rate) in enumerate(zip(pairs.methods, line.rates, strict=True))
        ]
        y += ROW
    return _svg(width, y + 4, "accuracy of every pair by every method, with 95 % intervals", parts)


def _cell(x: float, y: float, name: str, rate: Rate | None) -> str:
    if rate is None or rate.value is None:
        reason = "no images" if rate is None else "not judged"
        title = f"<title>{escape(name)}: {reason}</title>"
        box = f'<rect class="none" x="{x}" y="{y}" width="{CELL - 1}" height="{ROW - 1}"/>'
        return (
            f'<g>{title}{box}<text class="interval" x="{x + CELL / 2}" y="{y + 13}" '
            f'text-anchor="middle">{reason}</text></g>'
        )
    how = "freed of the judge's errors" if rate.corrected else "uncorrected"
    title = f"<title>{escape(name)}: {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}], n = {rate.n:,}, {how}</title>"
    ink = " pale" if rate.value > 0.48 else " deep" if rate.value > 0.3 else ""
    box = f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{ROW - 1}" fill="{colour(rate.value)}"/>'
    value = (
        f'<text class="value{ink}" x="{x + 28}" y="{y + 14}" '
        f'text-anchor="end">{_short(rate.value)}{"" if rate.corrected else "°"}</text>'
    )
    ends = f"{_short(rate.low)}–{_short(rate.high)}"
    return (
        f'<g>{title}{box}{value}<text class="interval{ink}" x="{x + CELL - 6}" y="{y + 13.5}" '
        f'text-anchor="end">{ends}</text></g>'
    )


def rare_against_control(board: Board) -> Markup:
    """For each method, the rates of its control, rare and near-unseen pairs on an axis from 0 to 1, with intervals.

    Empty where no method has rare or near-unseen pairs.
    """
    rows = [row for row in board.rows if "ca_rare" in row.cells or "ca_near_unseen" in row.cells]
    if not rows:
        return Markup("")
    top, height = 30, LINE * len(STRATA) + 10
    bottom = top + height * len(rows)
    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(f'<line class="grid" x1="{_x(tick)}" x2="{_x(tick)}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{_x(tick)}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
    for place, (id, name) in enumerate(STRATA.items()):
        x = LEFT + 150 * place
        parts.append(
            f'<circle class="{_class(id)}" cx="{x}" cy="12" r="4.5"/><text x="{x + 10}" y="16">{name} pairs</text>'
        )
    for i, row in enumerate(rows):
        y = top + height * i
        parts.append(
            f'<text class="{row.kind}" x="{LEFT - 12}" y="{y + height / 2 + 4}" '
            f'text-anchor="end">{escape(row.method)}</text>'
        )
        marks = {id: cell for id in STRATA if (cell := row.cells.get(id)) is not None and not cell.note}
        ends = [marks[id].value for id in ("ca_control", "ca_rare") if id in marks]
        if len(ends) == 2:
            parts.append(
                f'<line class="lost" x1="{_x(ends[0])}" x2="{_x(ends[1])}" y1="{y + 5 + LINE}" y2="{y + 5 + LINE}"/>'
            )
        for place, id in enumerate(STRATA):
            if id in marks:
                parts.append(_mark(id, f"{row.method}, {STRATA[id]} pairs", marks[id], y + 5 + LINE * (place + 0.5)))
    return _svg(
        WIDTH,
        bottom + 22,
        "accuracy of rare and near-unseen pairs against matched controls, with 95 % intervals",
        parts,
    )


def _mark(id: str, name: str, cell: Cell, y: float) -> str:
    title = f"<title>{escape(name)}: {cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}], n = {cell.n:,}</title>"
    whisker = f'<line class="whisker {_class(id)}" x1="{_x(cell.low)}" x2="{_x(cell.high)}" y1="{y}" y2="{y}"/>'
    return f'<g>{title}{whisker}<circle class="{_class(id)}" cx="{_x(cell.value)}" cy="{y}" r="4.5"/></g>'


def _x(value: float) -> float:
    return round(LEFT + value * (WIDTH - LEFT - 20), 1)


def _class(id: str) -> str:
    return STRATA[id].replace(" ", "-")


def colour(rate: float) -> str:
    """The colour of a rate: white for 0, blue for 0.5 and dark blue for 1, linear in between."""
    share = min(1.0, max(0.0, rate)) * 2
    first, second = (LOW, MIDDLE) if share <= 1 else (MIDDLE, HIGH)
    weight = share if share <= 1 else share - 1
    return "#" + "".join(f"{round(a + (b - a) * weight):02x}" for a, b in zip(first, second, strict=True))


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"


def _broken(name: str) -> list[str]:
    """A method's name, broken into lines of about 12 letters."""
    lines = [""]
    for word in name.split("-"):
        if lines[-1] and len(lines[-1]) + len(word) >= 11:
            lines[-1] += "-"
            lines.append("")
        lines[-1] += ("-" if lines[-1] else "") + word
    return lines


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> Markup:
    opening = (
        f'<svg class="pairs" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">'
    )
    return Markup("".join([opening, *parts, "</svg>"]))


def standalone(svg: Markup) -> str:
    """A figure as a file of its own: on white, with the style of the page, and without the tooltips of the page."""
    opening, _, rest = re.sub("<title>[^<]*</title>", "", svg).partition(">")
    return f'{opening}><style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{rest}\n'
