"""From the relevance of style channels to a step in style space: which channels move, and how far (sec. 6, eq. 6).

The released code scales by deviation over largest relevance, so that the most relevant channel moves by one deviation;
the paper does neither, so the strength alpha of the one says nothing about the other.
"""

from typing import Literal

import torch
from torch import Tensor

Select = Literal["beta", "automatic", "top"]
Scaling = Literal["reference", "paper"]
SCANNED = [number / 100 for number in range(10, 30)]  # the released rule: 0.10, 0.11 … 0.29


def kept_channels(relevance: Tensor, select: Select, beta: float, channels: int) -> Tensor:
    """Which channels move, bool [E]: |relevance| of at least beta, or of the automatic beta, or the `channels` largest.

    Never more channels for a larger beta; beta = 0 keeps all.
    """
    size = relevance.abs()
    if select == "top":
        kept = torch.zeros_like(size, dtype=torch.bool)
        kept[size.topk(min(channels, len(size))).indices] = True
        return kept & (size > 0)
    return size >= (automatic_beta(relevance, channels) if select == "automatic" else beta)


def automatic_beta(relevance: Tensor, channels: int) -> float:
    """The largest beta scanned that keeps more than `channels` channels, or the smallest."""
    return max((beta for beta in SCANNED if int((relevance.abs() >= beta).sum()) > channels), default=SCANNED[0])


def style_step(relevance: Tensor, kept: Tensor, sigma: Tensor, scaling: Scaling) -> Tensor:
    """delta_s [E] for relevance [E], kept channels bool [E] and deviations [E]; 0 everywhere where nothing relevant is
    kept.
    """
    used = torch.where(kept, relevance, 0.0)
    if scaling == "paper":
        return used
    peak = used.abs().max()
    return sigma * used / peak if peak > 0 else torch.zeros_like(used)
