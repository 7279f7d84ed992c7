"""Your own images: a folder in the Hugging Face imagefolder convention, with captions and any attribute columns.

    root/[train|val|test/]metadata.jsonl     {"file_name": "a/0001.png", "text": "a red bird", "wing": "red"} a line
    root/[train|val|test/]a/0001.png

- `text` (or `caption`, `prompt`) is a string or a list of strings. Lines with the same `file_name` are merged in order.
- Without metadata.jsonl, the first of these is read: captions.jsonl, metadata.csv, or text files beside the images
  (`0001.txt`) with one caption a line.
- Other keys are attributes. An empty value means "cannot be seen".
- The split names `validation` and `val` mean the same. A folder without split folders has one split, which every split
  name returns.
- Images are resized to `size` x `size` with Pillow's bicubic filter when they are read, whatever their aspect ratio.
  With `size: null` they stay as they are.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from t2ibench.core.errors import UserError
from t2ibench.data.folders import SUFFIXES, Files
from t2ibench.data.split import Split, Vocabulary

TEXT_KEYS = ("text", "caption", "prompt")
ALIASES = {"val": ("val", "validation", "valid"), "train": ("train", "training"), "test": ("test",)}


@dataclass(frozen=True)
class Config:
    root: Path
    size: int | None = 64  # pixels a side; null: the images stay as they are, and must all have one size


def load(config: Config, split: str) -> Split:
    """The images of a split that have a line of metadata, in the order of their names.

    Raises UserError for a folder without images, a line that is not a JSON object or has no file_name or text, a name
    that leaves the folder, an image without a caption, or a caption without an image.
    """
    folder = _split_folder(config.root, split)
    rows = list(_rows(folder))
    if not rows:
        raise UserError(
            f"{folder}: no image found ({', '.join(SUFFIXES)}): expected images and a metadata.jsonl that describes "
            f"them"
        )
    merged: dict[str, dict[str, Any]] = {}
    for where, name, row in rows:
        path = _inside(folder, name, where)
        if not path.exists():
            raise UserError(f"{where}: {path} is missing: the folder is not whole, or the line is wrong")
        entry = merged.setdefault(name, {"captions": [], "attributes": {}})
        entry["captions"] += _captions(row, where)
        entry["attributes"] |= {key: value for key, value in row.items() if key not in (*TEXT_KEYS, "file_name")}
    if unlisted := sorted({str(p.relative_to(folder).as_posix()) for p in _images(folder)} - set(merged)):
        raise UserError(
            f"{folder}: {len(unlisted):,} images have no caption, first {unlisted[0]}: add their lines, or move them "
            f"away"
        )
    names = sorted(merged)
    table = pd.DataFrame(
        [{k: _label(v) for k, v in merged[name]["attributes"].items()} for name in names], dtype=object
    )
    table = table.where(table.notna(), None)
    captions = [tuple(merged[name]["captions"]) for name in names]
    images = Files([folder / name for name in names], config.size)
    attributes = table if len(table.columns) else None
    return Split(
        f"image_folder {folder.name}",
        split,
        names,
        images,
        captions,
        attributes,
        None if attributes is None else _vocabulary(table),
    )


def splits(config: Config) -> list[str]:
    """The names of the splits that have a folder; an empty list if there are no split folders."""
    return [split for split, names in ALIASES.items() if any((config.root / name).is_dir() for name in names)]


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


def _rows(folder: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every line of metadata as (its place for error lines, file name, keys and values)."""
    for name in ("metadata.jsonl", "captions.jsonl"):
        if (folder / name).exists():
            yield from _json_lines(folder / name)
            return
    if (path := folder / "metadata.csv").exists():
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        yield from (
            (f"{path}:{line}", _file_name(row, f"{path}:{line}"), row)
            for line, row in enumerate(table.to_dict("records"), 2)
        )
        return
    for image in _images(folder):
        text = image.with_suffix(".txt")
        if not text.exists():
            raise UserError(
                f"{text} is missing: without metadata.jsonl every image needs a text file with its captions"
            )
        yield (
            str(text),
            image.relative_to(folder).as_posix(),
            {"text": text.read_text("utf-8-sig", "replace").splitlines()},
        )


def _json_lines(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not a JSON object ({error.msg} at column {error.colno}): mend the line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(f"{where}: found {type(row).__name__}, expected a JSON object with file_name and text")
        yield where, _file_name(row, where), row


def _file_name(row: Mapping[str, Any], where: str) -> str:
    if not isinstance(row.get("file_name"), str):
        raise UserError(
            f"{where}: there is no file_name, only {', '.join(map(str, row))}: name the image, relative to this file"
        )
    return PurePosixPath(row["file_name"]).as_posix()


def _inside(folder: Path, name: str, where: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError(f"{where}: {name} leaves the folder: file names are relative and have no '..'")
    return folder / name


def _captions(row: Mapping[str, Any], where: str) -> list[str]:
    text = next((row[key] for key in TEXT_KEYS if key in row), None)
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
        raise UserError(f"{where}: the caption is {text!r}: expected `text`, a string or a list of strings")
    captions = [item.strip() for item in texts if item.strip()]
    if not captions:
        raise UserError(f"{where}: the caption is empty: every image needs at least one")
    return captions


def _label(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _vocabulary(table: pd.DataFrame) -> Vocabulary:
    """A vocabulary for a table that brings none: a value is said as `<value> <attribute>`.

    Columns of yes and no are said by the name of the column alone.
    """
    phrases: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for column in table:
        noun, values = str(column).replace("_", " "), sorted({value for value in table[column] if value is not None})
        if set(values) <= {"true", "false", "0", "1", "yes", "no"}:
            phrases[str(column)] = {value: [("has", noun)] * 2 for value in values if value in ("true", "1", "yes")}
        else:
            phrases[str(column)] = {value: [("has", f"{value.replace('_', ' ')} {noun}")] * 2 for value in values}
    return Vocabulary(phrases)
