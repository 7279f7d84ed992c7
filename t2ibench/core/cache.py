"""Where caches lie, the switch that leaves them out, and arrays that are computed once: files that are known by a key
of all that decides their content.

A file is a float32 `.npy` followed by the sha256 of its bytes, written whole or not at all; a damaged one is made
again.
"""

import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from t2ibench.core.files import write_whole
from t2ibench.core.records import digest

_instead: ContextVar[Path | None] = ContextVar("instead", default=None)  # of the user's folder, inside `uncached`
log = logging.getLogger(__name__)
CHUNK = 2**24  # bytes that are hashed, read and written at once


def home() -> Path:
    """The user's folder: the environment variable T2IBENCH_CACHE, or the usual one.

    Weights that a user puts there are no cache.
    """
    return Path(os.environ.get("T2IBENCH_CACHE") or platformdirs.user_cache_dir("t2ibench"))


def folder() -> Path:
    """Where everything that is made once and kept lies: `home()`, or inside `uncached` a folder that was empty at its
    beginning.
    """
    return _instead.get() or home()


@contextmanager
def uncached() -> Iterator[None]:
    """Inside, nothing that was kept before is found, and what is kept now is gone afterwards.

    It is for whoever asks whether code still does the same: what is kept is known by its images, weights and settings,
    not by the code and the packages that made it. The images of data sets stay where they are, since they are inputs,
    checked by their hash.
    """
    with tempfile.TemporaryDirectory(prefix="t2ibench-", ignore_cleanup_errors=True) as empty:
        token = _instead.set(Path(empty))
        try:
            yield
        finally:
            _instead.reset(token)


def cached(key: Sequence[Any], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of a key (JSON content that decides it), float32, from the cache or from `make`."""
    path = folder() / "features" / f"{digest(list(key))[:40]}.npy"
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
