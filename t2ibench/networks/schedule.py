"""What all trainings share: the rows in the batch of each step, and the learning rate over time."""

import functools
import math

import numpy as np
import torch

from t2ibench.core.seeds import derive_seed, permutation


def batch_rows(seed: int, index: int, count: int, batch: int) -> np.ndarray:
    """Rows of the batch of step `index`, int64 [batch].

    Batches are successive slices of a sequence of permutations of range(count), so every row is drawn once before any
    row is drawn twice. A batch depends on (seed, index) only, so a resumed run draws the same rows.
    """
    epochs = range(index * batch // count, -(-(index + 1) * batch // count))
    rows = np.concatenate([_epoch_order(seed, epoch, count) for epoch in epochs])
    start = index * batch - epochs[0] * count
    return rows[start : start + batch]


@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(derive_seed(seed, "epoch", epoch), count)


def half(device: torch.device, wanted: bool = True) -> torch.autocast:
    """A context that multiplies in bfloat16, where that is `wanted` and pays.

    On a processor without units for it (AMX) products in bfloat16 take longer than in float32
    (benchmarks/speed/bfloat16.py), so there the context changes nothing.
    """
    slow = device.type == "cpu" and not torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and not slow)


def warmup_cosine(progress: float, warmup: float = 0.05) -> float:
    """The learning rate at `progress` in [0, 1), as a share of its peak.

    It rises linearly until `warmup`, then falls to 0 as half a cosine.
    """
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
