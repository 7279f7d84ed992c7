"""G: where the object is, as a silhouette."""

import numpy as np
import torch
from torch import Tensor

ROUNDING = 1e-6  # of distances in Lab: in a smaller range there is nothing to tell apart


def silhouettes(images: Tensor) -> Tensor:
    """The pixels that differ in colour from the border by more than Otsu's threshold.

    images: uint8 [B, 3, H, W]. Returns uint8 [B, H, W] in {0, 1}. This stands in for a segmenter: it finds one object
    before a plain background. A flat image has no object.
    """
    from skimage.color import rgb2lab
    from skimage.filters import threshold_otsu

    masks = np.zeros((len(images), *images.shape[2:]), np.uint8)
    for row, lab in enumerate(rgb2lab(images.permute(0, 2, 3, 1).numpy())):
        border = np.concatenate([lab[0], lab[-1], lab[1:-1, 0], lab[1:-1, -1]])
        distance = np.linalg.norm(lab - np.median(border, axis=0), axis=-1)
        if distance.max() - distance.min() > ROUNDING:
            masks[row] = distance > threshold_otsu(distance)
    return torch.from_numpy(masks)
