"""A style encoder that sees what the noise changes: principal components at unit variance, then a residual perceptron.

Captions decide nearly all of an image's variance. The noise decides what is left, much of it in components ten thousand
times fainter. Gradient descent on pixels finds these last, so the error of D's trunk stays at that of a constant
answer. Whitening gives all components the same variance.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from t2ibench.methods.gan_cls.networks import ImageEncoder

# pixels a side after 2x2 averages; they leave out the finest checks, and three quarters of the projection
SIDE = 32
FAINTEST = 0.02  # added to standard deviations; components below it are only the rounding to 8 bits


class Block(nn.Module):
    """x + branch(x); the branch has a layer norm and two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class WhitenedEncoder(nn.Module):
    """S: images [B, 3, 64, 64] in [-1, 1] to [B, out].

    `fit` chooses the components. Before that, every answer is 0, the mean noise.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, components: int, width: int, blocks: int, out: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3 * SIDE * SIDE))
        self.register_buffer("projection", torch.zeros(3 * SIDE * SIDE, components))
        head = nn.Linear(width, out)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        inside = [Block(width) for _ in range(blocks)]
        self.layers = nn.Sequential(nn.Linear(components, width), *inside, nn.LayerNorm(width), head)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Set the components to those of images [N, 3, 64, 64], strongest first.

        Each is scaled to a standard deviation of about 1. Raises ValueError unless images outnumber components.
        """
        components, pixels = self.projection.shape[1], _pixels(images)
        if len(pixels) <= components:
            raise ValueError(f"{components} components need more images than that, got {len(pixels)}")
        mean = pixels.mean(0)
        centred = (pixels - mean) / len(pixels) ** 0.5
        dual = len(centred) < centred.shape[1]  # the smaller of the two Gram matrices has the same eigenvalues
        values, vectors = torch.linalg.eigh(centred @ centred.T if dual else centred.T @ centred)  # ascending
        deviations = values.flip(0)[:components].clamp_min(1e-12).sqrt()
        strongest = vectors.flip(1)[:, :components]
        self.mean.copy_(mean)
        self.projection.copy_((centred.T @ strongest / deviations if dual else strongest) / (deviations + FAINTEST))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((_pixels(images) - self.mean) @ self.projection)


def style_encoder(config: Mapping[str, Any], nz: int) -> ImageEncoder | WhitenedEncoder:
    """S, untrained, by its settings or by the config of its card."""
    if config["network"] == "trunk":
        return ImageEncoder(config["width"], nz)
    return WhitenedEncoder(config["components"], config["width"], config["blocks"], nz)


def _pixels(images: Tensor) -> Tensor:
    return avg_pool2d(images.float(), images.shape[-1] // SIDE).flatten(1)
