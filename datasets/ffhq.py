"""FFHQ (Karras et al., CVPR 2019): 70,000 photos of faces, 1024x1024, without captions and attributes.

    root/images1024x1024/00000/00000.png …     or root/thumbnails128x128/00000/00000.png …
    root/ffhq-dataset-v2.json                  optional: the licence of each photo, and what its file must be

Splits: train, the first 60,000; val, the last 10,000; all, which StyleGAN was trained on. The JSON is read once, entry
by entry, into an index of some 20 MB that is kept in the cache; read whole it would take 2.4 GB. A photo keeps the
licence of its photographer, and none may be used for face recognition.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from t2ibench.core.decode import SHOWN
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data import indexes
from t2ibench.data.folders import Files
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, listing, placed
from t2ibench.data.split import Split

HOMEPAGE = "github.com/NVlabs/ffhq-dataset"
LAYOUT = "images1024x1024/ or thumbnails128x128/"
IMAGES, TRAIN, IN_A_FOLDER = 70_000, 60_000, 1_000
SPLITS = {"train": range(TRAIN), "val": range(TRAIN, IMAGES), "all": range(IMAGES)}
SHEET = "ffhq-dataset-v2.json"
CHUNK = 2**20


@dataclass(frozen=True)
class Config:
    root: Path = Path("ffhq")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 256  # pixels a side; null: as they are
    crop: Crop = "squash"  # the images are square: squash, center and square are the same; or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    images: Literal["images1024x1024", "thumbnails128x128"] = "images1024x1024"
    partial: bool = False  # take a copy with fewer images than the release


def splits(config: Config) -> list[str]:
    return list(SPLITS)


def needs(config: Config) -> list[Need]:
    release = _release(config)
    size = 95_781_155_300 if config.images == "images1024x1024" else None
    return [
        release.need("images", config.images, archive=f"{config.images}.zip", size=size),
        release.need("licences", SHEET, archive=SHEET, size=267_793_842, optional=True),
    ]


def _release(config: Config) -> Release:
    return Release("ffhq", placed(config.root), HOMEPAGE, LAYOUT, config.partial)


def load(config: Config, split: str) -> Split:
    """The images of a split in the order of their numbers. No image is opened, nor is the JSON.

    Raises UserError for a copy that is not whole.
    """
    if split not in SPLITS:
        raise UserError(f"ffhq: no split is called {split!r}{did_you_mean(split, SPLITS)}")
    unboxed("ffhq", config.size, config.crop, config.filter)
    release = _release(config)
    there = numbers(release, config.images)
    release.counted("images", len(there), IMAGES)
    ids = [f"{number:05}" for number in there if number in SPLITS[split]]
    if not ids:
        raise UserError(f"ffhq: no image of {release.root} is of the split {split}: get the whole copy from {HOMEPAGE}")
    folder = release.root / config.images
    images = Files([folder / place(int(id)) for id in ids], config.size, SHOWN, config.crop, config.filter)
    return Split("ffhq", split, ids, images, [()] * len(ids))


def place(number: int) -> str:
    """Where an image lies in its folder: 01234 in 01000/01234.png."""
    return f"{number // IN_A_FOLDER * IN_A_FOLDER:05}/{number:05}.png"


def numbers(release: Release, images: str) -> list[int]:
    """The numbers of the images that are there, in order; each in the folder of its thousand."""
    top = release.find("folder of images", images)
    there = []
    for folder in sorted(name for name in listing(top) if name.isdigit()):
        for name in listing(top / folder):
            number = name.removesuffix(".png")
            if name.endswith(".png") and number.isdigit():
                if place(int(number)) != f"{folder}/{name}":
                    raise UserError(f"ffhq: {top / folder / name}: expected in {place(int(number))}: move it there")
                there.append(int(number))
    return sorted(there)


def index(root: Path) -> list[dict[str, Any]]:
    """What the JSON says of each image: `category`, `license`, and for the two sizes `size` in bytes and `md5` of the
    file. It is read once and kept in the cache. Raises UserError for a file that is missing or damaged.
    """
    path = root / SHEET
    if not path.is_file():
        raise UserError(f"ffhq: {path} is missing: get it from {HOMEPAGE}")
    rows: list[dict[str, Any]] = indexes.of_file("ffhq", path, lambda: [_row(path, *entry) for entry in entries(path)])
    return rows


def licences(root: Path) -> dict[str, int]:
    """How many photos have which licence."""
    return dict(Counter(row["license"] for row in index(root)).most_common())


def _row(path: Path, key: str, entry: Any) -> dict[str, Any]:
    try:
        files = {name: entry[name] for name in ("image", "thumbnail")}
        sizes = {name: {"size": file["file_size"], "md5": file["file_md5"]} for name, file in files.items()}
        return {"id": int(key), "category": entry["category"], "license": entry["metadata"]["license"], **sizes}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"ffhq: {path}: the entry {key!r} lacks {error}: get the file again from {HOMEPAGE}") from error


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """The entries of a JSON file that is one object, one after the other, so that few are in memory at once."""
    decoder, decode = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")("replace")
    text, at, ended = "", 0, False
    with path.open("rb") as file:

        def more() -> bool:
            nonlocal text, at, ended
            chunk = file.read(CHUNK)
            text, at, ended = text[at:] + decode.decode(chunk, final=not chunk), 0, not chunk
            return not ended

        def after_space() -> str:
            nonlocal at
            while True:
                while at < len(text) and text[at] in " \t\r\n":
                    at += 1
                if at < len(text) or not more():
                    return text[at : at + 1]

        def value() -> Any:
            nonlocal at
            after_space()
            while True:
                try:
                    found, end = decoder.raw_decode(text, at)
                    if end < len(text) or ended:  # a number may go on in the next chunk
                        at = end
                        return found
                except ValueError:
                    if ended:
                        raise
                more()

        try:
            if after_space() != "{":
                raise ValueError("no object")
            at += 1
            while after_space() != "}":
                key = value()
                if after_space() != ":":
                    raise ValueError("no colon")
                at += 1
                yield key, value()
                if (mark := after_space()) not in (",", "}") or not mark:
                    raise ValueError("it ends early")
                at += mark == ","
        except ValueError as error:
            raise UserError(f"ffhq: {path} is no whole JSON ({error}): get it again from {HOMEPAGE}") from error
