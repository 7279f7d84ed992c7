"""Image sets that are made once and kept in the user's folder (`t2ibench.core.cache.home`).

An image set is one memory-mapped array on disk. It is written whole or not at all, and its hash is checked each time it
is loaded.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.core.records import digest
from t2ibench.core.storage import CACHE, once, publish, unpublished
from t2ibench.data.stores import ArrayImages, chosen

PART = 250  # rows of `ImagesToMake` that are made together
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


@dataclass(frozen=True, eq=False)
class ImagesToMake:
    """Images whose hashes are known before they are made. A part of PART rows is made when one of it is read first.

    key: the key of the image set.
    draw: from rows to their images, in chunks of uint8 [N, 3, H, W].
    shape: of one image.
    hashes: the known hash of each image.

    Parts that are read at once are made at once. Reading raises UserError if images that are made have other hashes.
    """

    key: ImageSetKey
    draw: Callable[[Sequence[int]], Iterable[np.ndarray]]
    shape: tuple[int, int, int]
    hashes: Sequence[str]
    _held: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.hashes)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        rows = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]
        self._hold(np.unique(rows // PART).tolist())
        images = np.empty((len(rows), *self.shape), np.uint8)
        for place, row in enumerate(rows.tolist()):
            images[place] = self._held[row // PART][row % PART]
        return images

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen(self.hashes, rows)

    def _hold(self, numbers: Sequence[int]) -> None:
        missing = [number for number in numbers if number not in self._held]
        if missing:
            lock = self.key.path.with_suffix(".lock")
            self._held.update(once(lock, lambda: self._look(missing), lambda: self._make(missing)))

    def _look(self, numbers: Sequence[int]) -> dict[int, np.ndarray] | None:
        found = {number: self._kept(number) for number in numbers}
        held = {number: part for number, part in found.items() if part is not None}
        return held if len(held) == len(numbers) else None

    def _rows(self, number: int) -> range:
        return range(number * PART, min((number + 1) * PART, len(self)))

    def _path(self, number: int) -> Path:
        return self.key.path.with_name(f"{self.key.path.stem}-{number:04}.npy")

    def _kept(self, number: int) -> np.ndarray | None:
        """A part that was made before, by itself or with the whole set; None where it is not there, or damaged."""
        rows = self._rows(number)
        for path, start in ((self._path(number), 0), (self.key.path, rows.start)):
            if path.exists():
                try:
                    part = np.asarray(np.load(path, mmap_mode="r")[start : start + len(rows)])
                except (ValueError, EOFError):
                    continue
                if part.shape == (len(rows), *self.shape) and not self._others(part, rows):
                    return part
        return None

    def _others(self, part: np.ndarray, rows: range) -> list[int]:
        """The rows that have another hash than the known one."""
        return [row for row, image in zip(rows, part, strict=True) if pixel_hash(image) != self.hashes[row]]

    def _make(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        todo = [number for number in numbers if self._kept(number) is None]
        drawn = self.draw([row for number in todo for row in self._rows(number)])
        images = (image for chunk in drawn for image in chunk)
        for number in todo:
            rows, path = self._rows(number), self._path(number)
            write_images(path, (image[None] for image in islice(images, len(rows))), (len(rows), *self.shape))
            if other := self._others(np.load(path, mmap_mode="r"), rows):
                raise UserError(
                    f"{path}: {len(other):,} of {len(rows):,} images were made otherwise than they are known, the "
                    f"first is number {other[0]:,}: a library that draws differs from the one of its version elsewhere"
                )
        held = self._look(numbers)
        assert held is not None
        return held


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
