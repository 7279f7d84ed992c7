"""One opened data set: its splits, its networks, and what only some data sets can do.

A data set is found by its name, or by a folder of images. What it can do is resolved here, once: a function, or None.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import plugins
from t2ibench.core.cache import home
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.settings import configure, recorded
from t2ibench.data import held_out
from t2ibench.data.contract import DatasetPlugin, load_dataset
from t2ibench.data.originals import originals
from t2ibench.data.split import Networks, Split

# (attribute, values) -> the pixels that show the attribute in images with one of these values, bool [H, W]
Regions = Callable[[str, tuple[str, ...]], np.ndarray]
# (conditions attribute -> value, count, seed) -> real images that have these values
Render = Callable[[Mapping[str, str], int, int], Split]
LESSONS, HELD_OUT = 0, 1  # seeds of a domain's real images: those to train on, and those to compare generated ones with


@dataclass(frozen=True)
class Dataset:
    """An opened data set. What only some data sets can do is None where this one cannot.

    name: of the plug-in.
    revision: that of the plug-in.
    config: its settings, as a record holds them.
    split: a function that returns a split by name and reads each once; None is the reference.
    splits: the names of its splits.
    has_images: whether it has real images.
    networks: the networks that the data set brings.
    preset: the settings with which methods are trained from it.
    render: makes real images that have chosen attribute values.
    regions: the pixels that show an attribute.
    edited: (seeds, changes) -> images that differ from those of the same seeds in the changed attributes alone.
    domain: (domain, count, seed) -> real images of another domain; those of seed 0 may be in a training split.
    domains: the text of each domain, the first of which is that of the data set's own splits; empty without `domain`.
    cache: the folder of what is computed once from it and kept.
    """

    name: str
    revision: int
    config: Mapping[str, Any]
    split: Callable[[str | None], Split]
    splits: Sequence[str] | None = None
    has_images: bool = True
    networks: Networks = field(default_factory=Networks)
    preset: str = "reference"
    render: Render | None = None
    regions: Regions | None = None
    edited: Callable[[Sequence[int], Sequence[Mapping[str, str]]], np.ndarray] | None = None
    domain: Callable[[str, int, int], Split] | None = None
    domains: Mapping[str, str] = field(default_factory=dict)
    cache: Path = field(default_factory=home)

    @property
    def train(self) -> Split:
        """The training split."""
        return self.split("train")

    @property
    def reference(self) -> Split:
        """The real images that metrics compare with."""
        return self.split(None)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a record says about the data set (JSON)."""
        train, reference = self.train, self.reference
        return {
            "name": self.name,
            "revision": self.revision,
            "config": self.config,
            "train": {"images": len(train), "digest": train.described},
            "reference": {"split": reference.name, "images": len(reference), "digest": reference.contents},
        }


def opened(
    name: str,
    settings: Mapping[str, Any] | None = None,
    where: str | None = None,
    *,
    reference: str = "test",
    limit: int | None = None,
    original: bool = False,
    cache: Path | None = None,
) -> Dataset:
    """Open a data set. Its splits are read when they are asked for.

    name: a data set, or a folder of images.
    settings: of its `Config`, and `held_out`.
    where: the beginning of an error line.
    reference: the split that metrics compare with.
    limit: only its first images, this many; None: all of them.
    original: its images are the files as they are, whatever the data set makes of them.
    cache: the folder of what is computed once from it and kept; None: the user's.

    Raises UserError for a name that is neither, and for a wrong setting.
    """
    known, settings = plugins.find("datasets"), settings or {}
    where = where or f"dataset {name}"
    if name not in known and Path(name).is_dir():
        name, settings = "image_folder", {"root": name, **settings}
    if name not in known:
        raise UserError(f"no dataset is called {name!r}{did_you_mean(name, known)}; or give a folder of images")
    options: dict[str, Any] = {"reference": reference, "limit": limit, "original": original, "cache": cache}
    return of_plugin(name, *dataset_of(name, settings, where), **options)


def of_plugin(
    name: str,
    plugin: DatasetPlugin,
    config: Any,
    told: Mapping[str, Any],
    *,
    reference: str = "test",
    limit: int | None = None,
    original: bool = False,
    cache: Path | None = None,
) -> Dataset:
    """A plug-in as an opened data set. told: its settings, as a record holds them."""

    @functools.cache
    def split(wanted: str | None) -> Split:
        if wanted is not None:
            return plugin.load(config, wanted)
        whole = plugin.load(config, reference)
        if original:
            whole = replace(whole, images=originals(whole.images, f"{name}: reference"))
        return whole if limit is None else whole.take(range(min(limit, len(whole))))

    return Dataset(
        name=name,
        revision=plugin.REVISION,
        config=told,
        split=split,
        splits=None if plugin.splits is None else plugin.splits(config),
        has_images=plugin.IMAGES,
        networks=plugin.NETWORKS,
        preset=plugin.PRESET,
        render=_render(plugin, config),
        regions=None if plugin.regions is None else functools.cache(functools.partial(plugin.regions, config)),
        edited=None if plugin.edited_images is None else functools.partial(plugin.edited_images, config),
        domain=None
        if plugin.domain_images is None
        else functools.cache(functools.partial(plugin.domain_images, config)),
        domains={} if plugin.domain_texts is None else plugin.domain_texts(config),
        cache=cache or home(),
    )


def _render(plugin: DatasetPlugin, config: Any) -> Render | None:
    """Makes images of chosen attribute values, each set of them once: the judge of every cell is tested on them."""
    if (draw := plugin.pair_images) is None:
        return None
    rendered = functools.cache(lambda conditions, count, seed: draw(config, dict(conditions), count, seed))
    return lambda conditions, count, seed: rendered(tuple(conditions.items()), count, seed)


def dataset_of(name: str, settings: Mapping[str, Any], where: str) -> tuple[DatasetPlugin, Any, dict[str, Any]]:
    """A data set plug-in, its Config, and the settings as a record holds them.

    If `held_out` is among the settings, the plug-in gets compositional splits (`t2ibench.data.held_out`). Raises
    UserError, with `where` as its beginning, for a wrong setting.
    """
    plugin, key = load_dataset(name), held_out.KEY
    config = configure(plugin.Config, {name: value for name, value in settings.items() if name != key}, where)
    if key not in settings:
        return plugin, config, recorded(config)
    if not isinstance(settings[key], dict):
        raise UserError(f"{where}: {key} is {settings[key]!r}, expected a mapping such as {{pairs: 8}}")
    held = configure(held_out.Settings, settings[key], f"{where}: {key}")
    if held.pairs < 1 and not held.named:
        raise UserError(f"{where}: {key}: pairs is 0, expected at least 1, or pairs as `named`")
    if held.test_share + held.val_share >= 1:
        given = f"test_share is {held.test_share} and val_share {held.val_share}"
        raise UserError(f"{where}: {key}: {given}, expected shares that leave some for training")
    return held_out.with_held_out(plugin, held), config, {**recorded(config), key: recorded(held)}
