"""Runs a network on batches of one fixed size, so that the same kernels run for any number of rows.

The last bits of a matrix product depend on the size of the batch, and on some processors also on the position of a row
in it. With a fixed size, a row that keeps its position in its batch gives the same bits. At another position only the
rounding of a float32 sum may differ: at most one grey level of an image.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BATCH = 16


def in_passes(network: Callable[[Tensor], Tensor], rows: Tensor, batch: int = BATCH) -> Tensor:
    """network(rows), computed `batch` rows at a time. The last batch is filled up with copies of its last row."""
    outputs = []
    for chunk in rows.split(batch):
        fill = chunk[-1:].expand(batch - len(chunk), *chunk.shape[1:])
        outputs.append(network(torch.cat([chunk, fill]))[: len(chunk)])
    return torch.cat(outputs)
