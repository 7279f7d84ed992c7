"""Which files of a folder are images, and in which order. Every part of the suite that reads a folder asks here.

No file is opened: the suffix decides. Hidden files and folders (`._0.png`, `.ipynb_checkpoints`), and folders that
other programs keep (`__MACOSX`, `@eaDir`), are passed over. Linked folders are read as if they lay there.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from t2ibench.core.errors import UserError
from t2ibench.core.files import NO_FILE
from t2ibench.core.order import natural

# All kinds that pytorch-fid and clean-fid read, and others of Pillow's. The list is ours, so that a folder holds the
# same images whatever plug-ins Pillow has.
COMMON = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
RARE = (".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2")
SUFFIXES = frozenset((*COMMON, *RARE))
KEPT_BY_OTHERS = ("__MACOSX", "@eaDir")
HIDDEN, BARE = "hidden", "without suffix"
# kinds that nobody takes for images
NO_IMAGES = frozenset(
    (HIDDEN, BARE, ".txt", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".md", ".yaml", ".yml", ".log", ".html")
)


@dataclass(frozen=True)
class Below(Sequence[Path]):
    """Files of a folder. A path is made when it is asked for: a hundred thousand of them would hold 35 MB.

    root: the folder.
    names: of the files, relative to it.
    """

    root: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> "Below": ...
    def __getitem__(self, index: int | slice) -> "Path | Below":
        return Below(self.root, self.names[index]) if isinstance(index, slice) else self.root / self.names[index]


@dataclass(frozen=True)
class Listing:
    """The files of a folder and of the folders in it.

    root: the folder.
    images: the image files, relative to `root` with forward slashes, in natural order (`2.png` before `10.png`).
    others: all other files, likewise.
    hidden: how many hidden files were passed over, and folders that were not entered.
    """

    root: Path
    images: list[str]
    others: list[str]
    hidden: int

    @property
    def paths(self) -> Sequence[Path]:
        """The paths of `images`."""
        return Below(self.root, self.images)

    def passed_over(self, read: Collection[str] = ()) -> dict[str, int]:
        """How many files of which kinds are no images, by suffix; `hidden` for hidden ones.

        read: files among `others` that were read as texts, which are not counted.
        """
        kinds = Counter(kind(name) for name in self.others if name not in read)
        return {**dict(sorted(kinds.items())), **({HIDDEN: self.hidden} if self.hidden else {})}


def image_files(folder: Path) -> Listing:
    """List a folder. Raises UserError if it is none, cannot be read, holds a dead link, or a name that is no UTF-8."""
    if not folder.is_dir():
        raise UserError(f"{folder} {'is a file, expected a folder' if folder.exists() else 'does not exist'}")
    images, others, hidden = [], [], 0
    for name in _names(folder, "", ()):
        if name.endswith("/"):
            hidden += 1
        elif os.path.splitext(name)[1].lower() in SUFFIXES:
            images.append(name)
        else:
            others.append(name)
    return Listing(folder, sorted(images, key=natural), sorted(others, key=natural), hidden)


def no_image(listing: Listing) -> UserError:
    """The error for a folder without images, which names what lies there instead."""
    there = counted(listing.passed_over())
    return UserError(
        f"{listing.root}: no image found{f', only {there}' if there else ', it is empty'}: expected .png, .jpg …"
    )


def kind(name: str) -> str:
    """The suffix of a name in small letters, or `without suffix`."""
    return os.path.splitext(name)[1].lower() or BARE


def counted(kinds: Mapping[str, int]) -> str:
    """The kinds as text: "3 .heic, 1 hidden"."""
    return ", ".join(f"{count:,} {name}" for name, count in kinds.items())


def _names(folder: Path, inside: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """The names of files below a folder, relative to the first; a hidden one, or a folder kept by others, ends in "/".

    above: the folders on the way here, by device and inode, so that a link to one of them is not followed for ever.
    """
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise UserError(f"{folder} is a link to a folder that it lies in: take it away")
    for entry in found:
        name = f"{inside}{entry.name}"
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{folder}: the file name {entry.name!r} is not UTF-8: rename it") from error
        if entry.name.startswith(".") or entry.name in KEPT_BY_OTHERS:
            yield f"{name}/"
        elif entry.is_dir():
            yield from _names(folder / entry.name, f"{name}/", (*above, here))
        elif entry.is_symlink() and not os.path.exists(entry.path):
            raise UserError(f"{folder / entry.name} is a link to a file that is not there: take it away, or mend it")
        elif not entry.is_file():
            raise UserError(f"{folder / entry.name} is {NO_FILE}")
        else:
            yield name
