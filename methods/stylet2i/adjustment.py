"""Compositional Attribute Adjustment: at inference, a sentence's direction gets the attributes that it fails to
express.

A = {d_k : cos(d_k, s) <= 0};  s' = s + scale sum over A of d_k / |d_k|. Membership is decided by s as it came, so order
is of no account, and nothing is brought back to a length afterwards. An added direction need not end up with a positive
cosine.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

NULL = 1e-12  # a direction this short is none


def adjust(
    s: Tensor, directions: Sequence[Tensor], scale: float = 1.0, space: Literal["flat", "per_layer"] = "flat"
) -> Tensor:
    """s' [L, w_dim] of one sentence's step s [L, w_dim] and its attributes' directions, each [L, w_dim].

    space: cosines and lengths over all rows together ("flat"), or row by row ("per_layer"). A step of length 0 gets
    every direction.
    """
    if not directions:
        return s
    dims = (1, 2) if space == "flat" else (2,)
    d = torch.stack(list(directions))  # [K, L, w_dim]
    length = torch.linalg.vector_norm(d, dim=dims, keepdim=True)
    missing = ((d * s).sum(dims, keepdim=True) <= 0) & (length >= NULL)
    return s + scale * torch.where(missing, d / length.clamp_min(NULL), 0.0).sum(0)
