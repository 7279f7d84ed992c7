"""The table of the paper: the effect of every style channel on CLIP's features of an image (sec. 6, eq. 5).

It is measured by finite differences. Channel c of N codes is set to its mean -+ h deviations, and both images are
embedded. The differences are normalised, averaged and normalised again. This gives a unit direction [D] for each
channel, at 2 N renders a channel. The released script never restores a channel that it has visited, so late layers are
measured on nearly equal images; base="cumulative" repeats that. The paper adds to the channel's own value
(center="own") and does not normalise the difference of an image (unit=False).
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

Embed = Callable[[Tensor], Tensor]  # styles [B, C] -> unit image features [B, D]
TINY = 1e-6  # a shorter difference of features is only rounding, and has no direction


@torch.no_grad()
def channel_directions(
    embed: Embed,
    codes: Tensor,
    mean: Tensor,
    sigma: Tensor,
    channels: Tensor,
    rows: range,
    *,
    step: float = 5.0,
    base: Literal["restore", "cumulative"] = "restore",
    center: Literal["mean", "own"] = "mean",
    unit: bool = True,
    batch: int = 64,
) -> Tensor:
    """Unit directions [len(rows), D] of channels[rows]; a channel without any effect has the direction 0.

    codes: styles [N, C]; they are not changed.
    mean, sigma: mean and standard deviation of each channel, [C].
    channels: int64 [E], in the order in which they are visited.
    step: h, in standard deviations.
    base: restore each channel after its measurement, or leave it at its mean ("cumulative").
    center: step from the channel's mean, or from the code's own value.
    unit: whether the difference of each image is normalised before averaging.
    """
    features = [embed(styles) for styles in _passes(codes, mean, sigma, channels, rows, step, base, center, batch)]
    both_sides = torch.cat(features).double().view(len(rows), len(codes), 2, -1)
    differences = both_sides[:, :, 0] - both_sides[:, :, 1]  # [rows, N, D]
    return directed((directed(differences) if unit else differences).mean(1)).float()


def _passes(
    codes: Tensor,
    mean: Tensor,
    sigma: Tensor,
    channels: Tensor,
    rows: range,
    step: float,
    base: str,
    center: str,
    batch: int,
) -> Iterator[Tensor]:
    """Styles [<= batch, C], ordered by channel, then code, then (+, -)."""
    waiting: list[Tensor] = []
    for row in rows:
        channel = int(channels[row])
        moved = codes.clone()
        if base == "cumulative":
            moved[:, channels[:row]] = mean[channels[:row]]
        middle = moved[:, channel] if center == "own" else mean[channel]
        both = moved[:, None].repeat(1, 2, 1)
        both[:, 0, channel], both[:, 1, channel] = middle + step * sigma[channel], middle - step * sigma[channel]
        waiting.append(both.flatten(0, 1))
        if sum(map(len, waiting)) >= batch or row == rows[-1]:
            yield from torch.cat(waiting).split(batch)
            waiting = []


def directed(vectors: Tensor) -> Tensor:
    """Vectors [..., D] scaled to unit length; a vector without length becomes 0."""
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length > TINY, vectors / length.clamp(min=TINY), 0.0)
