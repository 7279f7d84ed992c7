"""What is wrong with single images of B, and how the two sources pair: by the names of their files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from t2ibench.core.decode import BROKEN, formats
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash, read_image
from t2ibench.data.listing import image_files

FLAT = 4.0  # grey levels: an image whose pixels deviate less from their mean shows nothing
SHOWS = 2.0  # times FLAT: a partner that deviates more shows something


@dataclass(frozen=True)
class Fault:
    """name: of the image. kind: in one word. said: what was found."""

    name: str
    kind: str
    said: str


@dataclass(frozen=True)
class Picture:
    """An image file that could be read. pixels: uint8 [H, W, 3]. form: of the file, such as PNG."""

    pixels: np.ndarray
    form: str

    @property
    def deviation(self) -> float:
        return float(self.pixels.std(axis=(0, 1)).max())


@dataclass(frozen=True)
class Source:
    """The images of one side.

    where: what it is, for messages.
    pictures: by name, which is that of the file without suffix.
    unread: why there is no picture, by name.
    values: what a record says of each image, [N] by id of the value, NaN where it says nothing; empty for a folder.
    protocols: the protocol of each value.
    """

    where: str
    pictures: Mapping[str, Picture]
    unread: Mapping[str, str]
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    protocols: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {*self.pictures, *self.unread}


def read(folder: Path) -> Source:
    """The images of a folder and of its subfolders. Raises UserError where there are none, or two of one name."""
    listing = image_files(folder)
    stems = [str(Path(name).with_suffix("")) for name in listing.images]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise UserError(f"{folder}: two images are called {twice[0]!r}: a pair needs one of each name")
    pictures, unread = {}, {}
    for stem, path in zip(stems, listing.paths, strict=True):
        try:
            with Image.open(path, formats=formats()) as image:
                form = str(image.format)
            pictures[stem] = Picture(read_image(path), form)
        except (UserError, *BROKEN) as error:
            unread[stem] = str(error)
    if not stems:
        raise UserError(f"{folder} holds no image: name the folder in which they lie")
    return Source(str(folder), pictures, unread)


def pairs(a: Source, b: Source) -> list[str]:
    """The names of the pairs, in order. Raises UserError where one source has an image that the other has not."""
    alone = [
        (min(left.names - right.names), left, right) for left, right in ((a, b), (b, a)) if left.names - right.names
    ]
    if alone:
        name, has, lacks = alone[0]
        count = len(a.names ^ b.names)
        more = f" ({count:,} images have no partner)" if count > 1 else ""
        raise UserError(
            f"{has.where} has {name!r} and {lacks.where} has not{more}: make both from the same prompts and seeds"
        )
    return sorted(a.names)


def faults(a: Source, b: Source, names: Sequence[str]) -> Iterator[Fault]:
    """Every fault of an image of B, and images of A that cannot be read."""
    first: dict[str, str] = {}
    for name in names:
        for source in (a, b):
            if name in source.unread:
                yield Fault(name, "unread", source.unread[name])
        if name in a.unread or name in b.unread:
            continue
        one, other = a.pictures[name], b.pictures[name]
        if one.pixels.shape != other.pixels.shape:
            sizes = [f"{picture.pixels.shape[1]}x{picture.pixels.shape[0]}" for picture in (one, other)]
            yield Fault(name, "size", f"{sizes[1]} pixels, its partner has {sizes[0]}")
        if one.form != other.form:
            yield Fault(name, "format", f"a {other.form} file, its partner is {one.form}")
        if other.deviation < FLAT and one.deviation >= SHOWS * FLAT:
            grey = other.pixels.mean()
            yield Fault(name, "blank", f"one colour (grey level {grey:.0f}), its partner shows something")
        digest = pixel_hash(other.pixels)
        twin = first.setdefault(digest, name)
        if twin != name and pixel_hash(a.pictures[twin].pixels) != pixel_hash(one.pixels):
            yield Fault(name, "copy", f"the same pixels as {twin!r}, their partners differ")
