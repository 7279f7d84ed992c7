"""A made-up data set that has everything a data set can have, drawn in a moment and small enough to work out by hand.

An image is a square of one colour, dark or light, with a little noise. No network knows such images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import pixel_hash
from t2ibench.core.ranges import Count, Whole
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split, Vocabulary
from t2ibench.data.stores import ArrayImages

COLOURS, TONES = ("red", "green", "blue"), ("dark", "light")
SIZES = {"train": 60, "val": 12, "test": 24}
PHRASES = {
    "colour": {colour: (("is", colour), ("has", f"a {colour} colour")) for colour in COLOURS},
    "tone": {"light": (("has", "a light tone"), ("is", "light"))},  # "dark" cannot be said
}
VALUES = {"colour": COLOURS, "tone": TONES}
DOMAINS = {"squares": "a square", "negative": "the negative of a square", "grey": "a grey square"}


@dataclass(frozen=True)
class Config:
    side: Count = 8  # pixels
    captions: Whole = 2  # captions of an image; 0 leaves them out


def paint(colour: str, tone: str, side: int, seed: int) -> np.ndarray:
    """One image, uint8 [3, side, side]: the colour's channel at 100 (dark) or 200 (light), the others at 10, all with
    noise below 20.
    """
    image = np.full((3, side, side), 10.0)
    image[COLOURS.index(colour)] = 200 if tone == "light" else 100
    return (image + 20 * uniform(seed, image.size).reshape(image.shape)).astype(np.uint8)


def load(config: Config, split: str) -> Split:
    """A split. Raises UserError for an unknown one, and for a side below 1."""
    known("split", split, SIZES)
    return _split(config, split, SIZES[split], {}, derive_seed("squares", split))


def pair_images(config: Config, conditions: Mapping[str, str], count: int, seed: int) -> Split:
    """`count` squares that have these values. Raises UserError for an unknown one."""
    for attribute, value in conditions.items():
        known("attribute", attribute, VALUES)
        known(attribute, value, VALUES[attribute])
    return _split(config, f"pair {seed}", count, conditions, seed)


def regions(config: Config, attribute: str, values: Sequence[str]) -> np.ndarray:
    """Both attributes cover everything. Raises UserError for an unknown attribute or value."""
    known("attribute", attribute, VALUES)
    for value in values:
        known(attribute, value, VALUES[attribute])
    return np.ones((config.side, config.side), bool)


def edited_images(config: Config, seeds: Sequence[int], changes: Sequence[Mapping[str, str]]) -> np.ndarray:
    """The square of each seed after its change."""
    looks = [
        {"colour": COLOURS[seed % 3], "tone": TONES[seed % 2], **change}
        for seed, change in zip(seeds, changes, strict=True)
    ]
    return np.stack(
        [paint(look["colour"], look["tone"], config.side, seed) for look, seed in zip(looks, seeds, strict=True)]
    )


def domain_texts(config: Config) -> dict[str, str]:
    """The text of each domain; the first is that of the splits."""
    return dict(DOMAINS)


def domain_images(config: Config, domain: str, count: int, seed: int = 0) -> Split:
    """Squares of a domain. Raises UserError for an unknown one."""
    known("domain", domain, DOMAINS)
    plain = _split(config, f"{domain} {seed}", count, {}, derive_seed("domain", domain, seed))
    images = in_domain(plain.images.read(range(count)), domain)
    return replace(plain, images=ArrayImages(images, [pixel_hash(image) for image in images]))


def in_domain(images: np.ndarray, domain: str) -> np.ndarray:
    """Squares as a domain shows them, uint8 [N, 3, H, W] in and out."""
    if domain == "grey":
        return images.mean(1, keepdims=True).astype(np.uint8).repeat(3, 1)
    return 255 - images if domain == "negative" else images


def known(what: str, name: str, names: Iterable[str]) -> None:
    """Raise UserError for a name that is not among these."""
    names = list(names)
    if name not in names:
        raise UserError(f"squares: no {what} is called {name!r}{did_you_mean(name, names)}")


def _split(config: Config, name: str, count: int, conditions: Mapping[str, str], seed: int) -> Split:
    draws = uniform(seed, 2 * count).reshape(count, 2)
    rows = [{"colour": COLOURS[int(3 * a)], "tone": TONES[int(2 * b)], **conditions} for a, b in draws]
    images = np.stack(
        [paint(row["colour"], row["tone"], config.side, derive_seed(seed, i)) for i, row in enumerate(rows)]
    )
    captions = [
        tuple(f"{start} {row['tone']} {row['colour']} square" for start in ("a", "one"))[: config.captions]
        for row in rows
    ]
    ids = [f"{name}-{i}" for i in range(count)]
    store, words = ArrayImages(images, [pixel_hash(i) for i in images]), Vocabulary(PHRASES, noun="square")
    return Split("squares", name, ids, store, captions, pd.DataFrame(rows), words)
