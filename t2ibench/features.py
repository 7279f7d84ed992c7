"""Features of image sets, computed once: cached under what the images are, which network looked at them, and how they were resized.

A file is a float32 `.npy` followed by the sha256 of its bytes, written whole or not at all; a damaged one is made again.
"""

import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench import cache
from t2ibench.progress import track
from t2ibench.records import digest, write_whole

log = logging.getLogger(__name__)
BATCH = 250
_fresh: ContextVar[bool] = ContextVar("fresh", default=False)


@contextmanager
def uncached() -> Iterator[None]:
    """Inside, no feature is read from the cache or written to it: for whoever asks whether a network still says the same.

    A cached feature is known by its images, its weights and its resize, not by the packages that computed it.
    """
    token = _fresh.set(True)
    try:
        yield
    finally:
        _fresh.reset(token)


def cached(key: Sequence[Any], make: Callable[[], np.ndarray], folder: Path | None = None) -> np.ndarray:
    """The array of a key (JSON content that decides it), float32, from the cache or from `make`."""
    if _fresh.get():
        return np.ascontiguousarray(make(), dtype=np.float32)
    path = (folder or cache.folder() / "features") / f"{digest(list(key))[:40]}.npy"
    if (found := _read(path)) is not None:
        return found
    array = np.ascontiguousarray(make(), dtype=np.float32)
    buffer = io.BytesIO()
    np.save(buffer, array)
    content = buffer.getvalue()
    write_whole(path, content + hashlib.sha256(content).digest())
    return array


def _read(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[:-32]).digest() != content[-32:]:
        log.warning("%s is damaged; it is made again", path)
        return None
    return np.load(io.BytesIO(content[:-32]), allow_pickle=False)


@torch.no_grad()
def extract(
    network: Callable[[Tensor], Tensor], read: Callable[[Any], np.ndarray], rows: Sequence[int] | np.ndarray, what: str, batch: int = BATCH
) -> np.ndarray:
    """A network's answer to each image, float32 [N, …], batch by batch. network: uint8 [B, 3, H, W] to floats [B, …]."""
    blocks = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    answers = [network(torch.from_numpy(np.ascontiguousarray(read(block)))).float().cpu().numpy() for block in track(blocks, what)]
    return np.concatenate(answers)
