"""Networks are given batches of one size, whatever number of rows is asked for, so that the same kernels run.

The last bits of a product depend on the size of a batch, and on some processors also on the place of a row in it. So a
row that keeps its place, counted from the start of its pass, keeps every bit; elsewhere the rounding of one float32 sum
is left, at most one grey level of an image.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BATCH = 16


def in_passes(network: Callable[[Tensor], Tensor], rows: Tensor, batch: int = BATCH) -> Tensor:
    """network(rows), `batch` rows at a time; the last pass is filled up with its last row."""
    made = []
    for part in rows.split(batch):
        fill = part[-1:].expand(batch - len(part), *part.shape[1:])
        made.append(network(torch.cat([part, fill]))[: len(part)])
    return torch.cat(made)
