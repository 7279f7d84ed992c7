"""D: inverse depth in [0, 1], 1 is near. It comes from a monocular network (MiDaS) or from exact parts."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.methods.composer.decompose import midas
from t2ibench.methods.composer.decompose.files import one_by_one

SCALE, MOST = 20.0, 10.0  # the network's output is divided by the one and cut at the other


def layers(labels: Tensor, parts: int) -> Tensor:
    """The order in which the parts of a drawing are painted, as depth in [0, 1], [B, 1, H, W].

    labels: uint8 [B, H, W], the part that each pixel shows, numbered from the farthest.
    parts: how many parts there are.
    """
    return labels[:, None].float() / max(parts - 1, 1)


class Monocular:
    """MiDaS 3 from a published file: the images of a split alone, without exact parts."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Raises UserError for a file that is missing or is no such network."""
        self.network, self.device = midas.read(path).to(device), device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Inverse depth of uint8 images [B, 3, H, W]: float32 [B, 1, 384, 384] in [0, 1]."""
        return one_by_one(lambda image: near(self.network, image), images, self.device)


def near(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The scaled answer of a network to uint8 images [B, 3, H, W]: [B, 1, 384, 384] in [0, 1]."""
    x = F.interpolate(images.float() / 255, (midas.SIDE, midas.SIDE), mode="bicubic", antialias=True)
    return (network((x - 0.5) / 0.5) / SCALE).clamp(0, MOST) / MOST
