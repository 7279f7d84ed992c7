"""What is looked at before the first image of a suite is made: folders, names, weights, counts and networks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from t2ibench.core import files
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.networks.extractors import find
from t2ibench.runner.cell import Cell, RunOptions, cell_of
from t2ibench.runner.plan import Plan, prepare
from t2ibench.runner.suite import Suite
from t2ibench.scoring.feature_sets import AUTO
from t2ibench.scoring.score import Metric


def planned(suite: Suite, options: RunOptions) -> list[Plan]:
    """The plans of a suite, after the folders and the names in the options were checked. Raises UserError."""
    for folder in (options.out, options.work):
        files.check_folder(folder)
    names = [entry.id for entry in (*suite.methods, *suite.baselines)]
    for name in options.again:
        if name not in names:
            raise UserError(f"--again: no method of {suite.name} is called {name!r}{did_you_mean(name, names)}")
    return prepare(suite, options.device, options.cache)


def check(plans: Sequence[Plan], options: RunOptions) -> None:
    """Raises UserError for the first problem that `preflight` finds."""
    if problems := [line.problem for line in preflight(plans, options) if line.problem]:
        more = f" (and {len(problems) - 1} more: t2ibench run --dry-run lists them)" if len(problems) > 1 else ""
        raise UserError(f"{problems[0]}{more}")


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
        for entry in plan.entries:
            cell: Cell | None = None  # the method stays loaded for its other run seeds
            for seed in plan.suite.seeds:
                what, images = f"{entry.id} seed {seed}", groups.total()
                try:
                    cell = cell_of(plan, entry, seed, options, cell)
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
    given = asdict(metric.config)  # as they are: what a record holds of a file is its hash
    least, group, where = given.get("fewest"), given.get("group"), f"{plan.suite.name}: metrics"
    if isinstance(least, int) and group in groups:
        for side, count in (("made", groups[str(group)]), ("real", len(plan.data.reference))):
            if count < least:
                return f"{where}: {metric.name}: {count:,} {side} images of {group!r}, at least {least:,} are needed"
    for key in ("clip", "extractor"):
        name = given.get(key)
        if isinstance(name, str) and name != AUTO:
            try:
                find(plan.models, name)
            except UserError as error:
                return f"{where}: {metric.name}: {error}"
    return ""
