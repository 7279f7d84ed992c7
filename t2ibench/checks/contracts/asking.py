"""What the checks ask plug-ins for: a few prompts of each track, on a data set of the caller or on made-up squares."""

from collections.abc import Mapping, Sequence
from typing import Any

from t2ibench.checks.contracts import squares
from t2ibench.core import plugins
from t2ibench.core.settings import configure, recorded
from t2ibench.data.contract import DatasetPlugin
from t2ibench.data.dataset import Dataset, of_plugin, opened
from t2ibench.tracks.contract import Asked, Prompt, Sample, load_track

# The settings of tracks, under their keys of a suite.
SMALL: Mapping[str, Mapping[str, Any]] = {
    "prompts": {"captions": 24},
    "edits": {"images": 6},
    "adapt": {"images": 24, "reference": 24},
    "compose": {"inputs": 6, "tasks": ["S", "P"]},
}
SIDE = 64  # of the squares: what methods and networks are made for


def data_of(dataset: str | Mapping[str, Any] | None) -> Dataset:
    """A data set by its name, or as a suite names it, {"name": …, setting: value}. None: made-up squares."""
    if dataset is None:
        config = squares.Config(side=SIDE)
        return of_plugin("squares", plugins.by_contract(DatasetPlugin, squares, "squares"), config, recorded(config))
    settings = {"name": dataset} if isinstance(dataset, str) else dict(dataset)
    return opened(settings.pop("name"), settings)


def asked_of(track: str, data: Dataset, asked: Mapping[str, Mapping[str, Any]] | None) -> Asked:
    """What is asked of a track, without prompts. asked: settings of tracks, as in a suite, in place of SMALL."""
    made = load_track(track)
    given = (asked or {}).get(made.key, {})
    small = {name: value for name, value in SMALL.get(made.key, {}).items() if name not in given}
    for name in small.keys() & {"captions", "inputs"}:
        small[name] = min(small[name], len(data.reference))
    return Asked(configure(made.settings, {**small, **given}, made.key), data, (), "contract")


def few_samples(track: str, asked: Asked, prompts: int = 2, seeds: int = 2) -> dict[str, list[Sample]]:
    """The first samples of the first prompts of each group of a track."""
    made = load_track(track)
    by_group: dict[str, list[Prompt]] = {}
    for prompt in made.prompts(asked):
        by_group.setdefault(prompt.group, []).append(prompt)
    first = [with_images(prompt, seeds) for group in by_group.values() for prompt in group[:prompts]]
    samples = made.samples(first, 0)
    return {group: [sample for sample in samples if sample.prompt.group == group] for group in by_group}


def with_images(prompt: Prompt, images: int) -> Prompt:
    """The same prompt, for another number of images."""
    return Prompt(prompt.id, prompt.text, prompt.group, images, prompt.reference, prompt.tags)


def groups_of(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by the group of their prompts."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.prompt.group, []).append(sample)
    return groups
