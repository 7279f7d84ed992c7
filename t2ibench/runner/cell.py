"""One cell of a suite: a track, a method and a run seed. It is prepared, made, scored and recorded.

From here to an equation there are two calls: `score.score` calls a metric, the metric computes.
"""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from t2ibench.core import environment, records
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.core.records import FULL_COVERAGE
from t2ibench.core.storage import removed
from t2ibench.data.dataset import Dataset
from t2ibench.runner.generate import BATCH, cost_of, generate, locked, samples_by_group
from t2ibench.runner.journal import TOTAL, TRAINED, Outcome, Store
from t2ibench.runner.methods import Method, broken, entry_of, guided, method_maker
from t2ibench.runner.plan import Plan
from t2ibench.runner.record import assemble, coverage, plugins_of, recorded
from t2ibench.runner.suite import Suite
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.score import score
from t2ibench.tracks.contract import Maker, Sample

log = logging.getLogger(__name__)
PIECES = "features"  # the folder of features in that of a cell, until it is scored


@dataclass(frozen=True)
class RunOptions:
    """How and where a suite is run. Nothing here is part of a record's identity.

    out: the folder of records and boards.
    work: the folder of images and journals.
    batch: how many images are made at once. Another number may move a pixel by one grey level, and with it the last
        digits of a value.
    device: the device on which all networks run.
    replace: write over records that were made with other settings.
    again: names of methods or baselines of the suite whose cells are made anew, their images too.
    cache: the folder of what is computed once and kept, such as features; None: the user's. With an empty one,
        everything is computed again.
    jobs: how many processes work at once. 1: this process alone. 0: as many as the processors and the number of images
        make worth while.
    devices: the devices of these processes, in turn; empty: `device` for all.
    threads: of torch, in each process. Another number may change the last digits of a value.
    workers: threads that decode images beside the network, in each process; None: as many as it has processors, at most
        8 (`t2ibench.core.readers`). They change no number.
    batch_timeout: seconds after which a process that is still at one batch is ended. The batch is tried again, up to
        three times, and recorded as failed then. It needs a process of its own, also where `jobs` is 1.
    shard: i and N: only every N-th block is made, beginning with the i-th, and nothing is scored. The parts of other
        machines are made beside this one, without a word between them. The same run without it scores them together.
    executor: where the processes are: on this machine, or actors of a Ray cluster, whose nodes all see the folders.
    address: of the cluster, as `ray.init` takes it ("auto", "ray://…"); empty: one is started on this machine.
    """

    out: Path = Path("runs")
    work: Path = Path("runs")
    batch: int = BATCH
    device: str = "cpu"
    replace: bool = False
    again: Sequence[str] = ()
    cache: Path | None = None
    jobs: int = 1
    devices: Sequence[str] = ()
    threads: int = 1
    workers: int | None = None
    batch_timeout: float | None = None
    shard: tuple[int, int] | None = None
    executor: Literal["local", "ray"] = "local"
    address: str = ""


@dataclass(frozen=True)
class CellResult:
    """The record of a cell.

    record: its content.
    path: its file.
    fresh: whether this run made it; False where it was recorded before.
    seconds: how long this run spent on the cell.
    """

    record: Mapping[str, Any]
    path: Path
    fresh: bool
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether the cell has no image that can be scored."""
        return self.record["counts"]["ok"] == 0


def maker_of(plan: Plan, entry: Entry, seed: int) -> Maker:
    """The method or baseline that makes the images of an entry."""
    if entry.kind == "method":
        return _method(plan, entry, plan.data)
    of = str(entry.settings.get("of", "real"))
    maker = None if of == "real" else _method(plan, entry_of(plan.suite, of))
    assert plan.of_track.baseline is not None  # the track has this baseline
    return plan.of_track.baseline(entry.name, maker, plan.asked, seed)


def _method(plan: Plan, entry: Entry, data: Dataset | None = None) -> Maker:
    """A method that is ready; one that cannot be prepared fails in every sample, so that the other methods run."""
    entry = guided(entry, plan.data.networks, plan.suite.name)
    try:
        return method_maker(entry, plan.track, plan.suite.name, plan.device, data, plan.data.cache)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        return broken(entry, plan.suite.name, error)


@dataclass(frozen=True)
class Cell:
    """A cell before its images are made.

    maker: the method or baseline that makes its images.
    identity_of: everything that decides its numbers.
    code: the revision and the source of its plug-ins.
    path: the file of its record.
    folder: the folder of its images and journal.
    earlier: its record, if it holds already.
    """

    plan: Plan
    entry: Entry
    seed: int
    maker: Maker
    identity_of: Mapping[str, Any]
    code: Mapping[str, Mapping[str, Any]]
    path: Path
    folder: Path
    earlier: Mapping[str, Any] | None

    @cached_property
    def samples(self) -> Sequence[Sample]:
        return self.plan.of_track.samples(self.plan.prompts, self.seed)

    @cached_property
    def sources(self) -> dict[str, str]:
        """What each sample is made from, by its id (`Outcome.source`)."""
        return {sample.id: self.maker.source(sample) for sample in self.samples}


def cell_of(plan: Plan, entry: Entry, seed: int, options: RunOptions, before: Cell | None = None) -> Cell:
    """Prepare the maker of a cell and look whether the cell is recorded. Raises UserError as `recorded` does.

    before: the cell that was prepared last. Its method stays loaded if this cell is of the same one, with another run
        seed. A method that has an account of what it has spent begins a new one.
    """
    same = before is not None and (before.plan.track, before.entry) == (plan.track, entry) and entry.kind == "method"
    maker = before.maker if before is not None and same and not before.maker.cost else maker_of(plan, entry, seed)
    identity_of = {
        "track": plan.track,
        "maker": maker.identity,
        "seed": seed,
        "dataset": plan.data.facts,
        "prompts": plan.prompt_facts["digest"],
        "metrics": [metric.identity for metric in plan.metrics],
    }
    path = records.path_of(options.out, plan.suite.name, plan.track, entry.id, seed)
    method = method_of(plan.suite, entry)
    code = plugins_of(method, plan.suite.dataset.name, [metric.name for metric in plan.metrics])
    folder = records.images_of(options.work, plan.suite.name, plan.track, entry.id, seed, maker.identity, code)
    again = entry.id in options.again
    earlier = None if again else recorded(path, identity_of, code, options.replace)
    return Cell(plan, entry, seed, maker, identity_of, code, path, folder, earlier)


@contextmanager
def so_many_threads(number: int) -> Iterator[None]:
    """So many threads of torch inside: sums and gradients differ in their last digits between one thread and two."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_cell(plan: Plan, entry: Entry, seed: int, options: RunOptions, columns: Collection[str] = ()) -> CellResult:
    """Make, score and record one cell, or read its record where there is one already.

    columns: ids of values that the cell's metrics must make. Raises UserError where one is not made.
    """
    started = time.perf_counter()
    cell = cell_of(plan, entry, seed, options)
    if cell.earlier is not None:
        return CellResult(cell.earlier, cell.path, False, time.perf_counter() - started)
    environment.reset_peak_memory(options.device)
    with so_many_threads(options.threads), locked(cell.folder):
        if entry.id in options.again:
            Store(cell.folder).clear()
        record = finish(cell, options, columns)
    return CellResult(record, cell.path, True, time.perf_counter() - started)


def finish(cell: Cell, options: RunOptions, columns: Collection[str] = ()) -> dict[str, Any]:
    """Make what is missing of a cell, score it and write its record. Whoever calls it holds the lock of the cell.

    columns: as in `run_cell`.
    """
    plan, entry = cell.plan, cell.entry
    store = Store(cell.folder)
    outcomes = generate(cell.maker, cell.samples, store, entry.id, options.batch)
    store.merge(outcomes)
    partial = coverage(outcomes) < FULL_COVERAGE
    evidence = evidence_of(plan, samples_by_group(cell.samples, outcomes, store), cell.folder / PIECES)
    scores = score(evidence, plan.metrics, partial=partial)
    if not partial:
        check_columns(plan.suite, columns, scores.values)
    record = assemble(
        cell={"suite": plan.suite.name, "track": plan.track, "method": entry.id, "kind": entry.kind, "seed": cell.seed},
        identity_of=cell.identity_of,
        code=cell.code,
        maker=cell.maker,
        judges=plan.models.used,
        facts={
            "dataset": plan.data.facts,
            "prompts": plan.prompt_facts,
            "facts": facts_of(cell.maker, cell.samples, outcomes),
        },
        columns=plan.suite.columns,
        outcomes=outcomes,
        cost=whole_cost(store.cost(), cost_of(cell.maker), len(set(cell.sources.values()))),
        scores=scores,
        partial=partial,
        device=options.device,
    )
    records.write(record, cell.path, replace=options.replace or entry.id in options.again)
    for piece in (cell.folder / PIECES).glob("*.npy"):
        with suppress(OSError):
            removed(piece)
    return record


def facts_of(maker: Maker, samples: Sequence[Sample], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What a record notes besides: `cut_texts`, how many of the texts that a method was given its networks cut, and
    `unseeded`, where its images do not follow from the seeds.
    """
    if not isinstance(maker, Method) or not any(outcome.sha256 for outcome in outcomes):
        return {}
    facts: dict[str, Any] = {"unseeded": True} if maker.method.unseeded else {}
    if cut := maker.cut_texts(list(dict.fromkeys(sample.prompt.text for sample in samples))):
        for line in records.cut_lines(cut):
            log.warning("%s: %s", maker.identity["name"], line)
        facts["cut_texts"] = cut
    return facts


def method_of(suite: Suite, entry: Entry) -> str | None:
    """The plug-in that makes the images of an entry; None for a baseline of real images."""
    if entry.kind == "method":
        return entry.name
    of = str(entry.settings.get("of", "real"))
    return None if of == "real" else entry_of(suite, of).name


def whole_cost(journal: Mapping[str, float], now: Mapping[str, float], prompts: int | None = None) -> dict[str, float]:
    """What a cell cost, over all the processes that worked on it: the account that covers more prompts.

    journal: the accounts when the last batches were written, also of processes that were killed. now: that of this
    process, which is empty or smaller where there was little left to do. prompts: how many texts the cell has. A text
    whose images were made on both sides of a kill is in two accounts; it counts once.
    """
    cost = dict(journal if not now or journal.get(TRAINED, 0) > now.get(TRAINED, 0) else now)
    if prompts is not None and cost.get(TRAINED, 0) > prompts:
        share = prompts / cost[TRAINED]
        cost |= {TRAINED: prompts} | ({TOTAL: cost[TOTAL] * share} if TOTAL in cost else {})
    return cost


def check_columns(suite: Suite, columns: Collection[str], values: Mapping[str, Any]) -> None:
    """Raises UserError for a column of the suite's board that none of its metrics makes."""
    for column in sorted(columns):
        if column not in values:
            raise UserError(
                f"{suite.name}: columns: {column!r} is made by none of the suite's "
                f"metrics{did_you_mean(column, values)}"
            )


def evidence_of(plan: Plan, samples: Mapping[str, Samples], pieces: Path | None = None) -> Evidence:
    """What the metrics of a suite are given to score the samples of a cell.

    pieces: a folder of features that other processes have made.
    """
    return Evidence(**evidence_for(plan, samples, pieces))


def evidence_for(plan: Plan, samples: Mapping[str, Samples], pieces: Path | None) -> dict[str, Any]:
    return dict(
        train=plan.data.train,
        reference=plan.data.reference,
        prompts=plan.prompts,
        samples=samples,
        models=plan.models,
        judge=plan.data.networks.judge,
        render=plan.data.render,
        regions=plan.data.regions,
        targets=plan.of_track.targets(plan.asked),
        pieces=pieces,
        files=plan.suite.reference.original is None,
    )
