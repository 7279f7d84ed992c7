"""Images that lie in archives or tables: bytes that are read and decoded when they are needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from t2ibench.core.decode import READING, SHOWN, Decoding, decoded_bytes
from t2ibench.core.images import pixel_hash
from t2ibench.core.progress import track
from t2ibench.core.readers import in_order
from t2ibench.data import indexes
from t2ibench.data.framing import Framing
from t2ibench.data.stores import SeveralSizes


@dataclass(frozen=True)
class PackedImages:
    """Images by row: RGB uint8 [B, 3, H, W].

    names: of the images, with the archive that they lie in: the beginning of error lines.
    content: row -> the bytes of the image file.
    key: names the bytes of all rows, such as the names, sizes and times of the archives; what is known of the pixels
        is kept under it. None: it is not kept.
    framing: how they become images of one size.
    """

    names: Sequence[str]
    content: Callable[[int], bytes]
    key: str | None = None
    framing: Framing = field(default_factory=Framing)
    decoding: Decoding = SHOWN

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Raises SeveralSizes, which holds the images, if they differ in size."""
        images = list(in_order(self._framed, [(int(row), self.content(int(row))) for row in indices]))
        for row, image in zip(indices, images, strict=True):
            if image.shape != images[0].shape:
                (height, width), (other, wide) = images[0].shape[1:], image.shape[1:]
                raise SeveralSizes(
                    f"{self.names[int(row)]} is {wide}x{other}, {self.names[int(indices[0])]} {width}x{height}: give a "
                    f"size",
                    images,
                )
        return np.stack(images)

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        known = self._known(range(len(self)) if rows is None else rows)
        named = [(sha256, self.framing.name(width, height)) for sha256, width, height in known]
        return [f"{sha256}@{name}" if name else sha256 for sha256, name in named]

    def _pixels(self, row: int) -> np.ndarray:
        return decoded_bytes(self.content(row), self.names[row], self.decoding).pixels

    def _framed(self, packed: tuple[int, bytes]) -> np.ndarray:
        """An image of a row and its bytes, which one thread has read: tables and archives are opened once."""
        row, content = packed
        pixels = decoded_bytes(content, self.names[row], self.decoding).pixels
        return np.asarray(self.framing.apply(Image.fromarray(pixels))).transpose(2, 0, 1)

    def _known(self, rows: Sequence[int] | range) -> list[tuple[str, int, int]]:
        """The hash of the pixels, the width and the height of each image, before any resizing."""
        todo = [row for row in dict.fromkeys(map(int, rows)) if row not in self._hashes]
        for row in track(todo, f"hash {len(todo):,} images", len(todo)) if todo else ():
            pixels = self._pixels(row)
            self._hashes[row] = (pixel_hash(pixels.transpose(2, 0, 1)), pixels.shape[1], pixels.shape[0])
        if todo and self.key is not None:
            indexes.keep("pixels", self._way, {str(row): own for row, own in self._hashes.items()})
        return [self._hashes[int(row)] for row in rows]

    @property
    def _way(self) -> str:
        return f"{READING} {self.decoding.exif} {self.decoding.alpha} {self.key}"

    @cached_property
    def _hashes(self) -> dict[int, tuple[str, int, int]]:
        kept = None if self.key is None else indexes.read("pixels", self._way)
        return {int(row): tuple(own) for row, own in (kept or {}).items()}
