"""S: strokes in [0, 1], made by an edge detector and a network that simplifies sketches, as in the paper.

The strokes of Canny are in t2ibench/data/representations.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.methods.composer.decompose import edges as pidinet
from t2ibench.methods.composer.decompose import simplification
from t2ibench.methods.composer.decompose.files import one_by_one

SIDE = 384  # side in pixels of the two networks' input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Simplified:
    """The paper's way: edges (PiDiNet), then the simplification of Simo-Serra et al., each from a published file."""

    def __init__(self, edges: Path, simplify: Path, device: torch.device) -> None:
        """Raises UserError for a file that is missing or is no such network."""
        self.edges, self.simplify = pidinet.read(edges).to(device), simplification.read(simplify).to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Strokes of uint8 images [B, 3, H, W]: float32 [B, 1, 384, 384]."""
        return one_by_one(lambda image: strokes(self.edges, self.simplify, image), images, self.device)


def strokes(edges: nn.Module, simplify: nn.Module, images: Tensor) -> Tensor:
    """1 - simplify(1 - edges(x)) for uint8 images x [B, 3, H, W]: [B, 1, 384, 384]."""
    x = F.interpolate(images.float() / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
    mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (1 - simplify(1 - edges((x - mean) / std))).clamp(0, 1)
