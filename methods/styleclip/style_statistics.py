"""Mean and standard deviation of each style channel, in closed form.

Styles are affine in w, s = A w + a. So if w has mean m and covariance K, styles have mean A m + a and deviation
sqrt(diag(A K A')). One w_dim x w_dim matrix replaces the 100,000 style codes of the released script, and gives the same
numbers for the same sample.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, latents
from t2ibench.networks.stylegan2 import Generator, Layer

CHUNK = 1000


@torch.no_grad()
def sampled_w(generator: Generator, numbers: range) -> Tensor:
    """w [N, w_dim] of numbered latents. A number always gives the same latent, whatever others are in the list."""
    z = numbered_latents(numbers, generator.config.z_dim).to(generator.const.device)
    return torch.cat([generator.mapping(chunk) for chunk in z.split(CHUNK)])


@lru_cache(maxsize=1)  # every method of a suite asks for the same
def numbered_latents(numbers: range, z_dim: int) -> Tensor:
    """z [N, z_dim] of numbered latents."""
    return latents([derive_seed("styleclip", "statistics", number) for number in numbers], z_dim)


@torch.no_grad()
def style_statistics(
    generator: Generator, w: Tensor, psi: float = 1.0, cutoff: int | None = None
) -> tuple[Tensor, Tensor]:
    """Mean [C] and standard deviation [C] (divided by N) of the styles of w [N, w_dim].

    w is truncated by psi in the rows below `cutoff`, or in all rows if `cutoff` is None.
    """
    identity = torch.eye(generator.config.w_dim, dtype=w.dtype, device=w.device)
    offset = generator.style(
        torch.zeros_like(identity[:1])[:, None].expand(-1, generator.config.rows, -1)
    ).double()  # [1, C]
    slope = generator.style(identity[:, None].expand(-1, generator.config.rows, -1)).double() - offset  # [w_dim, C]
    centre, mean = generator.mapping.w_avg.double(), w.double().mean(0)
    deviations = w.double() - mean
    variance = ((deviations.T @ deviations / len(w)) @ slope * slope).sum(0)
    share = torch.ones_like(variance)
    for layer in generator.layers:
        if cutoff is None or layer.row < cutoff:
            share[layer.start : layer.stop] = psi
    mu = offset[0] + centre @ slope + share * ((mean - centre) @ slope)
    return mu.to(w.dtype), (share * variance.clamp(min=0).sqrt()).to(w.dtype)


def editable_channels(layers: Sequence[Layer], max_resolution: int) -> Tensor:
    """The channels that are edited, int64 [E]: those of every layer up to a resolution, without toRGB."""
    ranges = [
        torch.arange(layer.start, layer.stop)
        for layer in layers
        if not layer.is_rgb and layer.resolution <= max_resolution
    ]
    return torch.cat(ranges) if ranges else torch.zeros(0, dtype=torch.int64)
