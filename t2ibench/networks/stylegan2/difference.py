"""Stores an adapted generator as its difference from the parent: only the tensors that changed, and by how much.

The adapted generator is by definition the parent plus the stored difference. So if the difference is stored in half
precision, it is also what runs.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2.network import Generator


def difference(parent: Generator, child: Generator) -> dict[str, Tensor]:
    """child - parent for each parameter and buffer that differs, by key."""
    before, after = parent.state_dict(), child.state_dict()
    return {key: after[key] - value for key, value in before.items() if not torch.equal(after[key], value)}


@torch.no_grad()
def adapted(
    parent: Generator, changes: Mapping[str, Tensor], strength: float = 1.0, where: str = "difference"
) -> Generator:
    """A frozen copy of the parent, moved the share `strength` of the way to parent + changes.

    strength: 0 gives the parent's tensors and 1 those of parent + changes, bit for bit. Above 1 exaggerates the change,
        below 0 reverses it.
    where: the beginning of error texts.
    Raises UserError for changes of another generator, and for changes that are not finite.
    """
    child = copy.deepcopy(parent).requires_grad_(False)
    tensors = child.state_dict()
    for key, change in changes.items():
        if key not in tensors or tensors[key].shape != change.shape:
            shape = list(tensors[key].shape) if key in tensors else "no such tensor"
            raise UserError(
                f"{where}: changes {key} {list(change.shape)}, the generator has {shape}: use the generator it was "
                f"made from"
            )
        if not torch.isfinite(change).all():
            raise UserError(f"{where}: changes {key} by values that are not finite: train or fetch the weights again")
        tensors[key].lerp_(tensors[key] + change.to(tensors[key]), strength)
    return child
