"""From an image back to W+: an encoder in one pass, and a projector that improves its answer by gradient descent.

The encoder gives an offset from the mean w for each row, and learns from real images (to draw them again) and from
generated ones, whose rows are known. Rows that stray from one another leave the part of W+ where edits work, so they
are held together (Tov et al., TOG 2021). Alike means: in pixels, and in the features of the guide CLIP at every scale.
"""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.pyramid import pyramid
from t2ibench.networks.schedule import warmup_cosine
from t2ibench.networks.stylegan2.discriminator import Block, Convolution
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import GAIN, SLOPE, Generator, Linear


class Encoder(nn.Module):
    """Offsets from the mean w of each row, [B, L, w_dim], of floats in [-1, 1], [B, 3, H, H]."""

    def __init__(self, config: Config, channels: int = 128, hidden: int = 256) -> None:
        super().__init__()
        sizes = config.resolutions[::-1]
        widths = [min(channels, 2048 // size) for size in sizes]
        self.from_rgb = Convolution(3, widths[0], 1)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        self.hidden, self.out = Linear(widths[-1] * 16, hidden), Linear(hidden, config.rows * config.w_dim)
        self.rows = config.rows

    def forward(self, images: Tensor) -> Tensor:
        x = self.from_rgb(images)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(self.hidden(x.flatten(1)), SLOPE) * GAIN
        return cast(Tensor, self.out(x).view(len(images), self.rows, -1))


def encode(encoder: Encoder, generator: Generator, images: Tensor) -> Tensor:
    """w_plus [B, L, w_dim] of floats in [-1, 1]; row i depends on image i alone."""
    return generator.mapping.w_avg + encoder(images).float()


@torch.enable_grad()
def project(
    generator: Generator,
    clip: Clip,
    images: Tensor,
    start: Tensor,
    *,
    steps: int = 200,
    rate: float = 0.1,
    features: float = 0.2,
    hold: float = 1e-3,
) -> Tensor:
    """w_plus [B, L, w_dim] nearer to the images (floats in [-1, 1]) than `start`: Adam on pixels, features and the way
    from the start.

    Each image's rows depend on that image alone. Raises ValueError where the loss is not finite.
    """
    v = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([v], rate)
    variance = w_variance(generator)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * warmup_cosine(step / steps)
        pixels, feature = differences(clip, generator.synthesis(generator.style(v)), images)
        away = (v - start).square().mean(dim=(1, 2)) / variance
        loss = (pixels + features * feature + hold * away).sum()
        if not torch.isfinite(loss):
            raise ValueError(f"projection: the loss is {loss.item()} at step {step}: lower its rate, {rate:g}")
        [v.grad] = torch.autograd.grad(loss, [v])
        optimiser.step()
    return v.detach()


def differences(clip: Clip, made: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared difference of pixels [B], and of unit-length features over all places and scales of the guide's
    image tower [B].
    """
    pixels = (made.float() - images).square().mean(dim=(1, 2, 3))
    with torch.no_grad():
        wanted = pyramid(clip, images)
    pairs = zip(pyramid(clip, made), wanted, strict=True)
    scales = [(F.normalize(a.float()) - F.normalize(b.float())).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs]
    return pixels, torch.stack(scales).mean(0)


@torch.no_grad()
def w_variance(generator: Generator, count: int = 1000) -> float:
    """The variance of an entry of w, a mean over entries: the unit that distances in W+ are given in."""
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(0)).to(
        generator.const.device
    )
    return float(generator.mapping(z).var(dim=0).mean())
