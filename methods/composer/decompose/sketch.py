"""S: strokes in [0, 1], made by an edge detector and a network that simplifies sketches, as in the paper.

The strokes of Canny are in t2ibench/data/representations.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.methods.composer.decompose.scripted import load_scripted

SIDE = 384  # side in pixels of the two networks' input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Simplified:
    """The paper's way: edges (PiDiNet), then the simplification of Simo-Serra et al., each a TorchScript file.

    edges: maps colours, normalised by ImageNet's mean and deviation, [B, 3, 384, 384], to probabilities
    [B, 1, 384, 384].
    simplify: maps dark lines on white to cleaner ones.
    """

    def __init__(self, edges: Path, simplify: Path, device: torch.device) -> None:
        """Raises UserError for a file that is missing or is no TorchScript file."""
        self.edges, self.simplify = (load_scripted(path, "sketch", device) for path in (edges, simplify))
        self.device = device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Strokes of uint8 images [B, 3, H, W]: float32 [B, 1, 384, 384]."""
        return strokes(self.edges, self.simplify, images.to(self.device)).cpu()


def strokes(edges: nn.Module, simplify: nn.Module, images: Tensor) -> Tensor:
    """1 - simplify(1 - edges(x)) for uint8 images x [B, 3, H, W]: [B, 1, 384, 384]."""
    x = F.interpolate(images.float() / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
    mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (1 - simplify(1 - edges((x - mean) / std))).clamp(0, 1)
