"""S: a sketch in [0, 1], where 1 is a stroke. The strokes are Canny's edges."""

import numpy as np
import torch
from torch import Tensor

SIGMA = 1.5  # of the blur, in pixels
QUANTILES = (0.7, 0.9)  # of the gradient, which are the two thresholds
SMALLEST = 8  # pixels of the shortest stroke
# A threshold is at least this gradient, about that of four grey levels: in a flat image the quantiles are noise.
FAINTEST = 0.03


def canny(images: Tensor) -> Tensor:
    """Canny's edges of uint8 images [B, 3, H, W] without the shortest ones: float32 [B, 1, H, W], 0 or 1."""
    from scipy.ndimage import gaussian_filter, sobel
    from skimage.color import rgb2gray
    from skimage.feature import canny as edges_of
    from skimage.morphology import remove_small_objects

    sketches = np.empty((len(images), 1, *images.shape[2:]), np.float32)
    for row, grey in enumerate(rgb2gray(images.permute(0, 2, 3, 1).numpy())):
        blurred = gaussian_filter(grey, SIGMA, mode="nearest")
        gradient = np.hypot(sobel(blurred, 0, mode="nearest"), sobel(blurred, 1, mode="nearest"))
        low, high = np.maximum(np.quantile(gradient, QUANTILES), FAINTEST)
        edges = edges_of(grey, SIGMA, low, high, mode="nearest")
        sketches[row, 0] = remove_small_objects(edges, max_size=SMALLEST - 1, connectivity=2)
    return torch.from_numpy(sketches)
