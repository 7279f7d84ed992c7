"""Runs a suite: every cell (track, method, run seed) is generated, scored and recorded; what is recorded already is left alone.

From here to an equation it is three calls: `run` makes a cell, `scoring.score` asks a metric, the metric computes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from t2ibench import assets, environment, plugins, records
from t2ibench.cells import Maker, Method, RealImages, Shuffled, Unconditional, samples_of
from t2ibench.data import Split
from t2ibench.errors import UserError, did_you_mean
from t2ibench.evidence import Evidence, Render, Samples
from t2ibench.generation import BATCH, generate, locked, samples_by_group
from t2ibench.journal import Store
from t2ibench.models import JUDGE, Models
from t2ibench.recording import assemble, coverage, recorded
from t2ibench.scoring import Metric, metrics_of, score
from t2ibench.seeds import derive_seed
from t2ibench.suite import Entry, Suite
from t2ibench.tracks import Prompt

FULL_COVERAGE = 0.99  # a record with a smaller share of ok samples is partial, and kept off the board


@dataclass(frozen=True)
class Where:
    """Folders and machine of a run; none of it changes a number. out: records and boards. work: images and journals."""

    out: Path = Path("runs")
    work: Path = Path("runs")
    batch: int = BATCH
    device: str = "cpu"
    replace: bool = False  # write over records that were made with other settings


@dataclass(frozen=True)
class Plan:
    """A suite with its data read and its plug-ins imported: all that its cells share."""

    suite: Suite
    facts: Mapping[str, Any]  # about the data set
    train: Split
    reference: Split  # the real images of the metrics
    asked: Split  # whose captions are the prompts
    prompts: Sequence[Prompt]
    metrics: Sequence[Metric]
    render: Render | None
    models: Models  # those that score
    device: str

    @cached_property
    def prompt_facts(self) -> dict[str, Any]:
        groups: dict[str, int] = {}
        for prompt in self.prompts:
            groups[prompt.group] = groups.get(prompt.group, 0) + prompt.images
        return {
            "digest": records.digest([asdict(prompt) for prompt in self.prompts]),
            "captions": self.asked.name,
            "texts": len(self.prompts),
            "images": groups,
        }


@dataclass(frozen=True)
class Done:
    """A cell's record and where it lies; `fresh`: it was made now."""

    record: Mapping[str, Any]
    path: Path
    fresh: bool
    seconds: float


def run(suite: Suite, where: Where) -> Iterator[Done]:
    """Every cell of a suite, baselines first, as it is done. Raises UserError where the user has to mend something; what is done stays."""
    for folder in (where.out, where.work):
        records.check_folder(folder)
    plan = prepare(suite, where.device)
    for track in suite.tracks:
        for seed in suite.seeds:
            for entry in suite.baselines + suite.methods:
                yield run_cell(plan, entry, track, seed, where)


def prepare(suite: Suite, device: str = "cpu") -> Plan:
    """Import what the suite uses, check every setting, and read the data; makes no image."""
    for track in suite.tracks:
        if track != "text_to_image":
            raise UserError(f"{suite.name}: tracks: {track!r} has no runner yet, expected text_to_image")
    metrics = metrics_of(suite.metrics, f"{suite.name}: metrics")
    for entry in suite.methods:
        configured(entry, suite.name)
    module = plugins.load("datasets", suite.dataset.name)
    config = plugins.configure(module.Config, suite.dataset.settings, f"{suite.name}: dataset")
    train, reference = module.load(config, "train"), module.load(config, suite.reference.split)
    if suite.reference.limit is not None:
        reference = reference.take(range(min(suite.reference.limit, len(reference))))
    asked = reference if suite.prompts.split is None else module.load(config, suite.prompts.split)
    prompts = prompts_of(suite.prompts.captions, asked, [p for metric in metrics for p in metric.prompts(train, reference)])

    def render(conditions: Mapping[str, str], count: int, seed: int) -> Split:
        return module.pair_images(config, conditions, count, seed)

    facts = {
        "name": suite.dataset.name,
        "config": asdict(config),
        "train": {"images": len(train), "digest": train.digest},
        "reference": {"split": reference.name, "images": len(reference), "digest": reference.digest},
    }
    renders = render if hasattr(module, "pair_images") else None
    return Plan(suite, facts, train, reference, asked, prompts, metrics, renders, Models(device), device)


def prompts_of(captions: int, split: Split, further: Sequence[Prompt]) -> list[Prompt]:
    """One caption of each of the first `captions` images of a split, and what metrics ask for beside them, each prompt once.

    Which of an image's captions is drawn from its id, so it is the same in every run. Raises UserError where a caption is missing.
    """
    if captions > len(split):
        raise UserError(f"prompts: captions is {captions:,}, but {split.dataset} {split.name} has {len(split):,} images")
    prompts: dict[str, Prompt] = {}
    for row in range(captions):
        id, texts = split.ids[row], split.captions[row]
        if not texts:
            raise UserError(f"{split.dataset} {split.name}: image {id} has no caption, expected at least one: write one")
        which = derive_seed("caption", id) % len(texts)
        prompts[f"captions/{id}/{which}"] = Prompt(f"captions/{id}/{which}", texts[which], reference=id)
    for prompt in further:
        if prompts.setdefault(prompt.id, prompt) != prompt:
            raise UserError(f"two metrics ask for different prompts of the id {prompt.id!r}: take one of them out")
    return list(prompts.values())


def configured(entry: Entry, where: str) -> tuple[Any, Any]:
    """A method's module and its settings, checked; nothing is loaded yet."""
    module = plugins.load("methods", entry.name)
    if not hasattr(module.Method, "text_to_image"):
        raise UserError(f"{where}: {entry.id} has no text_to_image, so it cannot take part in that track")
    return module, plugins.configure(module.Config, entry.settings, f"{where}: {entry.id}")


def method_maker(entry: Entry, where: str, device: str) -> Method:
    """A method, ready to make images; the networks it takes are its own, and are noted."""
    module, config = configured(entry, where)
    models = Models(device)
    method = module.Method(config, models)
    trained_on = getattr(method, "trained_on", ())
    identity = {"name": entry.name, "config": asdict(config), "weights": {name: used["sha256"] for name, used in models.used.items()}}
    return Method(method, identity, models.used, [trained_on] if isinstance(trained_on, str) else list(trained_on))


def maker_of(plan: Plan, entry: Entry, seed: int) -> Maker:
    """Who makes the images of an entry."""
    if entry.kind == "method":
        return method_maker(entry, plan.suite.name, plan.device)
    of = str(entry.settings.get("of", "real"))
    if of == "real":
        maker: Maker = RealImages([plan.asked, plan.train], plan.prompts, plan.render, seed)
    else:
        plugin, variant = plugins.method_ids()[of]
        known = {method.id: method for method in plan.suite.methods}
        maker = method_maker(known.get(of, Entry(of, plugin, variant, "method")), plan.suite.name, plan.device)
    if entry.name == "real":
        return maker
    return Shuffled(maker, plan.prompts, seed) if entry.name == "shuffled" else Unconditional(maker, plan.train)


def run_cell(plan: Plan, entry: Entry, track: str, seed: int, where: Where) -> Done:
    """Make, score and record one cell, or find that it is recorded."""
    started = time.perf_counter()
    maker = maker_of(plan, entry, seed)
    identity_of = {
        "track": track,
        "maker": maker.identity,
        "seed": seed,
        "dataset": plan.facts,
        "prompts": plan.prompt_facts["digest"],
        "metrics": [metric.identity for metric in plan.metrics],
    }
    path = records.path_of(where.out, plan.suite.name, track, entry.id, seed)
    if (found := recorded(path, identity_of, where.replace)) is not None:
        return Done(found, path, False, time.perf_counter() - started)
    folder = where.work / plan.suite.name / track / entry.id / f"{seed}-{records.digest(maker.identity)[:8]}"
    samples = samples_of(plan.prompts, seed)
    environment.reset_peak_memory()
    with locked(folder):
        store = Store(folder)
        outcomes = generate(maker, samples, store, entry.id, where.batch)
        partial = coverage(outcomes) < FULL_COVERAGE
        scores = score(evidence_of(plan, samples_by_group(samples, outcomes, store)), plan.metrics, partial=partial)
        if not partial:
            check_columns(plan.suite, scores.values)
        record = assemble(
            cell={"suite": plan.suite.name, "track": track, "method": entry.id, "kind": entry.kind, "seed": seed},
            identity_of=identity_of,
            maker=maker,
            judges=plan.models.used,
            facts={"dataset": plan.facts, "prompts": plan.prompt_facts},
            columns=plan.suite.columns,
            outcomes=outcomes,
            scores=scores,
            partial=partial,
            device=where.device,
        )
        records.write(record, path, replace=where.replace)
    return Done(record, path, True, time.perf_counter() - started)


def judge_of(train: Split) -> str:
    """The attribute judge of a data set, by name; the embedded one where it has none of its own."""
    own = f"attribute-judge-{train.dataset}"
    return own if own in assets.available() else JUDGE


def check_columns(suite: Suite, values: Mapping[str, Any]) -> None:
    """Raises UserError for a column of the suite's board that none of its metrics makes."""
    for column in suite.columns:
        if column not in values:
            raise UserError(f"{suite.name}: columns: {column!r} is made by none of the suite's metrics{did_you_mean(column, values)}")


def evidence_of(plan: Plan, samples: Mapping[str, Samples]) -> Evidence:
    """What the metrics of a suite see of the samples of a cell."""
    return Evidence(
        train=plan.train,
        reference=plan.reference,
        prompts=plan.prompts,
        samples=samples,
        models=plan.models,
        judge=judge_of(plan.train),
        render=plan.render,
    )
