"""What an adaptation changed, in a byte a parameter: 8-bit steps of a scale that each output channel has of its own.

The adapted generator is by definition the parent plus the decoded changes, from its training on: what ships is what
ran. The error is at most 1/254 of the channel's largest change.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

STEPS, SCALE = (
    127,
    ":scale",
)  # a coded tensor is two: its steps, and under its key with this ending what one step is worth


def encode(changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Changes by key; those of two or more dimensions, [out, …], as int8 steps and a scale [out], others as they
    are.
    """
    coded: dict[str, Tensor] = {}
    for key, change in changes.items():
        if change.dim() < 2:
            coded[key] = change
            continue
        rows = change.flatten(1)
        scale = (
            (rows.abs().amax(1) / STEPS).half().float()
        )  # as it is stored; coding the same changes again gives the same
        steps = torch.where(scale[:, None] > 0, rows / scale[:, None], 0.0).round().clamp(-STEPS, STEPS)
        coded |= {key: steps.to(torch.int8).view_as(change), key + SCALE: scale}
    return coded


def decode(coded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The changes again, float32."""
    changes = {}
    for key, value in coded.items():
        if key + SCALE in coded:
            changes[key] = value.float() * coded[key + SCALE].float().view(-1, *[1] * (value.dim() - 1))
        elif not key.endswith(SCALE):
            changes[key] = value
    return changes
