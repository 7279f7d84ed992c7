"""Full float32 for networks whose features are scored: on a GPU, cuDNN rounds to TF32 unless it is told not to."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, convolutions and products of float32 keep all bits, whatever the process allows; also a decorator.

    Everything else of cuDNN stays as it is. `torch.backends.cudnn.flags` alone would switch cuDNN off.
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    allowed = products.allow_tf32
    if allowed:
        products.allow_tf32 = False
    try:
        with cudnn.flags(**kept, allow_tf32=False):
            yield
    finally:
        if allowed:
            products.allow_tf32 = True
