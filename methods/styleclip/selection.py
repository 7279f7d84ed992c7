"""Which style channels move, and how far: from their relevance to a step in style space (sec. 6, eq. 6).

The released code multiplies by the deviation and divides by the largest relevance, so the most relevant channel moves
by one deviation. The paper does neither, so the strengths alpha of the two cannot be compared.
"""

from typing import Literal

import torch
from torch import Tensor

Select = Literal["beta", "automatic", "top"]
Scaling = Literal["reference", "paper"]
SCANNED = [number / 100 for number in range(10, 30)]  # the released rule: 0.10, 0.11 … 0.29


def kept_channels(relevance: Tensor, select: Select, beta: float, channels: int) -> Tensor:
    """The channels that move, bool [E].

    select: those whose |relevance| is at least beta ("beta"), or at least the automatic beta ("automatic"), or the
    `channels` largest ones ("top").

    A larger beta never keeps more channels, and beta = 0 keeps all.
    """
    size = relevance.abs()
    if select == "top":
        kept = torch.zeros_like(size, dtype=torch.bool)
        kept[size.topk(min(channels, len(size))).indices] = True
        return kept & (size > 0)
    return size >= (automatic_beta(relevance, channels) if select == "automatic" else beta)


def automatic_beta(relevance: Tensor, channels: int) -> float:
    """The largest scanned beta that keeps more than `channels` channels; if none does, the smallest."""
    return max((beta for beta in SCANNED if int((relevance.abs() >= beta).sum()) > channels), default=SCANNED[0])


def style_step(relevance: Tensor, kept: Tensor, sigma: Tensor, scaling: Scaling) -> Tensor:
    """delta_s [E], which is 0 everywhere if no channel with any relevance is kept.

    relevance: [E]. kept: bool [E], the channels that move. sigma: [E], their standard deviations.
    """
    used = torch.where(kept, relevance, 0.0)
    if scaling == "paper":
        return used
    peak = used.abs().max()
    return sigma * used / peak if peak > 0 else torch.zeros_like(used)
