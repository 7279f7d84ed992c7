"""Features of image sets, computed once: cached under what the images are, which network looked at them, and how they were resized.

A file is a float32 `.npy` followed by the sha256 of its bytes, written whole or not at all; a damaged one is made again.
"""

import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench import cache
from t2ibench.progress import track
from t2ibench.records import digest, write_whole

log = logging.getLogger(__name__)
BATCH = 64  # the activations of more leave the processor's cache
CHUNK = 2**24  # bytes that are hashed, read and written at once


def cached(key: Sequence[Any], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of a key (JSON content that decides it), float32, from the cache or from `make`."""
    path = cache.folder() / "features" / f"{digest(list(key))[:40]}.npy"
    if (found := _read(path)) is not None:
        return found
    array = np.ascontiguousarray(make(), dtype=np.float32)
    write_whole(path, _content(array))
    return array


def _content(array: np.ndarray) -> Iterator[bytes | memoryview]:
    """The bytes of a cache file, in parts, so that features are never in memory twice."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    body: Any = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    sha256 = hashlib.sha256()
    for part in (header.getvalue(), *(body[start : start + CHUNK] for start in range(0, len(body), CHUNK))):
        sha256.update(part)
        yield part
    yield sha256.digest()


def _read(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        sha256, left = hashlib.sha256(), os.fstat(file.fileno()).st_size - 32
        while left > 0 and (part := file.read(min(left, CHUNK))):
            sha256.update(part)
            left -= len(part)
        if left or file.read() != sha256.digest():
            log.warning("%s is damaged; it is made again", path)
            return None
        file.seek(0)
        return np.load(file, allow_pickle=False)


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
