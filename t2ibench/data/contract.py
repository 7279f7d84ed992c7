"""The contract of a data set: what the module of one holds.

A member with a value is optional, and the value is its default (`t2ibench.core.plugins`). What a data set can do beyond
its splits is a function that it has, or None.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from t2ibench.core import plugins
from t2ibench.data.needs import Need
from t2ibench.data.split import Networks, Split


class DatasetPlugin(Protocol):
    """The module `datasets/<name>.py`. The first argument of every function is an instance of its `Config`.

    Config: the settings, a frozen dataclass.
    REVISION: raised by 1 when its images or texts change on purpose. It is part of the identity of every record.
    IMAGES: whether it has real images; a list of prompts has none, and whoever reads its images raises UserError.
    NETWORKS: the networks that it brings for images of its own kind.
    PRESET: the settings with which methods are trained from it: "reference", those of the released codes; "paper",
        where papers differ; or "embedded" for small drawings.
    splits: (config) -> the names of its splits.
    pair_images: (config, conditions attribute -> value, count, seed) -> real images that have these values.
    regions: (config, attribute, values) -> the pixels that show the attribute in images with one of the values, bool
        [H, W].
    edited_images: (config, N seeds, N changes attribute -> value) -> uint8 [N, 3, H, W]; image i is that of seed i with
        these attributes changed, and nothing else.
    needs: (config) -> what has to lie on the disk, in files and bytes.
    domain_texts: (config) -> the text of each domain; the first domain is that of the splits.
    domain_images: (config, domain, count, seed) -> real images of a domain. Networks may have learned from those of
        seed 0.
    """

    Config: type[Any]
    REVISION: int = 1
    IMAGES: bool = True
    NETWORKS: Networks = Networks()
    PRESET: str = "reference"
    splits: Callable[[Any], Sequence[str]] | None = None
    pair_images: Callable[[Any, Mapping[str, str], int, int], Split] | None = None
    regions: Callable[[Any, str, Sequence[str]], np.ndarray] | None = None
    edited_images: Callable[[Any, Sequence[int], Sequence[Mapping[str, str]]], np.ndarray] | None = None
    needs: Callable[[Any], Sequence[Need]] | None = None
    domain_texts: Callable[[Any], Mapping[str, str]] | None = None
    domain_images: Callable[[Any, str, int, int], Split] | None = None

    @abstractmethod
    def load(self, config: Any, split: str) -> Split:
        """The images of a split, in the same order on every machine. No pixel is read.

        Raises UserError for a split that it does not have, and for a folder that is not whole.
        """


def load_dataset(name: str) -> DatasetPlugin:
    """A data set by its name. Raises UserError for an unknown name, and for a module without a `Config` or `load`."""
    return plugins.by_contract(DatasetPlugin, plugins.load("datasets", name), f"datasets: {name}")
