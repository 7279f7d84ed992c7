"""How far the two images of a pair are apart, and how far they may be.

Four distances, since a fault may show in one alone:

- pixels: root mean square of the differences, in grey levels;
- detail: the absolute logarithm of the ratio of mean second differences; blur and noise move it;
- blocks: the difference of blockiness, in grey levels: how much more neighbours differ across the edges of 8x8 blocks
  than elsewhere; JPEG and broken tiles move it;
- patches: the largest root mean square of any 16x16 patch: one wrong corner moves it.

The limit of each is the largest that reruns of A reach, or that noise of an allowed size makes of A itself, times a
factor. A robust limit from the spread would fail: distances have heavy tails.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

BLOCK, PATCH = 8, 16
FACTOR = 2.0
KINDS = ("pixels", "detail", "blocks", "patches")


def distances(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """The distances of two images uint8 [H, W, 3] of one size."""
    gap = np.square(a.astype(np.float64) - b).mean(axis=2)
    return {
        "pixels": float(np.sqrt(gap.mean())),
        "detail": abs(float(np.log(detail(a) / detail(b)))),
        "blocks": abs(blockiness(a) - blockiness(b)),
        "patches": float(np.sqrt(ndimage.uniform_filter(gap, min(PATCH, *gap.shape), mode="nearest").max())),
    }


def detail(image: np.ndarray) -> float:
    """Mean absolute second difference of grey levels in both directions, plus one level."""
    grey = image.astype(np.float64).mean(axis=2)
    parts = [np.abs(np.diff(grey, 2, axis=axis)) for axis in (0, 1) if grey.shape[axis] > 2]
    return 1.0 + float(np.mean([part.mean() for part in parts])) if parts else 1.0


def blockiness(image: np.ndarray) -> float:
    """How much more neighbours differ across the edges of 8x8 blocks than elsewhere, in grey levels."""
    grey, found = image.astype(np.float64).mean(axis=2), []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        edge = np.arange(1, len(steps) + 1) % BLOCK == 0
        if edge.any() and not edge.all():
            found.append(steps[edge].mean() - steps[~edge].mean())
    return float(np.mean(found)) if found else 0.0


def noisy(image: np.ndarray, levels: int, random: np.random.Generator) -> np.ndarray:
    """An image with each value moved by a whole number of levels, uniform in [-levels, levels] and clipped."""
    moved = image.astype(np.int64) + random.integers(-levels, levels, image.shape, endpoint=True)
    return moved.clip(0, 255).astype(np.uint8)


def limits(images: Sequence[np.ndarray], reruns: Iterable[Sequence[np.ndarray]], factor: float) -> dict[str, float]:
    """The largest distance that each kind may have; 0 without reruns.

    images: of A. reruns: what stands for the same images, drawn again or with noise that is allowed.
    """
    found = [distances(one, other) for rerun in reruns for one, other in zip(images, rerun, strict=True)]
    return {kind: factor * max((one[kind] for one in found), default=0.0) for kind in KINDS}
