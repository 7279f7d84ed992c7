"""What every training shares: which rows make the batch of a step, and the learning rate over time."""

import functools
import math

import numpy as np

from t2ibench.core.seeds import derive_seed, permutation


def batch_rows(seed: int, index: int, count: int, batch: int) -> np.ndarray:
    """Rows of the batch of step `index`, int64 [batch]: successive slices of one permutation of range(count) after
    another.

    Every row is drawn once before any is drawn twice, and a batch depends on (seed, index) alone, so a resumed run
    draws the same.
    """
    epochs = range(index * batch // count, -(-(index + 1) * batch // count))
    rows = np.concatenate([_epoch_order(seed, epoch, count) for epoch in epochs])
    start = index * batch - epochs[0] * count
    return rows[start : start + batch]


@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(derive_seed(seed, "epoch", epoch), count)


def warmup_cosine(progress: float, warmup: float = 0.05) -> float:
    """The share of the peak learning rate at `progress` in [0, 1): linear up to `warmup`, then half a cosine down to
    0.
    """
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
