"""The plan of a run: the data, plug-ins, settings and prompts, all read and checked before the first cell runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data.dataset import Dataset, opened
from t2ibench.networks.models import Models
from t2ibench.runner.methods import configured, entry_of, guided, has_functions, needed, takes_part
from t2ibench.runner.suite import Suite
from t2ibench.scoring.default_networks import check_extractors, settled, trained_for
from t2ibench.scoring.score import Metric, metrics_of
from t2ibench.tracks.contract import Asked, Prompt, Track, load_track


@dataclass(frozen=True)
class Plan:
    """One track of a suite, with everything that its cells share.

    suite: the suite that the track belongs to.
    track: the name of the track.
    data: the data set, opened.
    prompts: every prompt that the track asks for.
    metrics: the metrics of the suite that can score this track.
    device: the device on which all networks run.
    models: the networks that score. A method has its own.
    """

    suite: Suite
    track: str
    data: Dataset
    prompts: Sequence[Prompt]
    metrics: Sequence[Metric]
    device: str
    models: Models

    @cached_property
    def of_track(self) -> Track:
        return load_track(self.track)

    @property
    def entries(self) -> list[Entry]:
        """The baselines of the track and the methods that take part, in the order in which they run."""
        baselines = [entry for entry in self.suite.baselines if entry.name in self.of_track.baselines]
        entries = [*baselines, *(entry for entry in self.suite.methods if takes_part(entry, self.track))]
        return [entry for entry in entries if not self.suite.only or entry.id in self.suite.only]

    @property
    def asked(self) -> Asked:
        return asked_of(self.suite, self.track, self.data, self.prompts)

    @cached_property
    def prompt_facts(self) -> dict[str, Any]:
        """What a record says of the prompts: their digest, their number, and how many images each group asks for."""
        groups: dict[str, int] = {}
        for prompt in self.prompts:
            groups[prompt.group] = groups.get(prompt.group, 0) + prompt.images
        track_facts = self.of_track.facts(self.asked)
        digest = records.digest([asdict(prompt) for prompt in self.prompts])
        return {"digest": digest, **track_facts, "texts": len(self.prompts), "images": groups}


def prepare(suite: Suite, device: str = "cpu", cache: Path | None = None) -> list[Plan]:
    """Import what a suite uses, check every setting and read the data. Returns a plan for each track; makes no image.

    cache: the folder of what is computed once and kept; None: the user's.

    Raises UserError for whatever is wrong in the suite or in its data.
    """
    check_methods(suite)
    metrics = metrics_of(suite.metrics, f"{suite.name}: metrics")
    for metric in metrics:
        if not set(metric.tracks) & set(suite.tracks):
            raise UserError(
                f"{suite.name}: metrics: {metric.name} can score {' and '.join(metric.tracks)}, expected one of "
                f"{', '.join(suite.tracks)}"
            )
    data = data_of(suite, cache)
    if not data.has_images:
        check_without_images(suite, metrics)
    data.split(None)  # a reference that cannot be read is an error now, and not after the first images
    data = replace(data, networks=trained_for(data.networks, data.train.dataset))
    metrics = settled(metrics, data.networks, data.train.dataset, f"{suite.name}: metrics")
    for entry in suite.methods:
        configured(guided(entry, data.networks, suite.name), suite.name)
    check_extractors(metrics, data.networks, data.train.dataset, f"{suite.name}: metrics")
    plans = []
    for track in suite.tracks:
        able = [metric for metric in metrics if track in metric.tracks]
        if metrics and not able:
            raise UserError(
                f"{suite.name}: metrics: none of them can score the track {track}: add one, or take the track out"
            )
        prompts = prompts_of(suite, track, data)
        plans.append(Plan(suite, track, data, prompts, able, device, Models(device, data.cache)))
    return plans


def data_of(suite: Suite, cache: Path | None = None) -> Dataset:
    """The data set of a suite, opened."""
    return opened(
        suite.dataset.name,
        suite.dataset.settings,
        f"{suite.name}: dataset",
        reference=suite.reference.split,
        limit=suite.reference.limit,
        original=bool(suite.reference.original),
        cache=cache,
    )


def prompts_of(suite: Suite, track: str, data: Dataset) -> Sequence[Prompt]:
    """Every prompt that a track of a suite asks for, those of its metrics among them. No network is looked for."""
    metrics = [metric for metric in metrics_of(suite.metrics, f"{suite.name}: metrics") if track in metric.tracks]
    of_metrics = [prompt for metric in metrics for prompt in metric.prompts(data.train, data.reference)]
    return load_track(track).prompts(asked_of(suite, track, data, of_metrics))


def check_without_images(suite: Suite, metrics: Sequence[Metric]) -> None:
    """Raises UserError for a metric or baseline that needs real images, where the data set has none."""
    why = f"and the data set {suite.dataset.name} has none"
    for metric in metrics:
        if metric.plugin.COMPARES or {*metric.plugin.COMPARES_IN} & {*suite.tracks}:
            raise UserError(
                f"{suite.name}: metrics: {metric.title} compares with real images, {why}: take it out, or take a data "
                f"set of images"
            )
    for entry in suite.baselines:
        if entry.settings.get("of", "real") == "real":
            named = entry.name if entry.name == "real" else f"{entry.name} of real images"
            raise UserError(
                f"{suite.name}: baselines: {named} needs real images, {why}: leave `baselines` out, or write "
                f"{{name: shuffled, of: METHOD}}"
            )


def asked_of(suite: Suite, track: str, data: Dataset, prompts: Sequence[Prompt]) -> Asked:
    """What one track of a suite asks for: the suite's settings for it, on this data, with these prompts of metrics."""
    return Asked(suite.settings[track], data, prompts, suite.name)


def check_methods(suite: Suite) -> None:
    """Raises UserError where the suite names methods that cannot run as it says.

    - A setting of a method is wrong.
    - A method has the functions of none of the tracks.
    - A track has no method.
    - A baseline takes the images of a method that cannot run in the baseline's track.
    """
    for entry in suite.methods:
        configured(entry, suite.name)
        if not any(takes_part(entry, track) for track in suite.tracks):
            needs = " or ".join(needed(track) for track in entry.tracks or suite.tracks)
            raise UserError(
                f"{suite.name}: {entry.id} has no {needs}, so it cannot take part in any track that it is to run in"
            )
    for track in suite.tracks:
        baselines = load_track(track).baselines
        if not any(takes_part(entry, track) for entry in suite.methods) and suite.methods:
            raise UserError(
                f"{suite.name}: tracks: none of the suite's methods has {needed(track)}, so none runs in the track "
                f"{track}"
            )
        for entry in suite.baselines:
            of = entry.settings.get("of", "real")
            if entry.name in baselines and of != "real" and not has_functions(entry_of(suite, of), track):
                raise UserError(
                    f"{suite.name}: baselines: {entry.name}: {of} has no {needed(track)}: name a method of the track "
                    f"{track}"
                )
