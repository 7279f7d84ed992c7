"""Folders, archives and arrays of images that somebody gives. Pixels of files are read only when they are needed."""

import math
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from t2ibench.core.decode import DROPPED, LAID, MAX_PIXELS, NOT_TURNED, PEERS, SHOWN, TURNED, Decoding, rgb
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash, read_image
from t2ibench.core.pickles import DAMAGED, reason
from t2ibench.core.readers import in_order
from t2ibench.data.framing import Box, Crop, Filter, Framing
from t2ibench.data.listing import image_files, no_image
from t2ibench.data.pixel_hashes import Pixels, pixel_hashes
from t2ibench.data.stores import ArrayImages, ImageStore, SeveralSizes, chosen

ANOTHER_SIZE = "another size"
STATISTICS = (".npz", ".pt", ".pth")
Images = str | Path | np.ndarray | Tensor | Sequence[Image.Image] | Sequence[np.ndarray]


@dataclass(frozen=True)
class Files:
    """Images that are read from their files when they are needed: RGB uint8 [B, 3, H, W].

    paths: the files.
    size: pixels a side, to which the images are resized; None leaves them as they are.
    decoding: the rules of reading.
    crop, filter: which part is shown, and the filter of resizing (`t2ibench.data.framing`).
    boxes: the box of each image, for the crop `box`.
    """

    paths: Sequence[Path]
    size: int | None
    decoding: Decoding = SHOWN
    crop: Crop = "squash"
    filter: Filter = "bicubic"
    boxes: Sequence[Box] | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a size that no image can have."""
        if self.size is not None and not 1 <= self.size <= (most := math.isqrt(MAX_PIXELS)):
            raise UserError(f"size is {self.size:,}, expected 1 to {most:,} pixels a side")

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Raises SeveralSizes, which holds the images, if one has another size than the first file."""
        images = list(in_order(self._read, [int(index) for index in indices]))
        for index, image in zip(indices, images, strict=True):
            if image.shape != self._shape:
                (height, width), (other, wide) = self._shape[1:], image.shape[1:]
                raise SeveralSizes(
                    f"{self.paths[int(index)]} is {wide}x{other}, {self.paths[0]} {width}x{height}: bring them to one "
                    f"size, or give a size",
                    images,
                )
        return np.stack(images)

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return [f"{one.sha256}@{name}" if name else one.sha256 for one, name in self._framed(rows)]

    def resized(self, rows: Sequence[int] | None = None) -> bool:
        """Whether `read` cuts or resizes any of the images at `rows`."""
        return any(name for _, name in self._framed(rows))

    def brightest(self) -> list[int]:
        """The brightest channel value of each image; those that `read` does not cut or resize are not read again."""
        return [
            int(self._read(row).max()) if name else one.brightest for row, (one, name) in enumerate(self._framed(None))
        ]

    def rules(self) -> dict[str, int]:
        """How many images met which rules of reading (`turned`, `16 bits` …), and how many have `another size` than the
        first and stay as they are.
        """
        images = self._pixels(None)
        counts = Counter(rule for image in images for rule in image.rules)
        if self.size is None:
            counts[ANOTHER_SIZE] = sum((i.width, i.height) != (images[0].width, images[0].height) for i in images)
        return {rule: count for rule, count in sorted(counts.items()) if count}

    @cached_property
    def framing(self) -> Framing:
        return Framing(self.size, self.crop, self.filter)

    def _framed(self, rows: Sequence[int] | None) -> list[tuple[Pixels, str]]:
        """What is known of each image, and what `read` does to it; "" for one that stays as it is."""
        wanted = range(len(self)) if rows is None else rows
        return [
            (one, self.framing.name(one.width, one.height, self._box(row)))
            for row, one in zip(wanted, self._pixels(rows), strict=True)
        ]

    def _box(self, row: int) -> Box | None:
        return None if self.boxes is None else self.boxes[row]

    def _pixels(self, rows: Sequence[int] | None) -> list[Pixels]:
        wanted = list(range(len(self)) if rows is None else rows)
        todo = [row for row in dict.fromkeys(wanted) if row not in self._known]
        hashes = pixel_hashes([self.paths[row] for row in todo], self.decoding)
        self._known.update(zip(todo, hashes, strict=True))
        return [self._known[row] for row in wanted]

    @cached_property
    def _known(self) -> dict[int, Pixels]:
        """What is known of the images so far, by row."""
        return {}

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size) if self.size else self._read(0).shape

    def _read(self, index: int) -> np.ndarray:
        pixels = read_image(self.paths[index], self.decoding)
        if self.framing.cuts or (self.size and pixels.shape[:2] != (self.size, self.size)):
            try:
                pixels = np.asarray(self.framing.apply(Image.fromarray(pixels), self._box(index)))
            except UserError as error:
                raise UserError(f"{self.paths[index]}: {error}") from error
        return pixels.transpose(2, 0, 1)


@dataclass(frozen=True)
class ListedImages:
    """Images in memory, each uint8 [3, H, W] of its own size."""

    images: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Raises SeveralSizes, which holds the images, if they differ in size."""
        images = [self.images[int(index)] for index in indices]
        for row, image in enumerate(images):
            if image.shape != images[0].shape:
                size, first = (f"{width}x{height}" for _, height, width in (image.shape, images[0].shape))
                raise SeveralSizes(f"image {int(indices[row])} is {size}, image {int(indices[0])} {first}", images)
        return np.stack(images)

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen(self._digests, rows)

    @cached_property
    def _digests(self) -> list[str]:
        return [pixel_hash(image) for image in self.images]


def reading_of(store: ImageStore) -> dict[str, Any]:
    """How the files of a store become pixels, where that changes the pixels; empty where it does not.

    A protocol names it: images that were squashed to another size, turned, or laid on a colour do not compare with the
    same images as they are.
    """
    if not isinstance(store, Files):
        return {}
    met = store.rules()
    read: dict[str, Any] = {}
    if store.resized():
        read |= {"size": store.size, "filter": store.filter}
        if store.crop != "squash":
            read["crop"] = store.crop
    if {TURNED, NOT_TURNED} & set(met):
        read["exif"] = store.decoding.exif
    if any(rule == DROPPED or rule.startswith(LAID) for rule in met):
        read["alpha"] = store.decoding.alpha
    return read


def store_of(images: Images, size: int | None, decoding: Decoding = PEERS) -> tuple[str, list[str], ImageStore]:
    """The name of a set of images, the names of its images, and their pixels.

    images: a folder, an .npz file, an array or tensor uint8 [N, 3, H, W] or [N, H, W, 3], or a list of PIL images or
        of such arrays of one image each. Images on disk stay there until needed.
    size: as for `Files`; only a folder uses it.
    decoding: how files and PIL images are read; a folder is read as the peers of FID read it.

    Raises UserError if there are no images, or if they have another type or shape.
    """
    if isinstance(images, str | Path):
        path = Path(images)
        if path.suffix == ".npz" and path.is_file():
            return path.name, *_of_array(mapped(path), path.name)
        if path.is_dir():
            listing = image_files(path)
            if not listing.images:
                raise no_image(listing)
            return path.name, listing.images, Files(listing.paths, size, decoding)
        what = f"is no folder of images, nor a file of them or of statistics ({', '.join(STATISTICS)})"
        raise UserError(f"{path} {what}" if path.exists() else f"{path} does not exist")
    if isinstance(images, np.ndarray | Tensor):
        return "array", *_of_array(images.cpu().numpy() if isinstance(images, Tensor) else images, "array")
    listed = [_of_one(image, f"image {row}", decoding) for row, image in enumerate(images)]  # type: ignore[arg-type]
    if not listed:
        raise UserError("the list of images is empty")
    return "list", _rows(len(listed)), ListedImages(listed)


def _of_array(array: np.ndarray, name: str) -> tuple[list[str], ImageStore]:
    if array.ndim == 4 and array.shape[1] != 3 and array.shape[3] == 3:
        array = array.transpose(0, 3, 1, 2)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] != 3 or not len(array):
        todo = ": round them to 0 to 255" if array.dtype.kind == "f" else ""
        raise UserError(
            f"{name}: images are {array.dtype} {list(array.shape)}, expected uint8 [N, 3, H, W] or [N, H, W, 3]{todo}"
        )
    return _rows(len(array)), ArrayImages(array, [pixel_hash(image) for image in array])


def _of_one(image: Image.Image | np.ndarray | Tensor, where: str, decoding: Decoding) -> np.ndarray:
    """One image of a list as uint8 [3, H, W]."""
    if isinstance(image, Image.Image):
        try:
            return rgb(image, where, decoding).pixels.transpose(2, 0, 1)
        except (OSError, ValueError) as error:
            raise UserError(f"{where}: cannot be read ({error})") from error
    array = image.cpu().numpy() if isinstance(image, Tensor) else image
    if not isinstance(array, np.ndarray):
        raise UserError(f"{where}: found {type(image).__name__}, expected a PIL image or an array")
    _, store = _of_array(array[None], where)
    return store.read([0])[0]


def _rows(count: int) -> list[str]:
    return [f"{row:07}" for row in range(count)]


def mapped(path: Path) -> np.ndarray:
    """The images `arr_0` of an .npz file as uint8 [N, 3, H, W]; memory-mapped if they are not compressed.

    Raises UserError if the file has no such images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo("arr_0.npy")
        with path.open("rb") as file:
            file.seek(member.header_offset + 26)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
            file.seek(member.header_offset + 30 + name + extra)
            if member.compress_type == zipfile.ZIP_STORED and np.lib.format.read_magic(file) == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
                array: np.ndarray = np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")
            else:
                array = np.load(path, allow_pickle=False)["arr_0"]
    except (*DAMAGED, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error, SyntaxError) as error:
        raise UserError(f"{path}: holds no images arr_0 ({reason(error)}): expected uint8 [N, H, W, 3]") from error
    if array.ndim != 4 or array.shape[-1] != 3:
        raise UserError(f"{path}: arr_0 is {array.dtype} {list(array.shape)}, expected uint8 [N, H, W, 3]")
    return array.transpose(0, 3, 1, 2)


def only_images(path: Path) -> bool:
    """Whether an archive holds images and no statistics."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return "arr_0.npy" in names and "mu.npy" not in names
