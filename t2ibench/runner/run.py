"""Runs a suite: every cell (track, method, run seed) is generated, scored and recorded, unless it is recorded already.

From here to an equation there are three calls: `run` makes a cell, `score.score` calls a metric, the metric computes.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2ibench.core import environment, files, records
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.data.dataset import Dataset
from t2ibench.networks.extractors import find
from t2ibench.runner.generate import BATCH, cost_of, generate, locked, samples_by_group
from t2ibench.runner.journal import Store
from t2ibench.runner.methods import broken, entry_of, guided, method_maker
from t2ibench.runner.plan import Plan, prepare
from t2ibench.runner.record import assemble, coverage, plugins_of, recorded
from t2ibench.runner.suite import Suite
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO
from t2ibench.scoring.score import Metric, score
from t2ibench.tracks.contract import Maker

FULL_COVERAGE = 0.99  # a record with a smaller share of ok samples is partial, and kept off the board


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
    """

    out: Path = Path("runs")
    work: Path = Path("runs")
    batch: int = BATCH
    device: str = "cpu"
    replace: bool = False
    again: Sequence[str] = ()
    cache: Path | None = None


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


def run(suite: Suite, options: RunOptions) -> Iterator[CellResult]:
    """Run every cell of a suite, track by track and baselines first, and yield each result as soon as it is there.

    Raises UserError where the user has to mend something: before the first image, if `preflight` finds it. The cells
    that are recorded by then stay recorded.
    """
    plans = planned(suite, options)
    if problems := [line.problem for line in preflight(plans, options) if line.problem]:
        more = f" (and {len(problems) - 1} more: t2ibench run --dry-run lists them)" if len(problems) > 1 else ""
        raise UserError(f"{problems[0]}{more}")
    missing = set(suite.columns)  # columns of which no cell has had a value so far
    for plan in plans:
        for seed in suite.seeds:
            for entry in plan.entries:
                done = run_cell(plan, entry, seed, options, missing if plan is plans[-1] else ())
                missing -= set(done.record["values"])
                yield done


def planned(suite: Suite, options: RunOptions) -> list[Plan]:
    """The plans of a suite, after the folders and the names in the options were checked. Raises UserError."""
    for folder in (options.out, options.work):
        files.check_folder(folder)
    names = [entry.id for entry in (*suite.methods, *suite.baselines)]
    for name in options.again:
        if name not in names:
            raise UserError(f"--again: no method of {suite.name} is called {name!r}{did_you_mean(name, names)}")
    return prepare(suite, options.device, options.cache)


@dataclass(frozen=True)
class PreflightLine:
    """What was found of a cell, or of a metric of a track, before any image is made.

    what: the cell or the metric.
    state: "recorded", "to make" or "ready".
    images: how many images it makes.
    problem: what has to be mended first; empty if nothing has.
    """

    track: str
    what: str
    state: str
    images: int = 0
    problem: str = ""


def preflight(plans: Sequence[Plan], options: RunOptions) -> Iterator[PreflightLine]:
    """Look at every cell and metric: weights are loaded, records are read, numbers of images are counted.

    Each method is prepared here and once more when its turn comes, so that no two are in memory at once.
    """
    for plan in plans:
        groups = Counter({prompt.group: 0 for prompt in plan.prompts})
        for prompt in plan.prompts:
            groups[prompt.group] += prompt.images
        to_make = False
        for seed in plan.suite.seeds:
            for entry in plan.entries:
                what, images = f"{entry.id} seed {seed}", groups.total()
                try:
                    cell = cell_of(plan, entry, seed, options)
                except UserError as error:
                    yield PreflightLine(plan.track, what, "to make", images, str(error))
                    continue
                to_make |= cell.earlier is None
                state = "to make" if cell.earlier is None else "recorded"
                yield PreflightLine(plan.track, what, state, images if cell.earlier is None else 0)
        if to_make:
            for metric in plan.metrics:
                yield PreflightLine(plan.track, metric.name, "ready", problem=_metric_problem(plan, metric, groups))


def _metric_problem(plan: Plan, metric: Metric, groups: Mapping[str, int]) -> str:
    """Why a metric could not score a track: too few images, or a network that is not there; empty if it could."""
    least, group, where = metric.settings.get("fewest"), metric.settings.get("group"), f"{plan.suite.name}: metrics"
    if isinstance(least, int) and group in groups:
        for side, count in (("made", groups[str(group)]), ("real", len(plan.data.reference))):
            if count < least:
                return f"{where}: {metric.name}: {count:,} {side} images of {group!r}, at least {least:,} are needed"
    for key in ("clip", "extractor"):
        name = metric.settings.get(key)
        if isinstance(name, str) and name != AUTO:
            try:
                find(plan.models, name)
            except UserError as error:
                return f"{where}: {metric.name}: {error}"
    return ""


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
    earlier: its record, if it holds already.
    """

    maker: Maker
    identity_of: Mapping[str, Any]
    code: Mapping[str, Mapping[str, Any]]
    path: Path
    earlier: Mapping[str, Any] | None


def cell_of(plan: Plan, entry: Entry, seed: int, options: RunOptions) -> Cell:
    """Prepare the maker of a cell and look whether the cell is recorded. Raises UserError as `recorded` does."""
    maker = maker_of(plan, entry, seed)
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
    again = entry.id in options.again
    earlier = None if again else recorded(path, identity_of, code, options.replace)
    return Cell(maker, identity_of, code, path, earlier)


def run_cell(plan: Plan, entry: Entry, seed: int, options: RunOptions, columns: Collection[str] = ()) -> CellResult:
    """Make, score and record one cell, or read its record where there is one already.

    columns: ids of values that the cell's metrics must make. Raises UserError where one is not made.
    """
    started = time.perf_counter()
    cell = cell_of(plan, entry, seed, options)
    maker, path = cell.maker, cell.path
    if cell.earlier is not None:
        return CellResult(cell.earlier, path, False, time.perf_counter() - started)
    folder = records.images_of(options.work, plan.suite.name, plan.track, entry.id, seed, maker.identity, cell.code)
    again = entry.id in options.again
    samples = plan.of_track.samples(plan.prompts, seed)
    environment.reset_peak_memory(options.device)
    with locked(folder):
        store = Store(folder)
        if again:
            store.clear()
        outcomes = generate(maker, samples, store, entry.id, options.batch)
        partial = coverage(outcomes) < FULL_COVERAGE
        scores = score(evidence_of(plan, samples_by_group(samples, outcomes, store)), plan.metrics, partial=partial)
        if not partial:
            check_columns(plan.suite, columns, scores.values)
        record = assemble(
            cell={"suite": plan.suite.name, "track": plan.track, "method": entry.id, "kind": entry.kind, "seed": seed},
            identity_of=cell.identity_of,
            code=cell.code,
            maker=maker,
            judges=plan.models.used,
            facts={"dataset": plan.data.facts, "prompts": plan.prompt_facts},
            columns=plan.suite.columns,
            outcomes=outcomes,
            cost=whole_cost(store.cost(), cost_of(maker)),
            scores=scores,
            partial=partial,
            device=options.device,
        )
        records.write(record, path, replace=options.replace or again)
    return CellResult(record, path, True, time.perf_counter() - started)


def method_of(suite: Suite, entry: Entry) -> str | None:
    """The plug-in that makes the images of an entry; None for a baseline of real images."""
    if entry.kind == "method":
        return entry.name
    of = str(entry.settings.get("of", "real"))
    return None if of == "real" else entry_of(suite, of).name


def whole_cost(journal: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """What a cell cost, over all the processes that worked on it: the account that covers more prompts.

    journal: the account when the last batch was written, maybe by a process that was killed. now: that of this process,
    which is empty or smaller where there was little left to do.
    """
    trained = "prompts_trained"
    return dict(journal if not now or journal.get(trained, 0) > now.get(trained, 0) else now)


def check_columns(suite: Suite, columns: Collection[str], values: Mapping[str, Any]) -> None:
    """Raises UserError for a column of the suite's board that none of its metrics makes."""
    for column in sorted(columns):
        if column not in values:
            raise UserError(
                f"{suite.name}: columns: {column!r} is made by none of the suite's "
                f"metrics{did_you_mean(column, values)}"
            )


def evidence_of(plan: Plan, samples: Mapping[str, Samples]) -> Evidence:
    """What the metrics of a suite are given to score the samples of a cell."""
    return Evidence(
        train=plan.data.train,
        reference=plan.data.reference,
        prompts=plan.prompts,
        samples=samples,
        models=plan.models,
        judge=plan.data.networks.judge,
        render=plan.data.render,
        regions=plan.data.regions,
        targets=plan.of_track.targets(plan.asked),
    )
