"""One opened data set: found by its name or its folder, its settings checked, its splits read once, and what only some
data sets can.
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.core.settings import configure
from t2ibench.data.held_out import KEY, HeldOutDataset, Settings
from t2ibench.data.split import Networks, Split

Regions = Callable[
    [str, tuple[str, ...]], np.ndarray
]  # attribute, values: where images that show one of them have it, bool [H, W]
Render = Callable[
    [Mapping[str, str], int, int], Split
]  # conditions (attribute -> value), count, seed: real images that carry them
F = TypeVar("F", bound=Callable)
LESSONS, HELD_OUT = 0, 1  # seeds of real images of domains: those to learn from, and those that made ones are held to


def dataset_of(name: str, settings: Mapping[str, Any], where: str) -> tuple[Any, Any, dict[str, Any]]:
    """A data set plug-in, its settings, and both as a record tells them; `held_out` among them makes compositional
    splits of it.

    Raises UserError, beginning with `where`, for a wrong setting.
    """
    module, own = plugins.load("datasets", name), {key: value for key, value in settings.items() if key != KEY}
    config = configure(module.Config, own, where)
    if KEY not in settings:
        return module, config, asdict(config)
    if not isinstance(settings[KEY], dict):
        raise UserError(f"{where}: {KEY} is {settings[KEY]!r}, expected a mapping such as {{pairs: 8}}")
    held = configure(Settings, settings[KEY], f"{where}: {KEY}")
    if (
        held.kept < 0
        or (held.pairs < 1 and not held.named)
        or not (held.test_share > 0 and 0 < held.val_share < 1 - held.test_share)
    ):
        raise UserError(
            f"{where}: {KEY}: expected pairs >= 1, kept >= 0 and positive shares that leave some for training, got "
            f"{held}"
        )
    return HeldOutDataset(module, held), config, {**asdict(config), KEY: asdict(held)}


@dataclass(frozen=True)
class Dataset:
    """A suite's data set. reference: the real images of the metrics. split: any split by name, read once; None: the
    reference.

    What only some data sets can: render real images of chosen attributes; say where an attribute shows; make, of seeds,
    images that differ from those of the same seeds by chosen attributes alone; and draw real images of other domains
    (domain, count, seed; those of seed 0 may be in a training split), whose texts are `domains`, that of its own splits
    first. networks: those that it brings to score its images.
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


def read(entry: Entry, wanted: str, limit: int | None, where: str) -> Dataset:
    """A data set, with the first `limit` images of the split `wanted` as its reference; `where` begins error lines."""
    module, config, told = dataset_of(entry.name, entry.settings, where)
    train, reference = module.load(config, "train"), module.load(config, wanted)
    if limit is not None:
        reference = reference.take(range(min(limit, len(reference))))

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
        "name": entry.name,
        "config": told,
        "train": {"images": len(train), "digest": train.digest},
        "reference": {"split": reference.name, "images": len(reference), "digest": reference.digest},
    }
    can = (
        able("pair_images", render),
        able("regions", regions),
        able("edited_images", edited),
        able("domain_images", domain),
    )
    texts = module.domain_texts(config) if hasattr(module, "domain_texts") else {}
    return Dataset(facts, train, reference, split, *can, texts, getattr(module, "NETWORKS", Networks()))


def opened(name: str, settings: Mapping[str, Any] | None = None) -> tuple[Callable[[str], Split], dict[str, Any]]:
    """A function from a split's name to the split, and what to call the data set in a record; `name` may be a folder of
    images.
    """
    name, module, config, told = configured(name, settings)
    return lambda split: module.load(config, split), {"name": name, "config": told}


def available(name: str, settings: Mapping[str, Any] | None = None) -> Collection[str] | None:
    """The names of a data set's splits, or None where it does not say."""
    _, module, config, _ = configured(name, settings)
    return module.splits(config) if hasattr(module, "splits") else None


def configured(name: str, settings: Mapping[str, Any] | None) -> tuple[str, Any, Any, dict[str, Any]]:
    """A data set's name, plug-in, settings, and these as records tell them.

    Raises UserError for a name that is not known and no folder.
    """
    known = plugins.find("datasets")
    if name not in known and Path(name).is_dir():
        name, settings = "image_folder", {"root": name, **(settings or {})}
    if name not in known:
        raise UserError(f"no dataset is called {name!r}{did_you_mean(name, known)}; or give a folder of images")
    return name, *dataset_of(name, settings or {}, f"dataset {name}")
