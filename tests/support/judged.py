"""A made-up data set that a network learns in seconds: a coloured square on a grey or white ground, said in two
ways.
"""

import numpy as np
import pandas as pd

from t2ibench.core.images import pixel_hash
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split, Vocabulary
from t2ibench.data.stores import ArrayImages

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220)}
GROUNDS = {"grey": (128, 128, 128), "white": (255, 255, 255)}
PHRASES = {
    "colour": {c: [("is", c), ("has", f"a {c} look")] for c in COLOURS},
    "ground": {g: [("has", f"a {g} ground"), ("has", f"a ground in {g}")] for g in GROUNDS},
}


def squares(count: int, name: str = "train", size: int = 64, hide_ground: float = 0.0) -> Split:
    """`count` images; with probability `hide_ground` the ground is not labelled."""
    images = np.empty((count, 3, size, size), np.uint8)
    rows, captions, mentions = [], [], []
    for index in range(count):
        a, b, c, x, y = uniform(derive_seed(name, index), 5)
        colour, ground = list(COLOURS)[int(a * 3)], list(GROUNDS)[int(b * 2)]
        images[index] = np.array(GROUNDS[ground], np.uint8)[:, None, None]
        top, left, side = size // 8 + int(x * size / 4), size // 8 + int(y * size / 4), size // 2
        images[index, :, top : top + side, left : left + side] = np.array(COLOURS[colour], np.uint8)[:, None, None]
        rows.append(
            {"ground": None if c < hide_ground else ground, "colour": colour}
        )  # the names are not in alphabetical order
        captions.append(
            (
                f"a {colour} square on {ground}",
                f"on a {ground} ground, a square that is {colour}",
                f"a square in {colour}",
            )
        )
        mentions.append(
            [[f"colour={colour}", f"ground={ground}"], [f"colour={colour}", f"ground={ground}"], [f"colour={colour}"]]
        )
    vocabulary = Vocabulary(PHRASES, subject="this square", noun="square")
    table = pd.DataFrame(rows, dtype=object)
    store = ArrayImages(images, [pixel_hash(image) for image in images])
    return Split("squares", name, [f"{name}-{i}" for i in range(count)], store, captions, table, vocabulary, mentions)
