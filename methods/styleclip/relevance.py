"""How relevant each style channel is to a text direction, from gradients instead of finite differences.

e(s) is an image's unit CLIP feature, and J = de/ds. A small step of channel c moves e by J u_c. So one vector-Jacobian
product with cotangent delta_t gives the contribution of every channel to delta_t, at the cost of three renders an image
instead of 2 C. The table of finite differences has unit directions; the gradients agree with it after division by the
length of J u_c. All D products together are the whole Jacobian, which serves any text. A few random cotangents are
enough to estimate the lengths: E[(J'v)_c^2] = |J u_c|^2 for v ~ N(0, I) (Hutchinson).
"""

import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, latents
from t2ibench.methods.styleclip.directions import TINY, Embed, directed


def products(embed: Embed, s: Tensor, cotangents: Tensor) -> Tensor:
    """J'v of every image and cotangent, [P, N, C], by one render and P backward passes.

    s: styles [N, C]. cotangents: [P, D].
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
    """The sum over images of the unit effect of each channel, [E, D].

    It is what `channel_directions` averages, in the limit of a step of 0.
    """
    basis = torch.eye(dimension, dtype=s.dtype, device=s.device)
    effects = (products(embed, s, basis) * sigma)[:, :, channels]  # [D, N, E]
    return directed(effects.permute(1, 2, 0)).sum(0)


def probes(count: int, dimension: int, like: Tensor) -> Tensor:
    """Random cotangents [count, D] of N(0, I), always the same.

    If count reaches D they are the whole basis, with which the lengths are exact.
    """
    if count >= dimension:
        return torch.eye(dimension, dtype=like.dtype, device=like.device) * dimension**0.5
    seeds = [derive_seed("styleclip", "probe", number) for number in range(count)]
    return latents(seeds, dimension).to(like)


def effect_lengths(probed: Tensor) -> tuple[Tensor, Tensor]:
    """The length of each channel's effect in each image, [N, E], and that of its mean unit effect, [E].

    probed: products with probes, [P, N, E].
    """
    lengths = probed.square().mean(0).sqrt()
    mean_unit = _over(probed, lengths).mean(1).square().mean(0).sqrt()
    return lengths, mean_unit


def prompt_relevance(pulled: Tensor, lengths: Tensor, mean_unit: Tensor) -> Tensor:
    """The relevance [E] of a text direction: its cosine with each channel's mean unit effect.

    pulled: the products of the direction, [N, E].
    lengths, mean_unit: what `effect_lengths` returned.
    """
    return _over(_over(pulled, lengths).mean(0), mean_unit)


def _over(values: Tensor, lengths: Tensor) -> Tensor:
    """values / lengths, or 0 if a length is 0: a channel without effect has no direction."""
    return torch.where(lengths > TINY, values / lengths.clamp(min=TINY), 0.0)
