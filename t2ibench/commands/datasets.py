"""Data sets named on the command line, and settings given as key=value."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data import Split
from t2ibench.held_out import dataset_of


def opened(name: str, settings: Mapping[str, Any] | None = None) -> tuple[Callable[[str], Split], dict[str, Any]]:
    """A function from a split's name to the split, and what to call the data set in a record; `name` may be a folder of images."""
    name, module, config, told = configured(name, settings)
    return lambda split: module.load(config, split), {"name": name, "config": told}


def available(name: str, settings: Mapping[str, Any] | None = None) -> Collection[str] | None:
    """The names of a data set's splits, or None where it does not say."""
    _, module, config, _ = configured(name, settings)
    return module.splits(config) if hasattr(module, "splits") else None


def configured(name: str, settings: Mapping[str, Any] | None) -> tuple[str, Any, Any, dict[str, Any]]:
    """A data set's name, plug-in, settings, and these as records tell them. Raises UserError for a name that is not known and no folder."""
    known = plugins.sources("datasets")
    if name not in known and Path(name).is_dir():
        name, settings = "image_folder", {"root": name, **(settings or {})}
    if name not in known:
        raise UserError(f"no dataset is called {name!r}{did_you_mean(name, known)}; or give a folder of images")
    return name, *dataset_of(name, settings or {}, f"dataset {name}")
