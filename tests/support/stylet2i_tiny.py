"""Squares with a hat or without, a generator of 32 pixels and a small CLIP, for tests of StyleT2I; random weights,
always the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from styleclip_tiny import TinyModels
from torch import Tensor

from t2ibench.core.images import pixel_hash
from t2ibench.data.split import Split, Vocabulary
from t2ibench.data.stores import chosen
from t2ibench.methods.stylet2i import recipe
from t2ibench.methods.stylet2i.directions import DirectionNetwork, Shape
from t2ibench.methods.stylet2i.text import TextEncoder, learned_vectors
from t2ibench.networks import weights as weight_files
from t2ibench.networks.training import loop
from t2ibench.networks.training.loop import Recipe

KNOWN = ["a", "bob", "hair", "hat", "long"]
WORDS = Vocabulary(
    {
        "hair": {
            "long": [("has", "long hair"), ("has", "long straight hair")],
            "bob": [("has", "a bob"), ("has", "a bob haircut")],
        },
        "colour": {
            "blond": [("has", "blond hair"), ("has", "golden hair")],
            "red": [("has", "red hair"), ("has", "ginger hair")],
        },
        "hat": {"yes": [("wears", "a hat"), ("wears", "a wide hat")]},
    },
    also={"hair=bob": [("has", "a pageboy")]},
    qualifies={"colour": "hair"},
)
SMALL: dict[str, Any] = {
    "preset": "reference",
    "generator": "g",
    "clip": "c",
    "word_size": 6,
    "text_width": 8,
    "width": 8,
    "batch": 3,
    "steps": 4,
}
TINY: dict[str, dict[str, Any]] = {
    "parts": {"images": 8, "held_out": 4, "width": 6, "batch": 4, "steps": 3},
    "attribute": SMALL,
    "sentence": SMALL,
}


class Store:
    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Any) -> np.ndarray:
        return self.images[np.asarray(indices)]

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen([pixel_hash(image) for image in self.images], rows)


class Masks:
    """Parts "below" and "hat": the upper rows, where they are white."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.parts = ("below", "hat")
        self.of = {"hat": ("hat",), "hair": ("hat",), "colour": ("hat", "below")}

    def read(self, indices: Any) -> np.ndarray:
        return (self.images[np.asarray(indices), 0] > 200).astype(np.uint8)


def squares(name: str = "train", count: int = 12) -> Split:
    images = np.full((count, 3, 32, 32), 60, np.uint8)
    images[::2, :, :12] = 255
    table = pd.DataFrame(
        {"hair": ["long"] * count, "colour": ["blond"] * count, "hat": ["yes", None] * (count // 2)}, dtype=object
    )
    captions = [(f"person {i} with long hair", f"person {i} wears a hat and has red hair") for i in range(count)]
    ids = [str(i) for i in range(count)]
    return Split("squares", name, ids, Store(images), captions, table, WORDS, masks=Masks(images))


class Trained(TinyModels):
    """Hands out weights that were trained in a folder, beside the tiny generator and CLIP."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def weights(self, name: str) -> weight_files.Weights:
        return weight_files.read(self.folder / f"{name}.safetensors")


def tiny_recipe(part: str, models: TinyModels, seed: int = 0, **settings: Any) -> Recipe:
    return recipe(part, TINY[part.partition("-")[0]] | settings, squares(), squares("val", 6), models, seed)


def train_all(folder: Path, seed: int = 0) -> Trained:
    """All three parts, a few steps each, and the models that know them."""
    models = Trained(folder)
    for part in TINY:
        loop.fit(tiny_recipe(part, models, seed), f"stylet2i-{part}-squares", folder, steps=2)
    return models


def upper_half(dataset: str) -> Any:
    """A segmenter that a setting can name."""

    def masks(images: Tensor, attributes: Sequence[str]) -> Tensor:
        rows = torch.arange(images.shape[2])[:, None] < images.shape[2] // 2
        return rows.expand(len(images), -1, images.shape[3])

    masks.supervision = f"none, for {dataset}"  # type: ignore[attr-defined]
    return masks


def network(**shape: Any) -> DirectionNetwork:
    """A small network of directions with learned words, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Shape(**{"rows": 6, "w_dim": 4, "word_size": 5, "text_width": 8, **shape})
        return DirectionNetwork(made, TextEncoder(KNOWN, learned_vectors(KNOWN, 5), made.text_width, learned=True))
