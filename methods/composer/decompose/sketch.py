"""S: strokes in [0, 1]. An edge detector and a network that simplifies sketches, as in the paper, or Canny's edges."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.methods.composer.decompose.scripted import load_scripted

SIDE = 384  # pixels at which the two networks look
SIGMA, QUANTILES, SMALLEST = 1.5, (0.7, 0.9), 8  # of Canny: blur, thresholds as quantiles of the gradient, pixels of the shortest stroke
FAINTEST = 0.03  # gradient under which nothing is a stroke, about that of four grey levels: in a flat image the quantiles are of rounding
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def canny(images: Tensor) -> Tensor:
    """Canny's edges of uint8 images [B, 3, H, W] without the shortest ones: float32 [B, 1, H, W], 0 or 1."""
    from scipy.ndimage import gaussian_filter, sobel
    from skimage.color import rgb2gray
    from skimage.feature import canny as edges_of
    from skimage.morphology import remove_small_objects

    found = np.empty((len(images), 1, *images.shape[2:]), np.float32)
    for row, grey in enumerate(rgb2gray(images.permute(0, 2, 3, 1).numpy())):
        blurred = gaussian_filter(grey, SIGMA, mode="nearest")
        gradient = np.hypot(sobel(blurred, 0, mode="nearest"), sobel(blurred, 1, mode="nearest"))
        low, high = np.maximum(np.quantile(gradient, QUANTILES), FAINTEST)
        edges = edges_of(grey, SIGMA, low, high, mode="nearest")
        found[row, 0] = remove_small_objects(edges, max_size=SMALLEST - 1, connectivity=2)
    return torch.from_numpy(found)


class Simplified:
    """The paper's way: edges (PiDiNet), then the simplification of Simo-Serra et al., each a TorchScript file.

    edges: colours of ImageNet's mean and deviation [B, 3, 384, 384] to probabilities [B, 1, 384, 384]; simplify: dark lines on white
    to cleaner ones.
    """

    def __init__(self, edges: Path, simplify: Path, device: torch.device) -> None:
        """Raises UserError for a file that is not there or no TorchScript."""
        self.edges, self.simplify = (load_scripted(path, "sketch", device) for path in (edges, simplify))
        self.device = device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Strokes of uint8 images [B, 3, H, W]: float32 [B, 1, 384, 384]."""
        return strokes(self.edges, self.simplify, images.to(self.device)).cpu()


def strokes(edges: nn.Module, simplify: nn.Module, images: Tensor) -> Tensor:
    """1 - simplify(1 - edges(x)), of uint8 images [B, 3, H, W]: [B, 1, 384, 384]."""
    x = F.interpolate(images.float() / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
    mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (1 - simplify(1 - edges((x - mean) / std))).clamp(0, 1)
