"""Faces: 8x8 images with a bright column for each attribute that a face has."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from face_words import VOCABULARY, WORDS, has

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import pixel_hash
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Networks, Split
from t2ibench.data.stores import ArrayImages

NETWORKS = Networks(judge="attribute-judge-avatars", clip="clip-judge-avatars")  # a test puts its own in their place
SIZES = {"train": 6000, "test": 200}


@dataclass(frozen=True)
class Config:
    pass


def load(config: Config, split: str) -> Split:
    if split not in SIZES:
        raise UserError(f"faces: no split is called {split!r}{did_you_mean(split, SIZES)}")
    return _split(split, SIZES[split], {}, derive_seed("faces", split))


def pair_images(config: Config, conditions: Mapping[str, str], count: int, seed: int) -> Split:
    return _split(f"pair {sorted(conditions.items())} {seed}", count, conditions, seed)


def _split(name: str, count: int, conditions: Mapping[str, str], seed: int) -> Split:
    shown = has(uniform(seed, 5 * count).reshape(count, 5))
    table = pd.DataFrame(np.where(shown, "yes", "no"), columns=list(WORDS)).assign(**conditions)
    images = np.full((count, 3, 8, 8), 20, np.uint8)
    images[:, :, 0, 5:] = (np.arange(count) % 200)[:, None, None]  # no two of a few are the same
    images[..., :5] = np.where(table == "yes", 220, 20)[:, None, None]
    ids, store = [f"{name}-{i}" for i in range(count)], ArrayImages(images, [pixel_hash(image) for image in images])
    return Split("faces", name, ids, store, [("a face",)] * count, table, VOCABULARY)
