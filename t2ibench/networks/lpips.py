"""LPIPS v0.1 (Zhang et al., CVPR 2018): how far two images are apart to a network that was trained on photographs.

Its weights do not come with this package. They are two files: the heads, `weights/v0.1/alex.pth` or `vgg.pth` of
richzhang/PerceptualSimilarity, and torchvision's AlexNet or VGG16, on which they stand. Heads of v0.0 have the same
names and shapes, and cannot be told from these.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.networks.state import fill, state_dict

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of colours in [-1, 1]
EPS = 1e-10
HEADS = "the heads of LPIPS, weights/v0.1/alex.pth or vgg.pth"
VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # a pooling lies between the groups


class Lpips(nn.Module):
    """The distance [B] of images [B, 3, H, W] in [-1, 1] from others. Frozen; differentiable in the images."""

    shift: Tensor
    scale: Tensor

    def __init__(self, channels: tuple[int, ...]) -> None:
        """channels: of the five maps that are compared. Raises KeyError if neither network has them."""
        super().__init__()
        build = NETWORKS[channels]
        self.features, self.taps = build()
        self.heads = nn.ParameterList(nn.Parameter(torch.empty(width)) for width in channels)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    @classmethod
    def from_files(cls, heads: Path, trunk: Path) -> "Lpips":
        """Raises UserError for files that are missing, damaged or of other networks, or that do not fit each other."""
        stored = state_dict(heads, HEADS)
        widths = tuple(stored[key].numel() for key in (f"lin{k}.model.1.weight" for k in range(5)) if key in stored)
        try:
            with torch.random.fork_rng(devices=[]):
                network = cls(widths)
        except KeyError:
            raise UserError(f"{heads}: heads of {list(widths)} channels, expected {HEADS}: give another file") from None
        expected = f"torchvision's {'AlexNet' if widths[1] == 192 else 'VGG16'}, on which {heads.name} stands"
        features = {key: value for key, value in state_dict(trunk, expected).items() if key.startswith("features.")}
        tensors = {f"heads.{key[3]}": value.reshape(-1) for key, value in stored.items()}
        fill(network.features, {key.removeprefix("features."): v for key, v in features.items()}, trunk, expected)
        fill(network.heads, {key.removeprefix("heads."): value for key, value in tensors.items()}, heads, HEADS)
        return network

    def maps(self, images: Tensor) -> list[Tensor]:
        """The five maps of unit length at each position, [B, C, h, w] each."""
        x, maps = (images - self.shift) / self.scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                length = torch.linalg.vector_norm(x, dim=1, keepdim=True)  # its gradient at 0 is 0
                maps.append(x / (length + EPS))
            if number == self.taps[-1]:
                break
        return maps

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        pairs = zip(self.maps(images), self.maps(others), self.heads, strict=True)
        return torch.stack([(head.view(-1, 1, 1) * (a - b).square()).sum(1).mean((1, 2)) for a, b, head in pairs]).sum(
            0
        )


def alexnet() -> tuple[nn.Sequential, tuple[int, ...]]:
    """torchvision's features of AlexNet, and the layers whose output is compared."""
    layers = [
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    ]
    return nn.Sequential(*layers), (1, 4, 7, 9, 11)


def vgg16() -> tuple[nn.Sequential, tuple[int, ...]]:
    """The same of VGG16."""
    layers: list[nn.Module] = []
    taps, before = [], 3
    for group in VGG:
        for inputs, outputs in pairwise((before, *group)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        before = group[-1]
        taps.append(len(layers) - 1)
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers), tuple(taps)


NETWORKS: dict[tuple[int, ...], Callable[[], tuple[nn.Sequential, tuple[int, ...]]]] = {
    (64, 192, 384, 256, 256): alexnet,
    (64, 128, 256, 512, 512): vgg16,
}
