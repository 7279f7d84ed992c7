"""D: inverse depth in [0, 1], 1 is near. It comes from a monocular network (MiDaS) or from exact parts."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.methods.composer.decompose.scripted import load_scripted

# side in pixels of the network's input; its output is divided by SCALE and cut at MOST
SIDE, SCALE, MOST = 384, 20.0, 10.0


def layers(labels: Tensor, parts: int) -> Tensor:
    """The order in which the parts of a drawing are painted, as depth in [0, 1], [B, 1, H, W].

    labels: uint8 [B, H, W], the part that each pixel shows, numbered from the farthest.
    parts: how many parts there are.
    """
    return labels[:, None].float() / max(parts - 1, 1)


class Monocular:
    """DPT (MiDaS 3) as a TorchScript file.

    It maps colours in [-1, 1], [B, 3, 384, 384], to inverse depth, [B, 384, 384] or [B, 1, 384, 384].
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        """Raises UserError for a file that is missing or is no TorchScript file."""
        self.network, self.device = load_scripted(path, "depth", device), device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Inverse depth of uint8 images [B, 3, H, W]: float32 [B, 1, 384, 384] in [0, 1]."""
        x = F.interpolate(images.to(self.device).float() / 255, (SIDE, SIDE), mode="bicubic", antialias=True)
        inverse = self.network((x - 0.5) / 0.5).view(len(x), 1, SIDE, SIDE)
        return (inverse / SCALE).clamp(0, MOST).cpu() / MOST
