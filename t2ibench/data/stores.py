"""Stores of images, and of masks of their parts. Pixels are read only when they are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from t2ibench.core.errors import UserError


class SeveralSizes(UserError):
    """The images that were asked for have several sizes, so no array holds them.

    images: each uint8 [3, H, W], in the order in which they were asked for. Who can look at one image at a time takes
        them from here; for everybody else this is an error.
    """

    def __init__(self, message: str, images: Sequence[np.ndarray]) -> None:
        super().__init__(message)
        self.images = images


class ImageStore(Protocol):
    """Images whose pixels are read when they are needed, from a memory-mapped array or from files."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at `indices`: uint8 [B, 3, H, W].

        Raises UserError naming the file that cannot be read, and SeveralSizes for images that differ in size.
        """
        ...

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        """A hash of the decoded pixels of each image at `rows` (None: of all): `pixel_hash`.

        It is `<hash>@<size>` where `read` resizes the image.
        """
        ...


def chosen(hashes: Sequence[str], rows: Sequence[int] | None) -> Sequence[str]:
    """The hashes at `rows`; all of them for None."""
    return hashes if rows is None else [hashes[row] for row in rows]


@dataclass(frozen=True)
class Subset:
    """Some rows of another store, in the order of `rows`."""

    store: ImageStore
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.store.read([self.rows[index] for index in indices])

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return self.store.digests(self.rows if rows is None else [self.rows[row] for row in rows])


@dataclass(frozen=True)
class Joined:
    """Several stores of images of one size, concatenated."""

    stores: Sequence[ImageStore]

    def __len__(self) -> int:
        return sum(map(len, self.stores))

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        ends = np.cumsum([len(store) for store in self.stores])
        rows = np.asarray(indices)
        if len(rows) and not 0 <= rows.min() <= rows.max() < ends[-1]:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {ends[-1]} images")
        which = np.searchsorted(ends, rows, side="right")
        rows_by_store = [
            (np.flatnonzero(which == k), rows[which == k] - (ends[k] - len(store)))
            for k, store in enumerate(self.stores)
        ]
        pixels_by_store = [
            (places, store.read(inside))
            for (places, inside), store in zip(rows_by_store, self.stores, strict=True)
            if len(places)
        ]
        images = np.empty((len(rows), *pixels_by_store[0][1].shape[1:]), np.uint8)
        for places, pixels in pixels_by_store:
            images[places] = pixels
        return images

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen([sha256 for store in self.stores for sha256 in store.digests()], rows)


def each(store: ImageStore, indices: Sequence[int] | np.ndarray) -> Sequence[np.ndarray]:
    """The images at `indices`, whatever their sizes: each uint8 [3, H, W]."""
    try:
        return list(store.read(indices))
    except SeveralSizes as error:
        return error.images


class PartMasks(Protocol):
    """Which part of its image each pixel shows.

    parts: the names of the parts.
    of: for an attribute, the parts in which it shows.
    """

    @property
    def parts(self) -> Sequence[str]: ...

    @property
    def of(self) -> Mapping[str, Sequence[str]]: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The part of each pixel as a position in `parts`, uint8 [B, H, W]."""
        ...


@dataclass(frozen=True)
class SubsetMasks:
    """Some rows of other masks, in the order of `rows`."""

    masks: PartMasks
    rows: Sequence[int]

    @property
    def parts(self) -> Sequence[str]:
        return self.masks.parts

    @property
    def of(self) -> Mapping[str, Sequence[str]]:
        return self.masks.of

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.masks.read([self.rows[index] for index in indices])


@dataclass(frozen=True)
class ArrayImages:
    """Images of an array, which may be memory-mapped.

    array: uint8 [N, 3, H, W].
    hashes: the content hash of each image.
    """

    array: np.ndarray
    hashes: Sequence[str]

    def __len__(self) -> int:
        return len(self.array)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.asarray(self.array[np.asarray(indices)])

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen(self.hashes, rows)
