"""How healthy a benchmark is: what its records say of the benchmark itself, and not of the methods.

For every number of a track:

- room: how far the best method is from real images (the baseline `real`), as a share of the way from the worst row of
  the board to them. 1: no method has come any nearer than the worst row. Below 5 % the number is `saturated`: it cannot
  show that a better method is better. Where a method is shown to be beyond real images, they are not its ceiling.
- told apart: how many pairs of methods it orders by more than chance, by the test that ranks the board (5 %, Holm).
- agreement (`agrees`): Kendall's tau-b of its order of the methods with that of another number, the mean over all
  others. Beside it stands the number that contradicts it most: how many of the pairs that both tell apart they order
  the other way.

And for the whole track, what people said of the judge's answers (`t2ibench audit`).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plain_text import for_markdown
from t2ibench.core.records import suites
from t2ibench.report.board import Board, Column, board
from t2ibench.stats.paired import difference, paired
from t2ibench.stats.pairwise import differences
from t2ibench.stats.ranks import LEVEL, above_by_differences, above_by_intervals

CEILING = "real"  # the baseline that marks it
SATURATED, BLUNT = 0.05, 0.5  # a smaller room, a smaller share of pairs told apart
ENOUGH = 3  # methods, below which no order is worth a comparison
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Opposite:
    """The number that contradicts another one most.

    id: its id. pairs: the pairs of methods that both tell apart. opposite: those that they order the other way.
    """

    id: str
    pairs: int
    opposite: int


@dataclass(frozen=True)
class ColumnHealth:
    """The health of one number.

    id, better: as on the board.
    methods: how many methods have a rank in it.
    best: the method with the best value, which is `value`.
    ceiling: the value of real images; None where they have none under this protocol.
    room: see above; None without a ceiling.
    p: the two-sided p that the best method equals real images; None without a ceiling.
    pairs, apart: the pairs of methods, and how many of them it tells apart.
    agreement: see above; None where there is no other number, or too few methods.
    against: the number that contradicts it most; None if none does.
    flags: what is wrong, in words; empty for a healthy number.
    """

    id: str
    better: str
    methods: int
    best: str
    value: float
    ceiling: float | None
    room: float | None
    p: float | None
    pairs: int
    apart: int
    agreement: float | None
    against: Opposite | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Health:
    """The health of one track of a suite.

    columns: its numbers, as on the board.
    people: a line for each human audit; empty if nobody was asked.
    off: methods that are not on the board, and why.
    """

    suite: str
    track: str
    columns: Sequence[ColumnHealth]
    people: Sequence[str]
    off: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class _Order:
    """The ranked methods of a column, their values (higher is better), and whether i is told to stand above j."""

    methods: Sequence[str]
    values: np.ndarray
    above: np.ndarray


def health(
    cell_records: Records, audits: Records = (), everything: bool = False, track: str | None = None
) -> list[Health]:
    """The health of every track of the records. everything: of all numbers, and not of the suite's columns alone.

    Raises UserError for a track without a record.
    """
    groups = suites(cell_records)
    tracks = {of for _, of in groups}
    if track is not None and track not in tracks:
        raise UserError(f"--track: no record is of the track {track!r}{did_you_mean(track, tracks)}")
    return [
        of_board(board(suite, of, group, audits), group, everything)
        for (suite, of), group in groups.items()
        if track in (None, of)
    ]


def of_board(shown: Board, cell_records: Records, everything: bool = False) -> Health:
    """The health of a board. cell_records: the records that it was made of."""
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for record in cell_records:
        if not record["partial"]:
            by_method.setdefault(record["method"], []).append(record)
    columns = [column for column in shown.columns if column.headline or everything]
    orders = {column.id: _order(shown, column, by_method) for column in columns}
    healths = [_of_column(shown, column, by_method, orders) for column in columns]
    return Health(shown.suite, shown.track, healths, list(shown.audits), list(shown.off))


def _order(shown: Board, column: Column, by_method: Mapping[str, Records]) -> _Order:
    ranked = [row for row in shown.methods if (cell := row.cells.get(column.id)) and cell.rank is not None]
    cells = [row.cells[column.id] for row in ranked]
    sign = -1 if column.better == "lower" else 1
    values = [[record["values"][column.id] for record in by_method[row.method]] for row in ranked]
    if len(ranked) > 1 and paired(values):
        above = above_by_differences(differences(values), len(values), column.better)
    else:
        above = above_by_intervals([(cell.low, cell.high) for cell in cells], column.better)
    return _Order([row.method for row in ranked], sign * np.array([cell.value for cell in cells]), above)


def _of_column(
    shown: Board, column: Column, by_method: Mapping[str, Records], orders: Mapping[str, _Order]
) -> ColumnHealth:
    order, sign = orders[column.id], -1 if column.better == "lower" else 1
    count = len(order.methods)
    if column.better == "none" or not count:
        why = "no direction" if column.better == "none" else "no rank"
        return ColumnHealth(column.id, column.better, count, "", 0.0, None, None, None, 0, 0, None, None, (why,))
    place = int(order.values.argmax())
    best, value = order.methods[place], float(order.values[place])
    noted = [cell for row in shown.rows if (cell := row.cells.get(column.id)) and not cell.note]
    real = next((row for row in shown.baselines if row.method == CEILING), None)
    cell = None if real is None else real.cells.get(column.id)
    ceiling = None if cell is None or cell.note else sign * cell.value
    room = p = None
    if ceiling is not None:
        scale = max(ceiling, value) - min(sign * cell.value for cell in noted)
        room = (ceiling - value) / scale if scale > 0 else 0.0
        sides = [[record["values"][column.id] for record in by_method[name]] for name in (best, CEILING)]
        p = difference(*sides).p
    pairs, apart = count * (count - 1) // 2, int(order.above.sum())
    agreement, against = _agreement(column.id, orders)
    return ColumnHealth(
        id=column.id,
        better=column.better,
        methods=count,
        best=best,
        value=sign * value,
        ceiling=None if ceiling is None else sign * ceiling,
        room=room,
        p=p,
        pairs=pairs,
        apart=apart,
        agreement=agreement,
        against=against,
        flags=flags(room, p, pairs, apart, count, agreement),
    )


def _agreement(id: str, orders: Mapping[str, _Order]) -> tuple[float | None, Opposite | None]:
    """The mean tau-b with every other column, and the column that contradicts this one most."""
    taus, opposites = [], []
    for other, theirs in orders.items():
        both = [method for method in orders[id].methods if method in theirs.methods]
        if other == id or len(both) < ENOUGH:
            continue
        mine = [orders[id].methods.index(method) for method in both]
        others = [theirs.methods.index(method) for method in both]
        tau = float(kendalltau(orders[id].values[mine], theirs.values[others]).statistic)
        if np.isfinite(tau):  # it is not where one of them gives all methods one value
            taus.append(tau)
        ours, against = orders[id].above[np.ix_(mine, mine)], theirs.above[np.ix_(others, others)]
        told = (ours | ours.T) & (against | against.T)
        opposites.append(Opposite(other, int(np.triu(told).sum()), int((ours & against.T).sum())))
    worst = max(opposites, key=lambda one: one.opposite, default=None)
    return (float(np.mean(taus)) if taus else None), (worst if worst and worst.opposite else None)


def flags(
    room: float | None, p: float | None, pairs: int, apart: int, methods: int, agreement: float | None
) -> tuple[str, ...]:
    """What is wrong with a number, in words. The arguments are those of ColumnHealth."""
    found = list[str]()
    if room is not None and p is not None:
        if room < 0 and p <= LEVEL:
            found.append("beyond real")
        elif room < SATURATED:
            found.append("saturated")
        elif p > LEVEL:
            found.append("few images")
    if methods < 2:
        found.append("one method")
    if methods >= ENOUGH and apart < BLUNT * pairs:
        found.append("blunt")
    if agreement is not None and agreement < 0:
        found.append("contrary")
    return tuple(found)


LEGEND = (
    "room: from the best method to real images, as a share of the way from the worst row. apart: pairs of methods that "
    "it tells apart. agrees: mean tau with the other numbers. against: the number that orders most of these pairs the "
    "other way."
)
MEANS = {  # of the verdicts
    "saturated": "the best method is within 5 % of real images: it cannot show a better one",
    "beyond real": "the best method is better than real images, which are no ceiling of it",
    "few images": "there is room, but so few images that the best method is not told from real ones",
    "blunt": "less than half of the pairs of methods are told apart",
    "contrary": "its order of the methods goes against that of the other numbers",
    "one method": "there is no other method to tell from it",
    "no direction": "neither higher nor lower is better, so it orders nothing",
    "no rank": "no method has a rank in it",
}
NOBODY = "nobody was asked whether the judges are right: `t2ibench audit draw`"
HEADS = ("number", "best method", "best", "real", "room", "apart", "agrees", "against", "verdict")


def row_of(column: ColumnHealth) -> tuple[str, ...]:
    """The row of a number, under HEADS."""
    arrow = {"higher": " ↑", "lower": " ↓"}.get(column.better, "")
    if not column.best:
        return (f"{column.id}{arrow}", *[""] * 7, ", ".join(column.flags))
    against = column.against
    return (
        f"{column.id}{arrow}",
        column.best,
        _figure(column.value),
        _figure(column.ceiling),
        "" if column.room is None else f"{100 * max(column.room, 0.0):.0f} %",
        f"{column.apart}/{column.pairs}" if column.pairs else "",
        "" if column.agreement is None else f"{column.agreement:.2f}".replace("-", "−"),
        "" if against is None else f"{against.id} {against.opposite}/{against.pairs}",
        ", ".join(column.flags) or "healthy",
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}".replace("-", "−")


def notes(one: Health) -> list[str]:
    """The lines under a table."""
    found = dict.fromkeys(flag for column in one.columns for flag in column.flags)
    return [
        LEGEND,
        *(f"{flag}: {MEANS[flag]}." for flag in found),
        *(one.people or [NOBODY]),
        *(f"not counted: {method}, {why}" for method, why in one.off),
    ]


def as_json(healths: Sequence[Health]) -> list[dict[str, Any]]:
    return [asdict(one) for one in healths]


def markdown(healths: Sequence[Health]) -> str:
    """A table a track, under a heading."""
    parts = []
    for one in healths:
        rows = [HEADS, *map(row_of, one.columns)]
        lines = ["| " + " | ".join(for_markdown(cell) for cell in row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(HEADS))
        under = list(itertools.chain.from_iterable((for_markdown(line), "") for line in notes(one)))
        parts.append("\n".join([for_markdown(f"### Health of {one.suite}: {one.track}"), "", *lines, "", *under]))
    return "\n".join(parts)
