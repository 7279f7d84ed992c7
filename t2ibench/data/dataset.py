"""One opened data set: its plug-in and settings, its splits, and the functions that only some data sets have.

A data set is found by its name, or by a folder of images. Its splits are read once.
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

# (attribute, values) -> the pixels that show the attribute in images with one of these values, bool [H, W]
Regions = Callable[[str, tuple[str, ...]], np.ndarray]
# (conditions attribute -> value, count, seed) -> real images that have these values
Render = Callable[[Mapping[str, str], int, int], Split]
F = TypeVar("F", bound=Callable)
LESSONS, HELD_OUT = 0, 1  # seeds of a domain's real images: those to train on, and those to compare generated ones with


def dataset_of(name: str, settings: Mapping[str, Any], where: str) -> tuple[Any, Any, dict[str, Any]]:
    """A data set plug-in, its Config, and the settings as a record holds them.

    If `held_out` is among the settings, the plug-in gets compositional splits (`t2ibench.data.held_out`). Raises
    UserError, with `where` as its beginning, for a wrong setting.
    """
    module = plugins.load("datasets", name)
    config = configure(module.Config, {key: value for key, value in settings.items() if key != KEY}, where)
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
    """The data set of a suite. The four functions that only some data sets have are None where one is missing.

    facts: what a record says about the data set (JSON).
    train: the training split.
    reference: the real images that metrics compare with.
    split: a function that returns a split by name and reads each once; None is the reference.
    render: makes real images that have chosen attribute values.
    regions: the pixels that show an attribute.
    edited: (seeds, changes) -> images that differ from those of the same seeds in the changed attributes alone.
    domain: (domain, count, seed) -> real images of another domain; those of seed 0 may be in a training split.
    domains: the text of each domain; the first domain is that of the data set's own splits.
    networks: the networks that the data set brings to score its images.
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
    """Open a data set, with the first `limit` images of the split `wanted` as its reference.

    limit: None for all of them. where: the beginning of an error line.
    """
    module, config, recorded = dataset_of(entry.name, entry.settings, where)
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
        return rendered(tuple(conditions.items()), count, seed)  # cached: the judge of every cell is tested on them

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
        "config": recorded,
        "train": {"images": len(train), "digest": train.digest},
        "reference": {"split": reference.name, "images": len(reference), "digest": reference.digest},
    }
    functions = (
        able("pair_images", render),
        able("regions", regions),
        able("edited_images", edited),
        able("domain_images", domain),
    )
    texts = module.domain_texts(config) if hasattr(module, "domain_texts") else {}
    return Dataset(facts, train, reference, split, *functions, texts, getattr(module, "NETWORKS", Networks()))


def opened(name: str, settings: Mapping[str, Any] | None = None) -> tuple[Callable[[str], Split], dict[str, Any]]:
    """A function from the name of a split to the split, and the name and settings of the data set for a record.

    name: a data set, or a folder of images.
    """
    name, module, config, recorded = configured(name, settings)
    return lambda split: module.load(config, split), {"name": name, "config": recorded}


def available(name: str, settings: Mapping[str, Any] | None = None) -> Collection[str] | None:
    """The names of a data set's splits, or None if the data set does not list them."""
    _, module, config, _ = configured(name, settings)
    return module.splits(config) if hasattr(module, "splits") else None


def configured(name: str, settings: Mapping[str, Any] | None) -> tuple[str, Any, Any, dict[str, Any]]:
    """The name of a data set, its plug-in, its Config, and the settings as a record holds them.

    Raises UserError for a name that is neither a known data set nor a folder.
    """
    known = plugins.find("datasets")
    if name not in known and Path(name).is_dir():
        name, settings = "image_folder", {"root": name, **(settings or {})}
    if name not in known:
        raise UserError(f"no dataset is called {name!r}{did_you_mean(name, known)}; or give a folder of images")
    return name, *dataset_of(name, settings or {}, f"dataset {name}")
