"""Image sets that are made once and kept in the user's folder (`t2ibench.core.cache.home`).

An image set is one memory-mapped array on disk. It is written whole or not at all, and its hash is checked each time it
is loaded.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.core.records import digest
from t2ibench.core.storage import CACHE, once, publish, unpublished
from t2ibench.data.stores import ArrayImages, chosen

SEAL = "sheet_sha256"  # the key of the hash that a sheet of facts holds of itself


@dataclass(frozen=True)
class ImageSetKey:
    """The key of a cached image set.

    owner: the data set, which names the folder.
    name: what the set is called.
    key: the hash of everything that decides its content.
    """

    owner: str
    name: str
    key: str

    @property
    def path(self) -> Path:
        return home() / self.owner / f"{re.sub(r'[^A-Za-z0-9]+', '-', self.name)[:80]}-{self.key[:16]}.npy"


@dataclass(frozen=True)
class ImagesToMake:
    """Images whose hashes are known before they are made. All are made, by `images`, when the first is read.

    key: the key of the image set.
    make: as for `images`.
    hashes: the known hash of each image.

    Reading raises UserError if the images that are made have other hashes.
    """

    key: ImageSetKey
    make: Callable[[Path], dict[str, Any]]
    hashes: Sequence[str]

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def store(self) -> ArrayImages:
        store, _ = images(self.key, self.make)
        hashes = zip(store.hashes, self.hashes, strict=True)
        other = [row for row, (actual, known) in enumerate(hashes) if actual != known]
        if other:
            raise UserError(
                f"{self.key.path}: {len(other):,} of {len(self):,} images were made otherwise than they are known, "
                f"the first in row "
                f"{other[0]}: a library that draws differs from the one of its version elsewhere"
            )
        return store

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.store.read(indices)

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen(self.hashes, rows)


def images(key: ImageSetKey, make: Callable[[Path], dict[str, Any]]) -> tuple[ArrayImages, dict[str, Any]]:
    """An image set, from the cache or from `make`, and the facts about it.

    make: called with a path, writes the array there with `write_images` and returns the facts (JSON).

    A damaged set is made again. Two processes that need the same set at the same time make it only once.
    """
    path = key.path
    sheet = path.with_suffix(".json")

    def look() -> dict[str, Any] | None:
        content = _sheet(sheet) if path.exists() else None
        if content is None or content["key"] != key.key or _file_hash(path) != content["sha256"]:
            return None
        return content

    def made() -> dict[str, Any]:
        content = make(path)
        array = np.load(path, mmap_mode="r")
        content |= {"key": key.key, "sha256": _file_hash(path), "hashes": [pixel_hash(image) for image in array]}
        publish(sheet, json.dumps({**content, SEAL: digest(content)}, ensure_ascii=False).encode(), CACHE)
        return content

    facts = once(path.with_suffix(".lock"), look, made)
    return ArrayImages(np.load(path, mmap_mode="r"), facts["hashes"]), facts


def _sheet(path: Path) -> dict[str, Any] | None:
    """The facts of a set, or None where they are missing or damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return content if content.pop(SEAL) == digest(content) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def facts(key: ImageSetKey, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Facts (JSON) from the cache or from `make`.

    The first line of their file is the hash of the rest. If it does not match, the facts are made again.
    """
    path = key.path.with_suffix(".facts")

    def look() -> str | None:
        try:
            sha256, _, text = path.read_text("utf-8", errors="replace").partition("\n")
        except OSError:
            return None
        return text if hashlib.sha256(text.encode()).hexdigest() == sha256 else None

    def made() -> str:
        text = json.dumps(make(), ensure_ascii=False)
        publish(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode(), CACHE)
        return text

    content: dict[str, Any] = json.loads(once(path.with_suffix(".lock"), look, made))
    return content


def write_images(path: Path, chunks: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write chunks of uint8 images as one .npy of `shape`, whole or not at all.

    Raises UserError if the disk has no room for it, and ValueError if the number of images is not that of `shape`.
    """
    with unpublished(path, CACHE) as part:
        array, row = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape), 0
        _reserve(part)
        for chunk in chunks:
            array[row : row + len(chunk)] = chunk
            row += len(chunk)
        if row != len(array):
            raise ValueError(f"{path}: {row} images were made, {len(array)} expected")
        array.flush()
        del array


def _reserve(part: Path) -> None:
    """Reserve the disk space of a file now.

    To write into a memory-mapped file kills the process if the disk is full. Raises UserError if there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        size = part.stat().st_size
        with part.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                part.unlink()
                raise UserError(
                    f"{part} cannot be written ({error.strerror}): {size / 1e6:,.0f} MB are needed; free some, or set "
                    f"T2IBENCH_CACHE"
                ) from error


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
