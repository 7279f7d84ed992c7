"""A generator that was adapted from another one, kept as what changed: only the tensors that moved, and by how much.

The adapted generator is by definition the parent plus the stored difference, so that what ships in half precision is
what runs.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2.network import Generator


def difference(parent: Generator, child: Generator) -> dict[str, Tensor]:
    """child - parent, by key, of the parameters and buffers that are not equal in both."""
    before, after = parent.state_dict(), child.state_dict()
    return {key: after[key] - value for key, value in before.items() if not torch.equal(after[key], value)}


@torch.no_grad()
def adapted(
    parent: Generator, changes: Mapping[str, Tensor], strength: float = 1.0, where: str = "difference"
) -> Generator:
    """A frozen copy of the parent, moved the share `strength` of the way to parent + changes.

    0 gives the parent's tensors and 1 those of parent + changes, bit for bit; beyond 1 exaggerates, below 0 reverses.
    Raises UserError, which begins with `where`, for changes of another generator.
    """
    made = copy.deepcopy(parent).requires_grad_(False)
    tensors = made.state_dict()
    for key, change in changes.items():
        if key not in tensors or tensors[key].shape != change.shape:
            found = list(tensors[key].shape) if key in tensors else "no such tensor"
            raise UserError(
                f"{where}: changes {key} {list(change.shape)}, the generator has {found}: use the generator it was "
                f"made from"
            )
        tensors[key].lerp_(tensors[key] + change.to(tensors[key]), strength)
    return made
