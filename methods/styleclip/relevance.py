"""How relevant each style channel is to a text direction, from gradients instead of finite differences.

e(s) is an image's unit CLIP feature, J = de/ds. A small step of channel c moves e by J u_c, so one vector-Jacobian
product with cotangent delta_t gives what every channel contributes to delta_t: three renders' worth an image instead of
2 C. The table of finite differences has unit directions; dividing by the length of J u_c gives the same from gradients.
All D products are the whole Jacobian, good for any text; a few random cotangents estimate the lengths: E[(J'v)_c^2] =
|J u_c|^2 for v ~ N(0, I) (Hutchinson).
"""

import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, latents
from t2ibench.methods.styleclip.directions import TINY, Embed, directed


def products(embed: Embed, s: Tensor, cotangents: Tensor) -> Tensor:
    """J'v of every image and cotangent: [P, N, C] of styles [N, C] and cotangents [P, D], by one render and P backward
    passes.
    """
    s = s.detach().requires_grad_(True)
    with torch.enable_grad():
        features = embed(s)
    last = len(cotangents) - 1
    return torch.stack(
        [
            torch.autograd.grad(features, s, cotangent.expand_as(features), retain_graph=k < last)[0]
            for k, cotangent in enumerate(cotangents)
        ]
    )


def jacobian_directions(embed: Embed, s: Tensor, sigma: Tensor, channels: Tensor, dimension: int) -> Tensor:
    """The sum over images of the unit effect of each channel, [E, D]: `channel_directions` with a step that goes to 0,
    before the mean.
    """
    basis = torch.eye(dimension, dtype=s.dtype, device=s.device)
    effects = (products(embed, s, basis) * sigma)[:, :, channels]  # [D, N, E]
    return directed(effects.permute(1, 2, 0)).sum(0)


def probes(count: int, dimension: int, like: Tensor) -> Tensor:
    """Random cotangents [count, D] of N(0, I), always the same; where count reaches D the whole basis, for which
    lengths are exact.
    """
    if count >= dimension:
        return torch.eye(dimension, dtype=like.dtype, device=like.device) * dimension**0.5
    seeds = [derive_seed("styleclip", "probe", number) for number in range(count)]
    return latents(seeds, dimension).to(like)


def effect_lengths(probed: Tensor) -> tuple[Tensor, Tensor]:
    """From products with probes, [P, N, E]: the length of each channel's effect in each image [N, E], and of the mean
    unit effect [E].
    """
    lengths = probed.square().mean(0).sqrt()
    mean_unit = _over(probed, lengths).mean(1).square().mean(0).sqrt()
    return lengths, mean_unit


def prompt_relevance(pulled: Tensor, lengths: Tensor, mean_unit: Tensor) -> Tensor:
    """Relevance [E] of a text direction from its products [N, E]: the cosine between it and each channel's mean unit
    effect.
    """
    return _over(_over(pulled, lengths).mean(0), mean_unit)


def _over(values: Tensor, lengths: Tensor) -> Tensor:
    """values / lengths; 0 where there is no length, as a channel without effect has no direction."""
    return torch.where(lengths > TINY, values / lengths.clamp(min=TINY), 0.0)
