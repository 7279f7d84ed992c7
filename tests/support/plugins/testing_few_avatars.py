"""Few avatars: the embedded faces with their networks, but so few of them that they are drawn in a moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.split import Split
from t2ibench.datasets import avatars
from t2ibench.datasets.avatars import NETWORKS, Config, domain_images, edited_images, pair_images

__all__ = ["NETWORKS", "Config", "domain_images", "edited_images", "pair_images"]
SIZES = {"train": (60, 1), "test": (40, 2)}  # number of images, seed


def load(config: Config, split: str) -> Split:
    if split not in SIZES:
        raise UserError(f"few_avatars: no split is called {split!r}{did_you_mean(split, SIZES)}")
    return replace(pair_images(config, {}, *SIZES[split]), name=split)


def regions(config: Config, attribute: str, values: Sequence[str]) -> np.ndarray:
    """The middle, for every attribute."""
    region = np.zeros((config.size, config.size), bool)
    region[config.size // 4 : -config.size // 4, config.size // 4 : -config.size // 4] = True
    return region


def domain_texts(config: Config) -> Mapping[str, str]:
    """Two of the domains."""
    texts = avatars.domain_texts(config)
    return {domain: texts[domain] for domain in (next(iter(texts)), "sepia", "pencil-sketch")}
