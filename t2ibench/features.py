"""Features of image sets: a network's answer to each image, in equal parts."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.progress import track

BATCH = 64  # the activations of more leave the processor's cache


@torch.no_grad()
def extract(
    network: Callable[[Tensor], Tensor], read: Callable[[Any], np.ndarray], rows: Sequence[int] | np.ndarray, what: str, batch: int = BATCH
) -> np.ndarray:
    """A network's answer to each image, float32 [N, …], in equal parts of at most `batch`. network: uint8 [B, 3, H, W] to floats [B, …].

    Equal, since a last part of few images would go through other kernels, which round differently.
    """
    answers: np.ndarray | None = None  # one array from the first batch on: parts and their sum would be twice as much
    parts = -(-len(rows) // batch)
    ends = [len(rows) * part // parts for part in range(parts + 1)] if parts else [0]
    for start, end in track(list(pairwise(ends)), what):
        made = network(torch.from_numpy(np.ascontiguousarray(read(rows[start:end])))).float().cpu().numpy()
        if answers is None:
            answers = np.empty((len(rows), *made.shape[1:]), np.float32)
        answers[start:end] = made
    if answers is None:
        raise ValueError(f"{what}: there is no image to look at")
    return answers
