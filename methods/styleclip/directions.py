"""The effect of every style channel on CLIP's view of an image, by finite differences: the table of the paper (sec. 6,
eq. 5).

Channel c of N codes is set to its mean -+ h deviations, both images are embedded, and the differences are normalised,
averaged and normalised again: a unit direction [D] for each channel, at 2 N renders a channel. The released script
never restores a channel that it has visited, so late layers are measured on nearly equal images: base="cumulative"
repeats that. The paper adds to the channel's own value (center="own") and normalises no image's difference
(unit=False).
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

Embed = Callable[[Tensor], Tensor]  # styles [B, C] -> unit image features [B, D]
TINY = 1e-6  # a longer difference of features is more than rounding, and has a direction


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

    codes: styles [N, C], left as they are. mean, sigma: [C]. channels: int64 [E], in the order in which they are
    visited.
    """
    features = [embed(styles) for styles in _passes(codes, mean, sigma, channels, rows, step, base, center, batch)]
    pairs = torch.cat(features).double().view(len(rows), len(codes), 2, -1)
    differences = pairs[:, :, 0] - pairs[:, :, 1]  # [rows, N, D]
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
    """Styles [<= batch, C] in the order: channel, code, (+, -)."""
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
    """Vectors [..., D] of unit length; those of no length stay 0."""
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length > TINY, vectors / length.clamp(min=TINY), 0.0)
