"""Compositional Attribute Adjustment: at inference, a sentence's step gets the attributes that it fails to express.

A = {d_k : cos(d_k, s) <= threshold};  s' = s + scale sum over A of d_k / |d_k|. The set A depends on the original s
alone, so the order of the directions does not matter. The length of s' is not changed afterwards. An added direction
may still have a cosine with s' that is not positive. The paper has a threshold of 0 and a scale of 1.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

NULL = 1e-12  # a shorter direction counts as none


def adjust(
    s: Tensor,
    directions: Sequence[Tensor],
    scale: float = 1.0,
    space: Literal["flat", "per_layer"] = "flat",
    *,
    threshold: float = 0.0,
    unit: Literal["one", "step"] = "one",
) -> Tensor:
    """The adjusted step s' [L, w_dim] of one sentence.

    s: the step of the sentence, [L, w_dim].
    directions: those of its attributes, each [L, w_dim].
    scale: the length of what is added for an attribute.
    space: take cosines and lengths over all rows together ("flat"), or row by row ("per_layer").
    threshold: an attribute is missing where its direction's cosine with the step is at most this.
    unit: in which `scale` counts: 1, or the length of the step.

    A step of length 0 gets every direction.
    """
    if not directions:
        return s
    dims = (1, 2) if space == "flat" else (2,)
    d = torch.stack(list(directions))  # [K, L, w_dim]
    length = torch.linalg.vector_norm(d, dim=dims, keepdim=True)
    own = torch.linalg.vector_norm(s[None], dim=dims, keepdim=True)
    missing = ((d * s).sum(dims, keepdim=True) <= threshold * length * own) & (length >= NULL)
    added = torch.where(missing, d / length.clamp_min(NULL), 0.0).sum(0)
    return s + scale * (own[0] if unit == "step" else 1.0) * added
