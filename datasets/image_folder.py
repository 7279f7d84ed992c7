"""Your own images: a folder in the Hugging Face imagefolder convention, with captions and any attribute columns.

    root/[train|val|test/]metadata.jsonl     {"file_name": "a/0001.png", "text": "a red bird", "wing": "red"} a line
    root/[train|val|test/]a/0001.png

- `metadata.jsonl`, `.csv` or `.parquet` lie beside the images, in their sub-folders, or above the split folders; file
  names are relative to them. Without them `captions.jsonl` is read, or text files beside the images (`0001.txt`) with
  one caption a line. `t2ibench.data.texts` says what else they may hold.
- `text` (or `caption`, `prompt`) is a string or a list of strings. Lines with the same `file_name` are merged in order.
- Other keys are attributes. An empty value means "cannot be seen". A file `vocabulary.yaml` beside the images says them
  in words (`t2ibench.data.vocabulary_file`).
- The split names `validation` and `val` mean the same. A folder without split folders has one split, which every split
  name returns.
- Images are turned as their EXIF orientation says. Transparent pixels are an error unless `alpha` says what lies behind
  them. The images are in natural order: `2.png` before `10.png`.
- Images are resized to `size` x `size` with Pillow's bicubic filter when they are read, whatever their aspect ratio.
  With `size: null` they stay as they are.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from t2ibench.core.decode import REFUSE, Decoding
from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count
from t2ibench.core.settings import LATER, NO_IDENTITY
from t2ibench.data import texts, vocabulary_file
from t2ibench.data.folders import Files
from t2ibench.data.listing import NO_IMAGES, Listing, counted, image_files, no_image
from t2ibench.data.split import Split
from t2ibench.data.texts import Description, Row
from t2ibench.data.vocabulary_file import vocabulary_of

ALIASES = {"val": ("val", "validation", "valid"), "train": ("train", "training"), "test": ("test",)}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    root: Path
    size: Count | None = 64  # pixels a side; null: the images stay as they are, and must all have one size
    # what lies behind transparent pixels: a colour (white, '#808080'); drop: the colours under them
    alpha: str = field(default=REFUSE, metadata=LATER)
    called: str = field(default="", metadata=NO_IDENTITY)  # weights that learn from it get this name; "": the folder's


def load(config: Config, split: str) -> Split:
    """The images of a split with their captions, in the natural order of their names. No image is opened.

    Raises UserError for a folder without images, metadata that cannot be read or name no file or text, a name that
    leaves the folder, an image without a caption, or a caption without an image.
    """
    folder = _split_folder(config.root, split)
    listing = image_files(folder)
    if not listing.images:
        raise no_image(listing)
    description = _description(listing, config.root)
    passed = listing.passed_over(description.files)
    level = logging.INFO if set(passed) <= NO_IMAGES else logging.WARNING
    if passed:
        log.log(level, "%s: %s images; passed over: %s", folder, f"{len(listing.images):,}", counted(passed))
    rows = texts.join(listing.images, description.rows, str(folder), description.source).rows
    captions = [tuple(text for row in own for text in row.texts) for own in rows]
    attributes = _attributes(rows)
    return Split(
        own_name(config),
        split,
        listing.images,
        Files(listing.paths, config.size, Decoding("turn", config.alpha)),
        captions,
        attributes,
        None if attributes is None else vocabulary_of(attributes, _beside(folder, config.root)),
    )


def own_name(config: Config) -> str:
    """The name of the images, which weights that learn from them get: the setting `called`, else that of the folder."""
    return config.called or re.sub(r"[^\w.-]+", "-", config.root.expanduser().resolve().name) or "image_folder"


def splits(config: Config) -> list[str]:
    """The names of the splits that have a folder; an empty list if there are no split folders."""
    return [split for split, names in ALIASES.items() if any((config.root / name).is_dir() for name in names)]


def _beside(folder: Path, root: Path) -> Path:
    """Where the vocabulary lies: in the folder of the split, else above the split folders."""
    return folder / vocabulary_file.NAME if (folder / vocabulary_file.NAME).is_file() else root / vocabulary_file.NAME


def _split_folder(root: Path, split: str) -> Path:
    if not root.is_dir():
        raise UserError(
            f"{root} is no folder: the data set image_folder needs `root`, a folder of images with a metadata.jsonl"
        )
    present = {name for names in ALIASES.values() for name in names if (root / name).is_dir()}
    if not present:
        return root
    for name in ALIASES.get(split, (split,)):
        if (root / name).is_dir():
            return root / name
    raise UserError(f"{root}: there is no split folder {split!r}, only {', '.join(sorted(present))}")


def _description(listing: Listing, root: Path) -> Description:
    """What the folder of a split says of its images, else what the metadata above the split folders say of them."""
    own = texts.described(listing)
    if own is not None:
        return own
    above = [path.name for path in (root / name for name in (*texts.METADATA, texts.OURS)) if path.is_file()]
    if listing.root != root and above:
        files = texts.metadata_among(above, root)
        rows = texts.seen_from(list(texts.metadata(root, files)), root, listing.root)
        return Description(list(rows), [str(root / name) for name in files])
    raise UserError(
        f"{listing.root}: {len(listing.images):,} images and no captions: add a metadata.jsonl, .csv or .parquet, or a "
        f"text file beside each image"
    )


def _attributes(rows: Sequence[Sequence[Row]]) -> pd.DataFrame | None:
    """The attributes of the images, None for a value that cannot be seen; None if there are no attributes."""
    labels = [{key: _label(value) for row in own for key, value in row.more.items()} for own in rows]
    if not any(labels):
        return None
    table = pd.DataFrame(labels, dtype=object)
    return table.where(table.notna(), None)


def _label(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
