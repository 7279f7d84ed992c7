"""The changes of an adaptation, stored in one byte a parameter: 8-bit steps, with a scale for each output channel.

The adapted generator is always the parent plus the decoded changes, even right after its training, so what is shipped
is what was scored. The error is at most 1/254 of the channel's largest change.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

# a coded tensor is stored as two: its steps, and the size of one step under its key with the ending SCALE
STEPS, SCALE = 127, ":scale"


def encode(changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Coded changes by key.

    Changes of two or more dimensions, [out, …], become int8 steps and a scale [out]; others stay as they are.
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
    """The changes that `encode` was given, up to rounding, float32.

    Raises ValueError for steps without a scale, and for a scale without or with too few steps.
    """
    changes = {}
    for key, value in coded.items():
        if key.endswith(SCALE):
            if key.removesuffix(SCALE) not in coded:
                raise ValueError(f"{key} is the scale of nothing")
        elif key + SCALE in coded:
            scale = coded[key + SCALE]
            if value.dim() < 2 or scale.shape != value.shape[:1]:
                raise ValueError(f"{key} has {list(value.shape)} steps and {list(scale.shape)} scales")
            changes[key] = value.float() * scale.float().view(-1, *[1] * (value.dim() - 1))
        elif value.dtype == torch.int8:
            raise ValueError(f"{key} holds steps without a scale")
        else:
            changes[key] = value
    return changes
