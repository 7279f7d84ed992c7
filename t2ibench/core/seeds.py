"""Random streams, one for each sample: never global, never shared, the same on every machine.

The seed of a stream depends only on what the stream is for, `derive_seed(run_seed, prompt_id, k)`. So the batch size,
the order and the split into shards change no number. Values come from the raw bits of Philox, whose stream numpy
guarantees across versions. Uniform values are equal bit for bit on every machine. Normal values go through Box-Muller
in float64, and may differ in the last bits of the logarithm and the cosine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part and on their order: H(run seed, prompt id, k)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def uniform(seed: int, count: int) -> np.ndarray:
    """`count` float64 values in [0, 1) of the stream `seed`. A longer draw begins with the shorter one."""
    return (np.random.Philox(key=seed).random_raw(count) >> np.uint64(11)) * 2.0**-53


def normal(seed: int, count: int) -> np.ndarray:
    """`count` float64 values of N(0, 1) from the stream `seed`. A longer draw begins with the shorter one."""
    u = uniform(seed, count + count % 2).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:count]


def latents(seeds: Sequence[int], *shape: int) -> Tensor:
    """Standard normal latents, float32 [len(seeds), *shape]: row i depends on `seeds[i]` alone."""
    import torch

    count = int(np.prod(shape))
    return torch.from_numpy(np.stack([normal(seed, count).reshape(shape) for seed in seeds])).float()


def permutation(seed: int, count: int) -> np.ndarray:
    """A permutation of range(count) from the stream `seed`."""
    return np.argsort(uniform(seed, count), kind="stable")
