"""Part masks of images of files, cut and resized as the images are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from t2ibench.data.folders import Files


@dataclass(frozen=True)
class FramedMasks:
    """The masks of a split. `parts` and `of` are those of `PartMasks`.

    images: the images, whose framing and boxes the masks share.
    label: row -> the part of each pixel of the file as a position in `parts`, uint8 [H, W].
    """

    images: Files
    label: Callable[[int], np.ndarray]
    parts: Sequence[str]
    of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        framed = []
        for index in map(int, indices):
            box = None if self.images.boxes is None else self.images.boxes[index]
            mask = Image.fromarray(self.label(index))
            framed.append(np.asarray(self.images.framing.apply(mask, box, nearest=True)))
        return np.stack(framed)
