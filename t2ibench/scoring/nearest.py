"""The nearest training image of an image: is it a copy?

Two distances say different things, so both are looked at. Features find the same scene in other pixels; pixels find a
copy whose features a network does not care for. Nearness alone proves nothing: real images that were never trained on
are near some training image, too. So the same numbers of held-out real images stand beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.data.stores import ImageStore, each
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.finite import finite

SIDE = 32  # pixels to which images are brought before their pixels are compared
BLOCK = 256  # images compared with all training images at once


class Neighbours(NamedTuple):
    """For each of N images the row of its nearest training image, int [N], and its distance, float64 [N]."""

    row: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Nearest:
    """The nearest training images of N images, by both distances.

    features: distances are 1 - cosine, in [0, 2].
    pixels: distances are root mean squares of differences in grey levels, 0 to 255, at 32 x 32 pixels.
    """

    features: Neighbours
    pixels: Neighbours


def nearest(features: Tensor, pixels: Tensor, train_features: Tensor, train_pixels: Tensor) -> Nearest:
    """The nearest training images of N images. features: [N, D] and [M, D]. pixels: as of `small`.

    Raises ValueError for features that are not finite, or are zero, and for no training image.
    """
    finite("the nearest training image", features=features, training=train_features)
    for rows in (features, train_features):
        if not len(rows) or (rows == 0).all(1).any():
            raise ValueError("the nearest training image needs images, and features with a direction")
    of_features = neighbours(F.normalize(features.double(), dim=1), F.normalize(train_features.double(), dim=1))
    of_pixels = neighbours(pixels, train_pixels)
    return Nearest(
        Neighbours(of_features.row, of_features.distance**2 / 2),  # of unit vectors
        Neighbours(of_pixels.row, of_pixels.distance / pixels.shape[1] ** 0.5),
    )


def neighbours(a: Tensor, b: Tensor) -> Neighbours:
    """The row of b that is nearest to each row of a, by Euclidean distance; the first of those equally near."""
    rows, distances = [], []
    for start in range(0, len(a), BLOCK):
        block = torch.cdist(a[start : start + BLOCK], b, compute_mode="donot_use_mm_for_euclid_dist")
        least = block.min(dim=1)
        rows.append(least.indices)
        distances.append(least.values.double())
    return Neighbours(torch.cat(rows).numpy(), torch.cat(distances).numpy())


def authentic(features: Tensor, training: Tensor) -> np.ndarray:
    """Whether each image is authentic, bool [N] (Alaa et al., ICML 2022; AuthPct of dgm-eval is the percentage).

    It is if its nearest training image has another training image that is nearer to it. features, training: [N, D] and
    [M, D]. A training image that is there twice makes every copy of it authentic, so leave out duplicates (`distinct`).
    Raises ValueError for fewer than 2 training images, and for features that are not finite.
    """
    finite("authenticity", features=features, training=training)
    if len(training) < 2:
        raise ValueError(f"authenticity needs at least 2 training images, got {len(training)}")
    training = training.double()
    near = neighbours(features.double(), training)
    second = {row: _second(training, row) for row in np.unique(near.row).tolist()}
    return np.array([second[row] for row in near.row.tolist()]) < near.distance


def _second(training: Tensor, row: int) -> float:
    """The distance of a training image from the nearest other one."""
    distances = torch.cdist(training[row : row + 1], training, compute_mode="donot_use_mm_for_euclid_dist")[0]
    distances[row] = torch.inf
    return float(distances.min())


def distinct(digests: Sequence[str]) -> list[int]:
    """The first row of every different image."""
    return sorted({digest: row for row, digest in reversed(list(enumerate(digests)))}.values())


def small(store: ImageStore, rows: Sequence[int] | np.ndarray) -> Tensor:
    """The pixels of images at 32 x 32, antialiased, in grey levels: float32 [N, 3 * 32 * 32]."""
    images = []
    for start in range(0, len(rows), BLOCK):
        for image in each(store, rows[start : start + BLOCK]):
            tensor = torch.from_numpy(np.ascontiguousarray(image))[None].float()
            images.append(F.interpolate(tensor, (SIDE, SIDE), mode="bilinear", antialias=True).flatten())
    return torch.stack(images)


@dataclass(frozen=True)
class Copies:
    """What was found of N images.

    nearest: their nearest training images; its rows count among `rows`.
    authentic: as `authentic`, bool [N].
    rows: the rows of the training images without duplicates.
    order: the images, the one nearest to a training image first, int [N].
    """

    nearest: Nearest
    authentic: np.ndarray
    rows: Sequence[int]

    @property
    def order(self) -> np.ndarray:
        return np.argsort(self.nearest.features.distance, kind="stable")


def copies(made: Split, train: Split, extractor: str, models: Models) -> Copies:
    """The nearest training images of images. Raises UserError below 2 different training images."""
    rows = distinct(train.images.digests())
    if len(rows) < 2:
        raise UserError(f"{train.dataset}: {len(rows)} different training images, expected at least 2")
    evidence = Evidence(train=train, reference=train, prompts=[], samples={}, models=models)
    features, training = evidence.real_features(extractor, made), evidence.real_features(extractor, train)[rows]
    found = nearest(features, small(made.images, range(len(made))), training, small(train.images, rows))
    return Copies(found, authentic(features, training), rows)


def pairs(found: Copies, made: Split, train: Split, top: int) -> list[dict[str, Any]]:
    """The `top` images that are nearest to a training image by features: names and both distances."""
    of_features, of_pixels = found.nearest.features, found.nearest.pixels
    return [
        {
            "image": made.ids[int(place)],
            "by_features": train.ids[found.rows[int(of_features.row[place])]],
            "cosine": 1 - float(of_features.distance[place]),
            "by_pixels": train.ids[found.rows[int(of_pixels.row[place])]],
            "grey_levels": float(of_pixels.distance[place]),
        }
        for place in found.order[:top]
    ]


def summary(found: Copies) -> dict[str, Any]:
    """How many images are authentic, and how near they are: in the middle, and the nearest one."""
    cosines, levels = 1 - found.nearest.features.distance, found.nearest.pixels.distance
    return {
        "n": len(levels),
        "auth_pct": 100 * float(found.authentic.mean()),
        "cosine": {"median": float(np.median(cosines)), "nearest": float(cosines.max())},
        "grey_levels": {"median": float(np.median(levels)), "nearest": float(levels.min())},
    }
