"""What is settled before a cell is run: the data read, the plug-ins imported, every setting checked, every prompt known."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from t2ibench.cells import Track, load_track
from t2ibench.core import plugins, records, settings
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data import Networks, Split
from t2ibench.default_networks import networks_of, settled
from t2ibench.evidence import Regions, Render
from t2ibench.held_out import dataset_of
from t2ibench.models import Models
from t2ibench.scoring import Metric, metrics_of
from t2ibench.suite import Suite
from t2ibench.tracks import TRACKS, Prompt

F = TypeVar("F", bound=Callable)
LESSONS, HELD_OUT = 0, 1  # seeds of real images of domains: those to learn from, and those that made ones are held to


@dataclass(frozen=True)
class Data:
    """A suite's data set. reference: the real images of the metrics. split: any split by name, read once; None: the reference.

    What only some data sets can: render real images of chosen attributes; say where an attribute shows; make, of seeds, images that
    differ from those of the same seeds by chosen attributes alone; and draw real images of other domains (domain, count, seed; those of
    seed 0 may be in a training split), whose texts are `domains`, that of its own splits first. networks: that score its images.
    """

    facts: Mapping[str, Any]
    train: Split
    reference: Split
    split: Callable[[str | None], Split]
    render: Render | None
    regions: Regions | None
    edited: Callable[[Sequence[int], Sequence[Mapping[str, str]]], np.ndarray] | None
    domain: Callable[[str, int, int], Split] | None = None
    domains: Mapping[str, str] = field(default_factory=dict)
    networks: Networks = field(default_factory=Networks)


@dataclass(frozen=True)
class Plan:
    """A track of a suite: all that its cells share. models: those that score."""

    suite: Suite
    track: str
    data: Data
    prompts: Sequence[Prompt]
    metrics: Sequence[Metric]
    device: str
    models: Models

    @property
    def of_track(self) -> Track:
        return load_track(self.track)

    @property
    def entries(self) -> list[Entry]:
        """The baselines of the track and the methods that take part, in the order in which they run."""
        baselines = [entry for entry in self.suite.baselines if entry.name in TRACKS[self.track].baselines]
        return [*baselines, *(entry for entry in self.suite.methods if takes_part(entry, self.track))]

    def target(self, domain: str) -> Split:
        """The real images that the samples of a target domain are held to."""
        assert self.data.domain is not None
        return self.data.domain(domain, self.suite.adapt.reference, HELD_OUT)

    def lessons(self, domain: str, count: int) -> Split:
        """Real images of a target domain that networks may have learned from; none of `target` is among them."""
        assert self.data.domain is not None
        return self.data.domain(domain, count, LESSONS)

    @cached_property
    def prompt_facts(self) -> dict[str, Any]:
        groups: dict[str, int] = {}
        for prompt in self.prompts:
            groups[prompt.group] = groups.get(prompt.group, 0) + prompt.images
        said = self.of_track.facts(self.suite, self.data, self.prompts)
        digest = records.digest([asdict(prompt) for prompt in self.prompts])
        return {"digest": digest, **said, "texts": len(self.prompts), "images": groups}


def prepare(suite: Suite, device: str = "cpu") -> list[Plan]:
    """A plan for each track: import what the suite uses, check every setting, and read the data; makes no image."""
    check_methods(suite)
    metrics = metrics_of(suite.metrics, f"{suite.name}: metrics")
    for metric in metrics:
        if not set(metric.tracks) & set(suite.tracks):
            raise UserError(
                f"{suite.name}: metrics: {metric.name} can score {' and '.join(metric.tracks)}, expected one of {', '.join(suite.tracks)}"
            )
    data = read(suite)
    metrics = settled(metrics, data.networks, data.train.dataset, f"{suite.name}: metrics")
    plans = []
    for track in suite.tracks:
        able = [metric for metric in metrics if track in metric.tracks]
        if metrics and not able:
            raise UserError(f"{suite.name}: metrics: none of them can score the track {track}: add one, or take the track out")
        further = [prompt for metric in able for prompt in metric.prompts(data.train, data.reference)]
        plans.append(Plan(suite, track, data, load_track(track).prompts(suite, data, further), able, device, Models(device)))
    return plans


def read(suite: Suite) -> Data:
    """The data set of a suite."""
    module, config, told = dataset_of(suite.dataset.name, suite.dataset.settings, f"{suite.name}: dataset")
    train, reference = module.load(config, "train"), module.load(config, suite.reference.split)
    if suite.reference.limit is not None:
        reference = reference.take(range(min(suite.reference.limit, len(reference))))

    @functools.cache
    def split(name: str | None) -> Split:
        return reference if name is None else module.load(config, name)

    @functools.cache
    def rendered(conditions: tuple[tuple[str, str], ...], count: int, seed: int) -> Split:
        return module.pair_images(config, dict(conditions), count, seed)

    def render(conditions: Mapping[str, str], count: int, seed: int) -> Split:
        return rendered(tuple(conditions.items()), count, seed)  # every cell's judge is tested on the same images

    @functools.cache
    def regions(attribute: str, values: tuple[str, ...]) -> np.ndarray:
        return module.regions(config, attribute, values)

    def edited(seeds: Sequence[int], changes: Sequence[Mapping[str, str]]) -> np.ndarray:
        return module.edited_images(config, seeds, changes)

    @functools.cache
    def domain(name: str, count: int, seed: int) -> Split:
        return module.domain_images(config, name, count, seed)

    def able(name: str, function: F) -> F | None:
        return function if hasattr(module, name) else None

    facts = {
        "name": suite.dataset.name,
        "config": told,
        "train": {"images": len(train), "digest": train.digest},
        "reference": {"split": reference.name, "images": len(reference), "digest": reference.digest},
    }
    can = (able("pair_images", render), able("regions", regions), able("edited_images", edited), able("domain_images", domain))
    texts = module.domain_texts(config) if hasattr(module, "domain_texts") else {}
    return Data(facts, train, reference, split, *can, texts, networks_of(module, train.dataset))


def check_methods(suite: Suite) -> None:
    """Raises UserError for wrong settings of a method, a method in none of the tracks, a track without a method, a baseline of neither."""
    for entry in suite.methods:
        configured(entry, suite.name)
        if not any(takes_part(entry, track) for track in suite.tracks):
            needs = " or ".join(needed(track) for track in entry.tracks or suite.tracks)
            raise UserError(f"{suite.name}: {entry.id} has no {needs}, so it cannot take part in any track that it is to run in")
    for track in suite.tracks:
        if not any(takes_part(entry, track) for entry in suite.methods) and suite.methods:
            raise UserError(f"{suite.name}: tracks: none of the suite's methods has {needed(track)}, so none runs in the track {track}")
        for entry in suite.baselines:
            of = entry.settings.get("of", "real")
            if entry.name in TRACKS[track].baselines and of != "real" and not has_functions(entry_of(suite, of), track):
                raise UserError(f"{suite.name}: baselines: {entry.name}: {of} has no {needed(track)}: name a method of the track {track}")


def takes_part(entry: Entry, track: str) -> bool:
    """Whether a method is to run in a track: it has the functions, and is not kept to other tracks."""
    return has_functions(entry, track) and (not entry.tracks or track in entry.tracks)


def has_functions(entry: Entry, track: str) -> bool:
    """Whether a method has the functions of a track."""
    method = plugins.load("methods", entry.name).Method
    return all(hasattr(method, function) for function in TRACKS[track].functions)


def needed(track: str) -> str:
    """The functions of a track, as text."""
    return " and ".join(TRACKS[track].functions)


def entry_of(suite: Suite, id: str) -> Entry:
    """A method by its name in the suite, or as it was published where it stands in no list of the suite."""
    known = {entry.id: entry for entry in suite.methods}
    return known[id] if id in known else Entry(id, *plugins.method_ids()[id], "method")


def configured(entry: Entry, where: str) -> tuple[Any, Any]:
    """A method's module and its settings, checked; nothing is loaded yet."""
    module = plugins.load("methods", entry.name)
    return module, settings.configure(module.Config, entry.settings, f"{where}: {entry.id}")
