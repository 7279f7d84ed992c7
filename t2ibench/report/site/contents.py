"""What a site is made of: records, and what lies beside them or was found out about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report import board as leaderboard
from t2ibench.report import drawn
from t2ibench.report.audits import load as audits_of
from t2ibench.report.board import Board
from t2ibench.report.drawn import Sheet
from t2ibench.report.elsewhere import Foreign
from t2ibench.report.gallery import Gallery, Made, galleries
from t2ibench.report.pair_charts import Pairs, pairs_of
from t2ibench.report.site.facts import Facts, facts_of, paper_of
from t2ibench.report.site.samples import Cell, cells_of
from t2ibench.report.verdicts import SELF_REPORTED, Standing, worst
from t2ibench.runner import suite

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """One claim of a paper with its verdict.

    paper: the plug-in of the method whose paper makes it.
    text, pair, metric: the claim, the two entries that it orders, and the value in which they are compared.
    verdict: "confirmed", "refuted", "inconclusive" or "not run".
    difference, p, where: what the verdict comes from, as text; empty for one that was not run.
    missing: why it was not run.
    entries: the methods that it is about.
    """

    paper: str
    text: str
    pair: str
    metric: str
    verdict: str
    difference: str = ""
    p: str = ""
    where: str = ""
    missing: str = ""
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recomputed:
    """What was recomputed before the site was written, in numbers of values.

    means: the mean of the samples that the record keeps.
    rates: shares of hits with their interval, in the tables of a value.
    left: values of which the record keeps no samples, such as distances between sets.
    """

    means: int
    rates: int
    left: int


@dataclass(frozen=True)
class BoardContents:
    """One board with the records that it is made of.

    facts: what is known about each of its methods and baselines, by id.
    title: what the suite's first line says; empty where it is not known.
    work: the folders in which the images of its cells are looked for.
    results: the folders in which the sheets of cells without images are looked for.
    standings: which of its records were verified, by cell; empty where nobody looked.
    """

    board: Board
    records: Sequence[Record]
    facts: Mapping[str, Facts]
    title: str
    work: Sequence[Path] = ()
    results: Sequence[Path] = ()
    standings: Mapping[tuple[Any, ...], Standing] = field(default_factory=dict)

    def standing(self, method: str) -> Standing:
        """Whether the records of a row were verified, over all its seeds."""
        of_row = [record for record in self.records if record["method"] == method]
        return worst([self.standings.get(records.cell_of(record), SELF_REPORTED) for record in of_row])

    @property
    def names(self) -> tuple[str, str]:
        return self.board.suite, self.board.track

    @cached_property
    def pairs(self) -> Pairs | None:
        """The attribute pairs of its rows; None where its records have none."""
        return pairs_of(self.board, self.records)

    @cached_property
    def cells(self) -> list[Cell]:
        """Its cells in the order of its rows, then those that are off the board."""
        order = {row.method: place for place, row in enumerate(self.board.rows)}
        ordered = sorted(self.records, key=lambda record: (order.get(record["method"], len(order)), record["seed"]))
        return cells_of(ordered, self.work)

    @cached_property
    def sheets(self) -> list[Sheet]:
        """The sheets of drawn samples of cells that have no images."""
        bare = [cell.record for cell in self.cells if cell.why]
        found = [next((one for top in self.results if (one := drawn.read(record, top))), None) for record in bare]
        return [sheet for sheet in found if sheet is not None]

    @cached_property
    def galleries(self) -> list[Gallery]:
        """The same prompts by every row that has images."""
        made: dict[str, Made] = {}
        rows = {row.method for row in self.board.rows}
        for cell in self.cells:
            if cell.folder is not None and cell.record["method"] in rows:
                made.setdefault(cell.record["method"], Made(cell.folder, {o.sample: o for o in cell.outcomes}))
        return galleries(self.board.track, made)


@dataclass(frozen=True)
class Contents:
    """Everything that a site shows.

    records: the records, no two of one cell.
    audits: human audits that lie beside them.
    work: the folders in which the images of cells are looked for.
    results: the folders of the records, in which sheets of drawn samples are looked for.
    sizes: the number of parameters of weights, by their sha256.
    claims: the claims of papers, judged on these records.
    recomputed: what was recomputed; None where nothing was.
    standings: which records were verified, by cell.
    elsewhere: numbers that others report.
    """

    records: Sequence[Record]
    audits: Sequence[Mapping[str, Any]] = ()
    work: Sequence[Path] = ()
    results: Sequence[Path] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    claims: Sequence[Claim] = ()
    recomputed: Recomputed | None = None
    standings: Mapping[tuple[Any, ...], Standing] = field(default_factory=dict)
    elsewhere: Sequence[Foreign] = ()

    @cached_property
    def boards(self) -> list[BoardContents]:
        """Every board, by suite; the track of a suite with the most methods first."""
        shipped = suite.available()
        groups = records.suites(self.records)
        facts = self.facts
        contents = []
        for (name, track), of_board in groups.items():
            board = leaderboard.board(name, track, of_board, self.audits)
            known = {record["method"]: facts[name, record["method"]] for record in of_board}
            title = suite.title(shipped[name]) if name in shipped else ""
            contents.append(BoardContents(board, of_board, known, title, self.work, self.results, self.standings))
        return sorted(contents, key=lambda one: (one.board.suite, -len(one.board.methods), one.board.track))

    @cached_property
    def facts(self) -> dict[tuple[str, str], Facts]:
        """What is known about every (suite, method)."""
        groups: dict[tuple[str, str], list[Record]] = {}
        for record in self.records:
            groups.setdefault((record["suite"], record["method"]), []).append(record)
        paper = cache(paper_of)  # the variants of a method share one
        return {key: facts_of(of_method, self.sizes, paper) for key, of_method in groups.items()}


def read(folders: Sequence[Path], suite_name: str | None = None) -> tuple[list[Record], list[Mapping[str, Any]]]:
    """The records and audits of folders.

    suite_name: if given, only records of this suite. Raises UserError where two folders hold a record of one cell.
    """
    rows: list[Record] = []
    audits: list[Mapping[str, Any]] = []
    first: dict[tuple[Any, ...], Path] = {}
    for folder in folders:
        audits += audits_of(folder)
        for record in records.load(folder):
            if suite_name not in (None, record["suite"]):
                continue
            cell = records.cell_of(record)
            if cell in first:
                raise UserError(
                    f"{folder}: holds a record of {'/'.join(map(str, cell))}, and so does {first[cell]}: give one of "
                    f"them, or choose a suite with --suite"
                )
            first[cell] = folder
            rows.append(record)
    return rows, audits
