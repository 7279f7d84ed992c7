"""How far is an image from its reference, pixel by pixel? In [0, 1]; lower is better. MagicBrush's L1 and "L2".

`pixel_l1` is the mean absolute difference of values in [0, 1], and `pixel_l2` the mean squared one, which MagicBrush
calls L2 (Zhang et al., NeurIPS 2023). The reference is the real image of a caption, the image before an edit, or the
image A of a composition (`t2ibench/scoring/references.py`). A made image of another size is brought to that of the
reference, by Pillow's bicubic filter.

A method that copies the reference scores 0. Read it beside the details `another`, the distance of two different
references.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.stores import ImageStore
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.references import estimate, reference_pairs

TRACKS = ("text_to_image", "edit", "adapt", "compose")
COMPARES_IN = ("text_to_image",)
QUESTIONS = {
    "pixel_l1": "how far is an image from its reference, pixel by pixel?",
    "pixel_l2": "how far is an image from its reference in squared steps, pixel by pixel?",
}
Place = tuple[ImageStore, int]  # a store of images, and a row of it


@dataclass(frozen=True)
class Config:
    pass


class Distances(NamedTuple):
    """Mean absolute and mean squared difference of each pair, float64 [N] each."""

    l1: np.ndarray
    l2: np.ndarray


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`pixel_l1` and `pixel_l2`. Raises UserError for a caption without real image, and below two references."""
    pairs = reference_pairs(evidence)
    places = pairs.places(evidence)
    _, first = np.unique(pairs.reference, return_index=True)
    references = [places[row][1] for row in first]
    own = distances(places)
    another = distances(list(zip(references, references[1:] + references[:1], strict=True)))
    return {
        f"pixel_{name}": estimate(
            pairs,
            getattr(own, name),
            another=float(getattr(another, name).mean()),
            protocol={"estimator": name, "resize": "bicubic-pil"},
            better="lower",
            seed=derive_seed(evidence.seed, "pixel_distance", name),
        )
        for name in Distances._fields
    }


def distances(places: Sequence[tuple[Place, Place]]) -> Distances:
    """The distances of the two images of each pair."""
    rows = []
    for (store, row), (references, other) in places:
        made, reference = store.read([row])[0], references.read([other])[0]
        gap = (resized(made, *reference.shape[1:]).astype(np.int64) - reference) / 255
        rows.append((np.abs(gap).mean(), (gap**2).mean()))
    found = np.array(rows, np.float64).reshape(-1, 2)
    return Distances(found[:, 0], found[:, 1])


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image uint8 [3, H, W] of another size."""
    if image.shape[1:] == (height, width):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
