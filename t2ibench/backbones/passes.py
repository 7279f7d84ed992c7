"""Networks are given batches of one size: the last bits of a product depend on the batch, and an image must not."""

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
