"""What is settled before a cell is run: the data read, the plug-ins imported, every setting checked, every prompt
known.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data.dataset import HELD_OUT, LESSONS, Dataset, read
from t2ibench.data.split import Split
from t2ibench.networks.models import Models
from t2ibench.runner.methods import configured, entry_of, has_functions, needed, takes_part
from t2ibench.runner.suite import Suite
from t2ibench.scoring.default_networks import settled, trained_for
from t2ibench.scoring.score import Metric, metrics_of
from t2ibench.tracks.contract import TRACKS, Asked, Prompt, Track, load_track


@dataclass(frozen=True)
class Plan:
    """A track of a suite: all that its cells share. models: those that score."""

    suite: Suite
    track: str
    data: Dataset
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

    @property
    def asked(self) -> Asked:
        return asked_of(self.suite, self.track, self.data, self.prompts)

    @cached_property
    def prompt_facts(self) -> dict[str, Any]:
        groups: dict[str, int] = {}
        for prompt in self.prompts:
            groups[prompt.group] = groups.get(prompt.group, 0) + prompt.images
        said = self.of_track.facts(self.asked)
        digest = records.digest([asdict(prompt) for prompt in self.prompts])
        return {"digest": digest, **said, "texts": len(self.prompts), "images": groups}


def prepare(suite: Suite, device: str = "cpu") -> list[Plan]:
    """A plan for each track: import what the suite uses, check every setting, and read the data; makes no image."""
    check_methods(suite)
    metrics = metrics_of(suite.metrics, f"{suite.name}: metrics")
    for metric in metrics:
        if not set(metric.tracks) & set(suite.tracks):
            raise UserError(
                f"{suite.name}: metrics: {metric.name} can score {' and '.join(metric.tracks)}, expected one of "
                f"{', '.join(suite.tracks)}"
            )
    data = read(suite.dataset, suite.reference.split, suite.reference.limit, f"{suite.name}: dataset")
    data = replace(data, networks=trained_for(data.networks, data.train.dataset))
    metrics = settled(metrics, data.networks, data.train.dataset, f"{suite.name}: metrics")
    plans = []
    for track in suite.tracks:
        able = [metric for metric in metrics if track in metric.tracks]
        if metrics and not able:
            raise UserError(
                f"{suite.name}: metrics: none of them can score the track {track}: add one, or take the track out"
            )
        further = [prompt for metric in able for prompt in metric.prompts(data.train, data.reference)]
        plans.append(
            Plan(
                suite,
                track,
                data,
                load_track(track).prompts(asked_of(suite, track, data, further)),
                able,
                device,
                Models(device),
            )
        )
    return plans


def asked_of(suite: Suite, track: str, data: Dataset, prompts: Sequence[Prompt]) -> Asked:
    """What a suite asks of one of its tracks."""
    return Asked(getattr(suite, TRACKS[track].key), data, prompts, suite.name)


def check_methods(suite: Suite) -> None:
    """Raises UserError for wrong settings of a method, a method in none of the tracks, a track without a method, a
    baseline of neither.
    """
    for entry in suite.methods:
        configured(entry, suite.name)
        if not any(takes_part(entry, track) for track in suite.tracks):
            needs = " or ".join(needed(track) for track in entry.tracks or suite.tracks)
            raise UserError(
                f"{suite.name}: {entry.id} has no {needs}, so it cannot take part in any track that it is to run in"
            )
    for track in suite.tracks:
        if not any(takes_part(entry, track) for entry in suite.methods) and suite.methods:
            raise UserError(
                f"{suite.name}: tracks: none of the suite's methods has {needed(track)}, so none runs in the track "
                f"{track}"
            )
        for entry in suite.baselines:
            of = entry.settings.get("of", "real")
            if entry.name in TRACKS[track].baselines and of != "real" and not has_functions(entry_of(suite, of), track):
                raise UserError(
                    f"{suite.name}: baselines: {entry.name}: {of} has no {needed(track)}: name a method of the track "
                    f"{track}"
                )
