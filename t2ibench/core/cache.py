"""The cache: the folder where it lies, an empty one in its place, and arrays that are computed once.

Whoever keeps something takes the folder from `Models.cache` or `Dataset.cache`, which a run sets from its options.

An array is found by its key, which holds everything that decides its content. Its file is a float32 `.npy` followed by
the sha256 of its bytes. The file is written whole or not at all, and a damaged one is made again.
"""

import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from t2ibench.core.errors import UserError
from t2ibench.core.mirrors import fetched
from t2ibench.core.records import digest
from t2ibench.core.storage import CACHE, WORK, publish

log = logging.getLogger(__name__)
CHUNK = 2**24  # bytes that are hashed, read and written at once


def home() -> Path:
    """The user's folder, where everything that is made once is kept.

    It is that of the environment variable T2IBENCH_CACHE, or the usual one of the system.

    Weights that a user puts there are not part of the cache.
    """
    return Path(os.environ.get("T2IBENCH_CACHE") or platformdirs.user_cache_dir("t2ibench"))


@contextmanager
def empty() -> Iterator[Path]:
    """An empty folder in place of the cache: nothing that was kept before is in it, and it is deleted at the end.

    Use it to test whether code still computes the same. The key of a kept array names its images, weights and settings,
    but not the code and the packages that made it. The images of data sets stay where they are: they are inputs, and
    their hashes are checked.
    """
    with tempfile.TemporaryDirectory(prefix="t2ibench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def cached(folder: Path, key: Sequence[Any], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of a key, float32, from the cache in a folder or from `make`.

    key: JSON content that decides the array.
    """
    path = _path_of(folder, key)
    if (kept := read(path)) is not None:
        return kept
    array = np.ascontiguousarray(make(), dtype=np.float32)
    try:
        publish(path, content_of(array), CACHE)
    except UserError as error:  # the work is done; it is only not kept
        log.warning("%s", error)
    return array


def is_kept(folder: Path, key: Sequence[Any]) -> bool:
    """Whether the cache in a folder has the array of a key."""
    return _path_of(folder, key).exists()


def _path_of(folder: Path, key: Sequence[Any]) -> Path:
    return folder / "features" / f"{digest(list(key))[:40]}.npy"


@dataclass(frozen=True)
class Pieces:
    """Rows of an array, as several processes make them; each piece is a file in a folder that all of them see.

    key: as of `cached`, for the whole array.
    """

    folder: Path
    key: Sequence[Any]

    def read(self, span: tuple[int, int]) -> np.ndarray | None:
        """The rows from the first of `span` to its end, if they are there and undamaged."""
        return read(fetched(self._path(span)))

    def write(self, span: tuple[int, int], rows: np.ndarray) -> None:
        publish(self._path(span), content_of(np.ascontiguousarray(rows, dtype=np.float32)), WORK, wait=False)

    def _path(self, span: tuple[int, int]) -> Path:
        return self.folder / f"{digest(list(self.key))[:32]}-{span[0]}-{span[1]}.npy"


def content_of(array: np.ndarray) -> Iterator[bytes | memoryview]:
    """The bytes of a cache file, in parts, so that features are never in memory twice."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    body: Any = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    sha256 = hashlib.sha256()
    for chunk in (header.getvalue(), *(body[start : start + CHUNK] for start in range(0, len(body), CHUNK))):
        sha256.update(chunk)
        yield chunk
    yield sha256.digest()


def read(path: Path) -> np.ndarray | None:
    """The array of a cache file, or None if the file is missing or damaged."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        sha256, left = hashlib.sha256(), os.fstat(file.fileno()).st_size - 32
        while left > 0 and (chunk := file.read(min(left, CHUNK))):
            sha256.update(chunk)
            left -= len(chunk)
        if left or file.read() != sha256.digest():
            log.warning("%s is damaged; it is made again", path)
            return None
        file.seek(0)
        return np.load(file, allow_pickle=False)


# How files of the cache end that are made again when they are missing. Weights are not: they may be the user's, or have
# taken hours.
MADE = (".npy", ".npz", ".facts", ".lock", ".part")


@dataclass(frozen=True)
class Part:
    """One folder of the cache.

    name: of the folder.
    files, bytes: how many there are, and what they take.
    """

    name: str
    files: int
    bytes: int


def contents(folder: Path) -> list[Part]:
    """The folders of a cache, in order of their names. Folders of the user are among them."""
    found = []
    for part in sorted(path for path in folder.glob("*") if path.is_dir()):
        sizes = [path.stat().st_size for path in part.rglob("*") if path.is_file()]
        found.append(Part(part.name, len(sizes), sum(sizes)))
    return found


def damaged(folder: Path) -> list[Path]:
    """The kept arrays that do not match their hash."""
    arrays = sorted((folder / "features").rglob("*.npy"))
    return [path for path in arrays if read(path) is None]


def prune(folder: Path, before: float) -> int:
    """Remove the files that are made again (`MADE`) and that nobody has read or written since a time.

    before: in seconds, as of `time.time()`. Returns the bytes that are free now.
    """
    freed = 0
    for path in (path for path in folder.glob("*/**/*") if path.suffix in MADE and path.is_file()):
        state = path.stat()
        if max(state.st_atime, state.st_mtime) < before:
            path.unlink(missing_ok=True)
            freed += state.st_size
    return freed
