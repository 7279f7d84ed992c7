"""Any image data set of Hugging Face's package `datasets`: on disk, as parquet files, or on the hub.

    path: FOLDER      what `save_to_disk` wrote; a folder of .parquet files (data/train-00000-of-00001.parquet), or one
    path: owner/name  a data set of the hub, if no such folder is there; `subset` names one of its configurations

- `image` and `text` name the columns. A text is a string or a list of strings. `attributes` names columns of labels.
- `val` and `validation` mean the same split. A copy with a single split returns it for every name.
- Images are turned as their EXIF orientation says (`exif: turn`), as the package itself does; Pillow alone does not.
- It needs the extra `huggingface`: pip install 't2ibench[huggingface]'.
"""

import functools
import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from t2ibench.core.decode import REFUSE, Decoding
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.packed import PackedImages
from t2ibench.data.releases import said_without_texts
from t2ibench.data.split import Split

ALIASES = {"val": ("val", "validation", "valid"), "train": ("train", "training"), "test": ("test",)}
TEXTS = ("text", "caption", "prompt", "texts", "captions", "prompts")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    path: str
    subset: str | None = None
    image: str = "image"  # the column of images
    text: str | None = None  # the column of texts; null: text, caption or prompt, if there is one
    attributes: tuple[str, ...] = ()  # columns of labels
    size: Count | None = 256  # pixels a side; null: the images stay as they are
    crop: Crop = "center"  # center, squash, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    exif: Literal["turn", "ignore"] = "turn"
    alpha: str = REFUSE  # what lies behind transparent pixels


def load(config: Config, split: str) -> Split:
    """The rows of a split in their order. No image is decoded.

    Raises UserError where the package is missing, the data set cannot be read, or a column is not there.
    """
    framing = unboxed("huggingface", config.size, config.crop, config.filter)
    decoding = Decoding(config.exif, config.alpha)
    name = Path(config.path).name or config.path
    table = _table(config, split)
    table = _undecoded(table, config.image, name)
    columns = table.column_names
    text = config.text or next((column for column in TEXTS if column in columns), None)
    for column in [*([text] if text else []), *config.attributes]:
        if column not in columns:
            raise UserError(f"huggingface: {name} has no column {column!r}{did_you_mean(column, columns)}")
    captions = [_texts(value, name, row) for row, value in enumerate(table[text])] if text else [()] * len(table)
    ids = [str(row) for row in range(len(table))]
    without = [id for id, own in zip(ids, captions, strict=True) if not own]
    if without:
        log.warning(said_without_texts(f"huggingface {name} {split}", without, len(ids)))

    def content(row: int) -> bytes:
        return _bytes(table[row][config.image], f"huggingface: {name}: row {row}")

    key = f"{config.path} {split} {table._fingerprint}"
    images = PackedImages([f"{name}: row {id}" for id in ids], content, key, framing, decoding)
    attributes = pd.DataFrame({column: _labels(table, column) for column in config.attributes}, dtype=object)
    return Split(f"huggingface {name}", split, ids, images, captions, attributes if config.attributes else None)


def _table(config: Config, split: str) -> Any:
    """The rows of a split, as the package holds them."""
    tables = _tables(config.path, config.subset)
    if not isinstance(tables, Mapping):
        return tables
    if len(tables) == 1:
        return next(iter(tables.values()))
    for name in ALIASES.get(split, (split,)):
        if name in tables:
            return tables[name]
    raise UserError(f"huggingface: {config.path}: no split is called {split!r}{did_you_mean(split, tables)}")


def _package() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise UserError("huggingface: the package datasets is missing: pip install 't2ibench[huggingface]'") from error


@functools.cache
def _tables(path: str, subset: str | None) -> Any:
    datasets = _package()
    place = Path(path)
    try:
        if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
            return datasets.load_from_disk(path)
        files = [place] if place.is_file() else sorted(place.rglob("*.parquet"))
        if files:
            return datasets.load_dataset("parquet", data_files=_by_split(files))
        if place.exists():
            raise UserError(f"huggingface: {path} holds no .parquet, state.json or dataset_dict.json: see `path`")
        return datasets.load_dataset(path, subset)
    except UserError:
        raise
    except Exception as error:  # the package raises errors of many kinds, also those of its network
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"huggingface: {path} cannot be read ({type(error).__name__}: {reason})") from error


def _by_split(files: Sequence[Path]) -> dict[str, list[str]]:
    """Parquet files by the split that their names begin with (train-00000-of-00001.parquet); else all in train."""
    known = {name for names in ALIASES.values() for name in names}
    by: dict[str, list[str]] = {}
    for file in files:
        first = file.name.partition("-")[0].removesuffix(".parquet")
        by.setdefault(first if first in known else "train", []).append(str(file))
    return by


def _undecoded(table: Any, column: str, name: str) -> Any:
    """The rows with images as bytes. Files without the package's own schema hold a plain pair of bytes and path."""
    datasets = _package()
    if column not in table.column_names:
        raise UserError(f"huggingface: {name} has no column {column!r}{did_you_mean(column, table.column_names)}")
    kind = table.features[column]
    if isinstance(kind, datasets.Image):
        return table.cast_column(column, datasets.Image(decode=False))
    fields = set(kind) if isinstance(kind, dict) else set()
    if fields != {"bytes", "path"}:
        raise UserError(f"huggingface: {name}: the column {column!r} holds {kind}, expected images")
    return table


def _bytes(value: Any, where: str) -> bytes:
    if value and value["bytes"] is not None:
        return value["bytes"]
    if not value or value["path"] is None:
        raise UserError(f"{where}: neither bytes nor a path: the image is missing")
    try:
        return Path(value["path"]).read_bytes()
    except OSError as error:
        raise UserError(f"{where}: {value['path']} cannot be read ({error.strerror})") from error


def _texts(value: Any, name: str, row: int) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"huggingface: {name}: row {row}: a text is {texts!r:.60}, expected a string or a list of them")
    return tuple(text.strip() for text in texts if text.strip())


def _labels(table: Any, column: str) -> list[str | None]:
    """The labels of a column; numbers of a ClassLabel by their names."""
    datasets = _package()
    kind = table.features[column]
    named = kind.int2str if isinstance(kind, datasets.ClassLabel) else str
    return [None if value is None or value == "" else named(value) for value in table[column]]
