"""LPIPS v0.1 (Zhang et al., CVPR 2018): how far is an image from its reference? From 0 on; lower is better.

The mean distance of a made image from its reference: the real image of a caption, the image before an edit, or the
image A of a composition (`t2ibench/scoring/references.py`). Images are compared as they are, without resizing, so both
must have one size. The weights are two published files (`t2ibench/networks/lpips.py`).

A method that copies the reference scores 0. Read it beside the details `another`, the distance of two different
references.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.stores import ImageStore
from t2ibench.networks.lpips import Lpips
from t2ibench.networks.precision import full_float32
from t2ibench.scoring.evidence import Evidence, in_batches
from t2ibench.scoring.references import estimate, reference_pairs

TRACKS = ("text_to_image", "edit", "adapt", "compose")
COMPARES_IN = ("text_to_image",)
IN_PARTS = True
QUESTIONS = {"lpips": "how far is an image from its reference, as it looks?"}
BATCH = 32  # pairs in memory at once
SMALLEST = 35  # pixels of a side, below which nothing is left of AlexNet's maps
Place = tuple[ImageStore, int]  # a store of images, and a row of it


@dataclass(frozen=True)
class Config:
    heads: str = ""  # weights/v0.1/alex.pth or vgg.pth of richzhang/PerceptualSimilarity
    trunk: str = ""  # torchvision's AlexNet or VGG16, on which the heads stand


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`lpips`.

    Raises UserError without both files, for images that differ in size from their references or are too small, for a
    caption without a real image, and below two references.
    """
    for name, path in (("heads", config.heads), ("trunk", config.trunk)):
        if not path:
            raise UserError(
                f"lpips: no file of its {name} is given: download alex.pth of richzhang/PerceptualSimilarity and "
                f"torchvision's AlexNet, and name them as heads and trunk"
            )
    network = evidence.models.lpips(config.heads, config.trunk)
    pairs = reference_pairs(evidence)
    places = pairs.places(evidence)
    _, first = np.unique(pairs.reference, return_index=True)
    references = [places[row][1] for row in first]
    every = [*places, *zip(references, references[1:] + references[:1], strict=True)]
    of_files = {"heads": evidence.models.file(config.heads), "trunk": evidence.models.file(config.trunk)}
    values = evidence.in_parts(
        ["lpips", *of_files.values(), pairs.protocol],
        in_batches(len(every), BATCH),
        lambda numbers: distances(network, every[numbers.start : numbers.stop]),
        f"LPIPS: {len(every):,} pairs",
    ).astype(np.float64)
    return {
        "lpips": estimate(
            pairs,
            values[: len(places)],
            another=float(values[len(places) :].mean()),
            protocol={**of_files, "estimator": "mean distance", "resize": "none"},
            better="lower",
            seed=derive_seed(evidence.seed, "lpips"),
        )
    }


def distances(network: Lpips, places: Sequence[tuple[Place, Place]]) -> np.ndarray:
    """The distance of the two images of each pair, float64 [N]. Raises UserError as `score`."""
    values = list[float]()
    for start in range(0, len(places), BATCH):
        sides = [[read(pair[side]) for pair in places[start : start + BATCH]] for side in range(2)]
        for made, reference in zip(*sides, strict=True):
            if made.shape != reference.shape:
                sizes = ["x".join(map(str, image.shape[1:])) for image in (made, reference)]
                raise UserError(
                    f"lpips: an image of {sizes[0]} pixels and a reference of {sizes[1]}: give the data set the size "
                    f"of the images"
                )
            if min(made.shape[1:]) < SMALLEST:
                raise UserError(
                    f"lpips: images of {made.shape[1]}x{made.shape[2]} pixels, expected at least {SMALLEST} a side: "
                    f"leave lpips out"
                )
        one_size = len({image.shape for image in sides[0]}) == 1
        groups = [slice(None)] if one_size else [slice(row, row + 1) for row in range(len(sides[0]))]
        for rows in groups:
            values += distance(network, np.stack(sides[0][rows]), np.stack(sides[1][rows]))
    return np.array(values)


def read(place: Place) -> np.ndarray:
    store, row = place
    return store.read([row])[0]


@torch.no_grad()
@full_float32()
def distance(network: Lpips, a: np.ndarray, b: np.ndarray) -> list[float]:
    """The distance of each image of a from the same one of b, uint8 [B, 3, H, W] each."""
    device = network.shift.device
    images, others = (to_float(torch.from_numpy(np.ascontiguousarray(side)).to(device)) for side in (a, b))
    return network(images, others).double().cpu().tolist()
