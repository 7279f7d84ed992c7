"""Folders and archives of images. The pixels are read only when they are needed."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash, read_image
from t2ibench.data.pixel_hashes import Pixels, pixel_hashes
from t2ibench.data.stores import ArrayImages, ImageStore

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
STATISTICS = (".npz", ".pt", ".pth")
Images = str | Path | np.ndarray | Tensor


@dataclass(frozen=True)
class Files:
    """Images that are read from their files when they are needed: RGB uint8 [B, 3, H, W].

    paths: the files.
    size: pixels a side, to which the images are resized; None leaves them as they are.
    """

    paths: Sequence[Path]
    size: int | None

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        images = [self._read(self.paths[int(index)]) for index in indices]
        for index, image in zip(indices, images, strict=True):
            if image.shape != self._shape:
                (height, width), (other, wide) = self._shape[1:], image.shape[1:]
                path = self.paths[int(index)]
                raise UserError(
                    f"{path} is {wide}x{other}, {self.paths[0]} {width}x{height}: bring them to one size, or give a "
                    f"size"
                )
        return np.stack(images)

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return [one.sha256 + (f"@{self.size}" if self._resizes(one) else "") for one in self._pixels(rows)]

    def resized(self, rows: Sequence[int] | None = None) -> bool:
        """Whether `read` resizes any of the images at `rows`."""
        return any(map(self._resizes, self._pixels(rows)))

    def _resizes(self, image: Pixels) -> bool:
        return bool(self.size) and (image.width, image.height) != (self.size, self.size)

    def _pixels(self, rows: Sequence[int] | None) -> list[Pixels]:
        wanted = list(range(len(self)) if rows is None else rows)
        todo = [row for row in dict.fromkeys(wanted) if row not in self._known]
        self._known.update(zip(todo, pixel_hashes([self.paths[row] for row in todo]), strict=True))
        return [self._known[row] for row in wanted]

    @cached_property
    def _known(self) -> dict[int, Pixels]:
        """What is known of the images so far, by row."""
        return {}

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size) if self.size else self._read(self.paths[0]).shape

    def _read(self, path: Path) -> np.ndarray:
        pixels = read_image(path)
        if self.size and pixels.shape[:2] != (self.size, self.size):
            pixels = np.asarray(Image.fromarray(pixels).resize((self.size, self.size), Image.Resampling.BICUBIC))
        return pixels.transpose(2, 0, 1)


def reading_of(store: ImageStore) -> dict[str, Any]:
    """How the files of a store become pixels, where that changes the pixels; empty where it does not.

    A protocol names it: images that were squashed to another size do not compare with the same images as they are.
    """
    return {"size": store.size, "filter": "bicubic"} if isinstance(store, Files) and store.resized() else {}


def store_of(images: Images, size: int | None) -> tuple[str, list[str], ImageStore]:
    """The name of a set of images, the names of its images, and their pixels.

    images: a folder, an .npz file, or an array or tensor uint8 [N, 3, H, W]. Images on disk stay there until needed.
    size: as for `Files`; only a folder uses it.

    Raises UserError if there are no images, or if they have another type or shape.
    """
    if isinstance(images, str | Path):
        path = Path(images)
        if path.suffix == ".npz" and path.is_file():
            array = mapped(path)
        elif path.is_dir():
            paths = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            if not paths:
                raise UserError(f"{path}: no image found ({', '.join(SUFFIXES)})")
            return path.name, [file.relative_to(path).as_posix() for file in paths], Files(paths, size)
        else:
            raise UserError(
                f"{path} is no folder of images, nor a file of them or of statistics ({', '.join(STATISTICS)})"
            )
        name = path.name
    else:
        array, name = images.cpu().numpy() if isinstance(images, Tensor) else images, "array"
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] != 3 or not len(array):
        raise UserError(
            f"{name}: images are {array.dtype} {list(array.shape)}, expected uint8 [N, 3, H, W]: round them to 0 to 255"
        )
    return name, [f"{row:07}" for row in range(len(array))], ArrayImages(array, [pixel_hash(image) for image in array])


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
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: holds no images arr_0 ({error}): expected uint8 [N, H, W, 3]") from error
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


def has_captions(folder: Path) -> bool:
    """Whether texts come with the images: metadata, split folders, or a text file beside the first image."""
    named = ("metadata.jsonl", "captions.jsonl", "metadata.csv", "train", "val", "test")
    images = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    first = next(images, None)
    return any((folder / name).exists() for name in named) or (first is not None and first.with_suffix(".txt").exists())


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, without spaces around them. Raises UserError if it cannot be read."""
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
