"""The leaderboard, made from records alone: one board for each suite and track.

- Methods are ranked; baselines are listed after them and have no rank.
- A rank is a range from the best to the worst place that `t2ibench.stats.ranks` leaves open. All methods that may be
  first are marked.
- Numbers compare only under one protocol id. Where the ids of a column differ, the values of the rarer ids are marked
  and have no rank.
- A method with several run seeds shows the mean over them, and the mean of the ends of their intervals. The seeds share
  their prompts, so more seeds do not make the interval narrower.
- A partial record (coverage below 99 %) is not on the board, but listed under it.
- A value is not shown where the method was made for the judge that gives it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from statistics import fmean, median, stdev
from typing import Any

from t2ibench.core import plugins, records
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.report.audits import line
from t2ibench.stats.paired import Rule
from t2ibench.stats.ranks import ranks
from t2ibench.tracks.contract import installed


@dataclass(frozen=True)
class Cell:
    """One value of a row.

    value, low, high: the value and its 95 % interval.
    n: how many samples or prompts it is made of.
    protocol_id: the protocol under which it compares with others.
    rank: (best, worst), or None where it has no rank.
    note: why it has no rank, or is not shown.
    sd: the standard deviation over the run seeds; None for one seed.
    """

    value: float
    low: float
    high: float
    n: int
    protocol_id: str
    rank: tuple[int, int] | None = None
    note: str = ""
    sd: float | None = None

    @property
    def may_be_first(self) -> bool:
        return self.rank is not None and self.rank[0] == 1


@dataclass(frozen=True)
class Column:
    """One column: the values that have one id.

    id: the id of the values.
    group: the metric plug-in that makes them.
    better: "higher", "lower" or "none".
    protocols: how many protocol ids the rows have.
    decimals: how many decimals the intervals deserve.
    headline: whether the suite's board shows the column; the others are shown on request.
    labels: remarks that the metric makes about its numbers.
    rule: the test from which the ranks come.
    """

    id: str
    group: str
    better: str
    protocols: int
    decimals: int
    headline: bool
    labels: tuple[str, ...] = ()
    rule: Rule = "intervals"

    @property
    def title(self) -> str:
        return self.id + {"higher": " ↑", "lower": " ↓"}.get(self.better, "")


COSTS = {
    "seconds_per_image": "s / image",
    "training_seconds_per_prompt": "training s / prompt",
    "preparation_seconds": "preparation s",
}
COST_QUESTIONS = {
    "seconds_per_image": "how long does an image take, once everything is prepared?",
    "training_seconds_per_prompt": "how long does a method train for each text?",
    "preparation_seconds": "how long does a method prepare, once for all texts?",
}


@dataclass(frozen=True)
class Row:
    """One method or baseline.

    method: its id.
    kind: "method" or "baseline".
    seeds: the run seeds of its records.
    cells: its values, by the id of their column.
    coverage: the smallest share of usable images among its records.
    cost: seconds, by those keys of COSTS that its records have; means over the seeds.
    """

    method: str
    kind: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    coverage: float
    cost: Mapping[str, float]

    @property
    def seconds_per_image(self) -> float:
        return self.cost["seconds_per_image"]


@dataclass(frozen=True)
class Board:
    """The board of one suite and track. Rows are sorted by their mean rank over the headline columns.

    suite, track: their names.
    columns: all columns, also those that are shown on request only.
    methods, baselines: the rows.
    off: methods that are not on the board, and why.
    audits: one line for each human audit of a method on the board.
    cut: one line for each network of a method that cut texts.
    named: the keys of COSTS to show where the user chose columns, else None.
    questions: the question that a chosen column or cost answers, by its title.
    """

    suite: str
    track: str
    columns: Sequence[Column]
    methods: Sequence[Row]
    baselines: Sequence[Row]
    off: Sequence[tuple[str, str]]
    audits: Sequence[str] = ()
    cut: Sequence[str] = ()
    named: Sequence[str] | None = None
    questions: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [*self.methods, *self.baselines]

    @property
    def costs(self) -> list[str]:
        """The keys of COSTS that this board shows.

        These are the keys that the user chose; else the seconds an image takes, and what else some method pays. Where
        no method trains or prepares anything for its prompts, there are none.
        """
        if self.named is not None:
            return list(self.named)
        paid = [key for key in COSTS if key != "seconds_per_image" and any(row.cost.get(key) for row in self.methods)]
        return ["seconds_per_image", *paid] if paid else []


def boards(cell_records: Sequence[Mapping[str, Any]], audits: Sequence[Mapping[str, Any]] = ()) -> list[Board]:
    """Every board of a set of records. audits: the human audits that lie beside the records."""
    return [board(suite, track, group, audits) for (suite, track), group in records.suites(cell_records).items()]


def board(
    suite: str, track: str, cell_records: Sequence[Mapping[str, Any]], audits: Sequence[Mapping[str, Any]] = ()
) -> Board:
    """The board of one suite and track, from its records and the human audits beside them."""
    sound = [record for record in cell_records if not record["partial"]]
    off = [(record["method"], _why_off(record)) for record in cell_records if record["partial"]]
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for record in sound:
        by_method.setdefault(record["method"], []).append(record)
    value_ids = {id for record in sound for id in record["values"]}
    headline = [
        id for id in (sound[0]["columns"] if sound else []) if id in value_ids
    ]  # a suite's columns are those of all its tracks
    ids = list(dict.fromkeys([*headline, *(id for record in sound for id in record["values"])]))
    raw = {method: {id: cell for id in ids if (cell := _cell(id, group))} for method, group in by_method.items()}
    kinds = {method: group[0]["kind"] for method, group in by_method.items()}
    columns = [
        _column(id, sound, raw, not headline or id in headline)
        for id in ids
        if any(id in cells for cells in raw.values())
    ]
    columns = [_rank(column, raw, by_method) for column in columns]
    rows = [
        Row(
            method,
            kinds[method],
            tuple(sorted(record["seed"] for record in group)),
            raw[method],
            min(record["coverage"] for record in group),
            {
                key: fmean(record["cost"][key] for record in group)
                for key in COSTS
                if all(key in record["cost"] for record in group)
            },
        )
        for method, group in by_method.items()
    ]
    shown = [column.id for column in columns if column.headline]
    methods = _ordered([row for row in rows if row.kind == "method"], shown)
    baselines = _baselines([row for row in rows if row.kind != "method"], track)
    board_audits = [
        audit for audit in audits if (audit["suite"], audit["track"]) == (suite, track) and audit["method"] in by_method
    ]
    audit_lines = [line(audit, {record["images"] for record in by_method[audit["method"]]}) for audit in board_audits]
    cut = [
        f"{record['method']}: {text}"
        for record in sound
        for text in records.cut_lines(record["facts"].get("cut_texts", {}))
    ]
    return Board(suite, track, columns, methods, baselines, off, audit_lines, tuple(dict.fromkeys(cut)))


def chosen(whole: Sequence[Board], names: Sequence[str]) -> list[Board]:
    """Boards with only the named columns, in the order of `names`. The rows are sorted by their ranks in these columns.

    names: ids of values, or keys of COSTS. A board that has none of the values is left out. Raises UserError for a name
    that no board has.
    """
    known = {column.id for one in whole for column in one.columns} | COSTS.keys()
    for name in names:
        if name not in known:
            raise UserError(f"--columns: no board has a column {name!r}{did_you_mean(name, known)}")
    values = [name for name in names if name not in COSTS]
    return [_chosen(one, names) for one in whole if not values or any(column.id in values for column in one.columns)]


def _chosen(whole: Board, names: Sequence[str]) -> Board:
    by_id = {column.id: column for column in whole.columns}
    columns = [replace(by_id[name], headline=True) for name in names if name in by_id]
    costs = [name for name in names if name in COSTS and any(row.cost.get(name) for row in whole.methods)]
    questions = {column.title: text for column in columns if (text := question(column))} | {
        COSTS[key]: COST_QUESTIONS[key] for key in costs
    }
    methods = _ordered(whole.methods, [column.id for column in columns])
    return replace(whole, columns=columns, methods=methods, named=costs, questions=questions)


def of_methods(cell_records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The records of the named methods and baselines. Raises UserError for a name that has no record."""
    known = list(dict.fromkeys(record["method"] for record in cell_records))
    for name in names:
        if name not in known:
            raise UserError(f"--methods: no record is of {name!r}{did_you_mean(name, known)}")
    return [record for record in cell_records if record["method"] in names]


def question(column: Column) -> str:
    """The question that the numbers of a column answer, in the words of its metric; empty where it has none."""
    id = column.id.partition("@")[0]  # behind it stands the name that a suite gave the metric
    return next((text for ids, text in plugins.questions(column.group).items() if fnmatchcase(id, ids)), "")


def decimals_of(half: float) -> int:
    """How many decimals a value deserves whose interval has the half-width `half`, from 0 to 6.

    They show two digits of the half-width where it begins with 1, 2 or 3 (up to 3.55), and one digit otherwise.
    """
    if half <= 0:
        return 3
    power = math.floor(math.log10(half))
    return min(6, max(0, (1 if half / 10.0**power < 3.55 else 0) - power))


def number(value: float, column: Column) -> str:
    """A value with the column's decimals, a true minus sign, and no negative zero."""
    text = f"{value:.{column.decimals}f}"
    return text.replace("-", "−") if float(text) != 0 else text.removeprefix("-")


def rank_text(cell: Cell) -> str:
    """ "1", or "1–3" where the intervals leave it open."""
    if cell.rank is None:
        return ""
    return str(cell.rank[0]) if cell.rank[0] == cell.rank[1] else f"{cell.rank[0]}–{cell.rank[1]}"


def mean_rank(row: Row, columns: Sequence[str]) -> float | None:
    """The mean over columns of the middle of a row's rank range; None where it has no rank in any of them."""
    ranks = [sum(cell.rank) / 2 for id in columns if (cell := row.cells.get(id)) and cell.rank]
    return fmean(ranks) if ranks else None


def _cell(id: str, group: Sequence[Mapping[str, Any]]) -> Cell | None:
    """A method's value over its seeds; None unless every seed has it."""
    values = [record["values"].get(id) for record in group]
    if any(value is None for value in values):
        return None
    low, high = (fmean(value["ci"][end] for value in values) for end in (0, 1))
    protocols = {value["protocol_id"] for value in values}
    note = "made for this judge" if any(id in record["judge_overlap"] for record in group) else ""
    note = note or ("seeds of different protocols" if len(protocols) > 1 else "")
    return Cell(
        fmean(value["value"] for value in values),
        low,
        high,
        min(v["n"] for v in values),
        values[0]["protocol_id"],
        None,
        note,
        stdev(value["value"] for value in values) if len(values) > 1 else None,
    )


def _column(
    id: str, sound: Sequence[Mapping[str, Any]], raw: Mapping[str, Mapping[str, Cell]], headline: bool
) -> Column:
    first = next(record["values"][id] for record in sound if id in record["values"])
    cells = [cells[id] for cells in raw.values() if id in cells]
    halves = [(cell.high - cell.low) / 2 for cell in cells]
    wide = [half for half in halves if half > 1e-6 * max(halves)]  # the other widths come from rounding alone
    decimals = decimals_of(median(wide) if wide else 0.0)
    labels = [
        label
        for record in sound
        if id in record["values"]
        for label in record["values"][id]["details"].get("labels", ())
    ]
    protocols = len({cell.protocol_id for cell in cells})
    return Column(id, first["metric"], first["better"], protocols, decimals, headline, tuple(dict.fromkeys(labels)))


def _rank(column: Column, raw: dict[str, dict[str, Cell]], groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Column:
    """Set the ranks of a column in `raw`, and the note of every cell whose protocol is not the most common one.

    Returns the column with the rule that the ranks come from.
    """
    cells = {method: cells[column.id] for method, cells in raw.items() if column.id in cells}
    [(usual, _)] = Counter(cell.protocol_id for cell in cells.values()).most_common(1)
    for method, cell in cells.items():
        if not cell.note and cell.protocol_id != usual:
            raw[method][column.id] = replace(cell, note="other protocol")
    ranked = [method for method in cells if groups[method][0]["kind"] == "method" and not raw[method][column.id].note]
    if column.better == "none" or not ranked:
        return column
    values = [[record["values"][column.id] for record in groups[method]] for method in ranked]
    places, rule = ranks(values, [(cells[method].low, cells[method].high) for method in ranked], column.better)
    for method, rank in zip(ranked, places, strict=True):
        raw[method][column.id] = replace(cells[method], rank=rank)
    return replace(column, rule=rule)


def _baselines(rows: Sequence[Row], track: str) -> list[Row]:
    """Baselines in the order of their track, which takes long to load: for one alone it is not asked."""
    known = installed(track) if len(rows) > 1 else None
    order = {name: place for place, name in enumerate(() if known is None else known.baselines)}
    return sorted(rows, key=lambda row: (order.get(row.method.split("-")[0], 9), row.method))


def _ordered(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    places = {row.method: mean_rank(row, columns) for row in rows}
    return sorted(rows, key=lambda row: (math.inf if (at := places[row.method]) is None else at, row.method))


def _why_off(record: Mapping[str, Any]) -> str:
    counts = record["counts"]
    bad = ", ".join(f"{counts[status]:,} {status}" for status in ("black", "nan", "failed") if counts[status])
    return f"coverage {record['coverage']:.1%} of {counts['requested']:,} images ({bad}), seed {record['seed']}"
