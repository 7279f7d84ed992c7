"""Inversion, from an image to W+: an encoder in one pass, and a projector that improves its result by gradient descent.

The encoder predicts an offset from the mean w for each row. It learns from real images, which it must reconstruct, and
from generated images, whose rows are known. Edits work only where the rows of W+ are near to each other, so rows are
held together (Tov et al., TOG 2021). Images are compared in pixels, and in the features of the guide CLIP at several
depths.
"""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.pyramid import stages
from t2ibench.networks.lpips import Lpips
from t2ibench.networks.schedule import warmup_cosine
from t2ibench.networks.stylegan2.discriminator import Block, Convolution
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import GAIN, SLOPE, Generator, Linear


class Encoder(nn.Module):
    """From images, floats in [-1, 1], [B, 3, H, H], to an offset from the mean w for each row, [B, L, w_dim]."""

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
    """w_plus [B, L, w_dim] of images, floats in [-1, 1]; row i depends on image i alone."""
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
    lpips: Lpips | None = None,
) -> Tensor:
    """Improve w_plus by Adam, so that its images come nearer to the given ones. Returns w_plus [B, L, w_dim].

    images: floats in [-1, 1].
    start: the w_plus to begin with.
    steps, rate: number of steps and peak learning rate.
    features: weight of the difference of features, beside that of pixels.
    hold: weight of the squared distance from the start, in units of w's variance.
    lpips: if given, the difference of features is that of LPIPS, not of the guide.

    The result for an image depends on that image alone. Raises ValueError if the loss is not finite.
    """
    v = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([v], rate)
    variance = w_variance(generator)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * warmup_cosine(step / steps)
        drawn = generator.synthesis(generator.style(v))
        if lpips is None:
            pixels, feature = differences(clip, drawn, images)
        else:
            pixels, feature = (drawn.float() - images).square().mean(dim=(1, 2, 3)), lpips(drawn.float(), images)
        away = (v - start).square().mean(dim=(1, 2)) / variance
        loss = (pixels + features * feature + hold * away).sum()
        if not torch.isfinite(loss):
            raise ValueError(f"projection: the loss is {loss.item()} at step {step}: lower its rate, {rate:g}")
        [v.grad] = torch.autograd.grad(loss, [v])
        optimiser.step()
    return v.detach()


def differences(clip: Clip, made: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """How far the images `made` are from `images`: mean squared difference of pixels [B], and of features [B].

    Features have unit norm at each position; the mean is over all positions and depths of the guide's image tower.
    """
    pixels = (made.float() - images).square().mean(dim=(1, 2, 3))
    with torch.no_grad():
        wanted = stages(clip, images)
    pairs_of_scales = zip(stages(clip, made), wanted, strict=True)
    scales = [
        (F.normalize(a.float()) - F.normalize(b.float())).square().sum(dim=1).mean(dim=(1, 2))
        for a, b in pairs_of_scales
    ]
    return pixels, torch.stack(scales).mean(0)


@torch.no_grad()
def w_variance(generator: Generator, count: int = 1000) -> float:
    """The variance of w, as a mean over its entries. Distances in W+ are given in this unit."""
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(0)).to(
        generator.const.device
    )
    return float(generator.mapping(z).var(dim=0).mean())
