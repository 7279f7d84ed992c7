"""Texts that came with images: one reader for every form in which people keep them, and how they come to their images.

| file | what it holds |
|---|---|
| `.txt` | a text a line; or a file name, a tab and a text in every line |
| `.jsonl`, `.ndjson` | in every line an object with `text` and, if it names its image, `file_name`; or a string |
| `.json` | a list of such objects or strings; or an object from file names to texts |
| `.csv`, `.tsv` | a head with `text` and, if the rows name their images, `file_name`; separated by `,`, `;` or tabs |
| `.parquet` | columns as those of a `.csv` |
| a folder | its `metadata.*`; or a `.txt` for each image, of the image's name, with a text a line |

`caption`, `prompt` and their plurals stand for `text` as well, `filename`, `file`, `image`, `path` and `image_id` for
`file_name`; all other keys are attributes. A text is a string or a list of strings. Files are UTF-8, with or without a
byte order mark, or UTF-16 with one. Only line feeds and carriage returns end a line: U+2028 and its like are characters
of a text.
"""

import codecs
import csv
import functools
import io
import json
import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.data.listing import SUFFIXES, Listing, image_files

TEXT_KEYS = ("text", "caption", "prompt", "texts", "captions", "prompts")
FILE_KEYS = ("file_name", "filename", "file", "image", "path", "image_id")
FORMS = (".txt", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
METADATA = tuple(f"metadata{suffix}" for suffix in (".jsonl", ".csv", ".parquet"))  # of Hugging Face's imagefolder
OURS = "captions.jsonl"  # read where there is no metadata
MARKS = (  # longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINE = re.compile(r"\r\n|\n|\r")
_IMAGE = rf"(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))})"
_TABBED = re.compile(rf"([^\t]*?{_IMAGE})(?:#[0-9]+)?\s*\t(.*)", re.IGNORECASE)  # `0.jpg#1` is its second text
_NAMED = re.compile(rf"\S+{_IMAGE}[ ,;:|]", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """What a file says of one image.

    where: the file and the line, the beginning of error lines.
    file: the name of the image, as the file writes it; None if it names none.
    texts: at least one.
    more: all other keys.
    """

    where: str
    file: str | None
    texts: tuple[str, ...]
    more: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> list[Row]:
    """The rows of a file or folder of texts, in their order. All of them name a file, or none does.

    Raises UserError, with the line, for whatever cannot be read as the table above says.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    rows = list(_of_folder(path) if path.is_dir() else _of_file(path))
    if not rows:
        raise UserError(f"{path} holds no text")
    named = [row for row in rows if row.file is not None]
    if len(named) not in (0, len(rows)):
        unnamed = next(row for row in rows if row.file is None)
        raise UserError(
            f"{unnamed.where}: names no file, but {named[0].where} names {named[0].file}: let all do, or none"
        )
    return rows


def _of_file(path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix not in (*FORMS, ""):
        raise UserError(f"{path}: {suffix} is no file of texts: expected {', '.join(FORMS)} or a folder")
    if suffix == ".parquet":
        return _rows(_of_parquet(path))
    text = text_of(path)
    if suffix in (".jsonl", ".ndjson"):
        return _rows((f"{path}:{number}", _parsed(line, f"{path}:{number}")) for number, line in _lines(text))
    if suffix == ".json":
        return _rows(_of_json(text, path))
    return _rows(_of_table(text, path)) if suffix in (".csv", ".tsv") else _of_lines(text, path)


def text_of(path: Path) -> str:
    """The content of a text file. Raises UserError for one that is neither UTF-8 nor marked as UTF-16."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: is not {encoding.upper().removesuffix('-SIG')} (byte {content[error.start]:#04x}): save "
            f"it as UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"{path}:{text[: text.index(chr(0))].count(chr(10)) + 1}: holds a zero byte: save it as UTF-8")
    return text


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, and their numbers from 1."""
    return ((number, line) for number, line in enumerate(_LINE.split(text), 1) if line.strip())


def _of_lines(text: str, path: Path) -> Iterator[Row]:
    lines = _LINE.split(text.rstrip())
    if lines == [""]:
        return
    tabbed = all(_TABBED.match(line) for line in lines)
    if not tabbed and all(_NAMED.match(line) for line in lines):
        raise UserError(
            f"{path}: every line begins with a file name ({lines[0][:40]!r}): put a tab behind it, or write a .csv "
            f"with the head file_name,text"
        )
    if _is_json(lines[0]) or _is_json(text):
        raise UserError(f"{path}:1: is JSON, where a text is expected: call the file .jsonl or .json")
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        match = _TABBED.match(line) if tabbed else None
        file, words = (None, line) if match is None else (match[1].strip(), match[2])
        if not words.strip():
            raise UserError(f"{where} is empty, expected a text: every line is the text of an image")
        yield Row(where, file, (words.strip(),))


def _is_json(text: str) -> bool:
    try:
        return text.lstrip().startswith(("{", "[")) and isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _parsed(text: str, where: str) -> Any:
    try:
        return _JSON.decode(text)
    except _Twice as error:
        raise UserError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{where}: not JSON ({error.msg} at {place}): mend it") from error
    except RecursionError as error:
        raise UserError(f"{where}: not JSON of texts (nested too deep)") from error


class _Twice(ValueError):
    """A key that stands twice in one object."""


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in content if keys.count(key) > 1)
        raise _Twice(f"{twice!r} stands there twice: take one of them out")
    return content


_JSON = json.JSONDecoder(object_pairs_hook=_once)


def _of_json(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    content = _parsed(text, str(path))
    if isinstance(content, list):
        return ((f"{path}: entry {number}", row) for number, row in enumerate(content, 1))
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected a list, or an object from files to texts")
    return (
        (f"{path}: {name}", {"file_name": name, "text": row} if not isinstance(row, dict) else _of(name, row))
        for name, row in content.items()
    )


def _of(name: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row if _key(tuple(row), FILE_KEYS) is not None else {"file_name": name, **row}


def _of_table(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a .csv or .tsv, under the keys of its head."""
    head = _LINE.split(text.lstrip(), maxsplit=1)[0]
    delimiters = "\t" if path.suffix.lower() == ".tsv" else ",;\t"
    delimiter = next((sign for sign in delimiters if sign in head), delimiters[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    keys: list[str] = []
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if not keys:
                keys = [cell.strip() for cell in row]
                _once([(key, None) for key in keys])
                if not any(key.lower() in TEXT_KEYS for key in keys):
                    raise UserError(
                        f"{where}: the head is {', '.join(keys)[:80]!r}, expected a column `text` (or caption, prompt)"
                    )
                continue
            if len(row) != len(keys):
                raise UserError(
                    f"{where}: {len(row)} columns, the head has {len(keys)}: put a text with {delimiter!r} in it "
                    f"between double quotes"
                )
            yield where, dict(zip(keys, row, strict=True))
    except _Twice as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from error
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not a table ({error}): mend the quotes of this row") from error


def _of_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise UserError(f"{path} needs the package pyarrow: pip install pyarrow, or save it as .jsonl") from error
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())[:120]}): write it again") from error
    for number, row in enumerate(table.to_dict("records"), 1):
        yield f"{path}: row {number}", {str(key): _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it: lists for arrays, numbers of Python, None for what is missing."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value


def _rows(rows: Iterator[tuple[str, Any]]) -> Iterator[Row]:
    for where, row in rows:
        if isinstance(row, str | list):
            yield Row(where, None, _texts(row, where))
            continue
        if not isinstance(row, dict):
            raise UserError(f"{where}: found {type(row).__name__}, expected a JSON object with file_name and text")
        file_key, text_key = _key(tuple(row), FILE_KEYS), _key(tuple(row), TEXT_KEYS)
        more = {key: value for key, value in row.items() if key not in ("", file_key) and key.lower() not in TEXT_KEYS}
        file = None if file_key is None else _file(row[file_key], f"{where}: {file_key}")
        if text_key is None:
            raise UserError(f"{where}: there is no text, only {', '.join(row) or 'nothing'}: add `text`")
        yield Row(where, file, _texts(row[text_key], where), more)


@functools.cache
def _key(spellings: tuple[str, ...], keys: tuple[str, ...]) -> str | None:
    """The first of the keys that a row has, as the row spells it; for file names also `…_file_name`."""
    spelled = {key.lower(): key for key in spellings}
    ending = [key for key in spelled if keys is FILE_KEYS and key.endswith("_file_name")]
    return next((spelled[key] for key in (keys[0], *ending, *keys[1:]) if key in spelled), None)


def _file(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UserError(f"{where} is {str(value)[:40]!r}, expected the name of a file")
    return str(value).strip()


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: the caption is {str(value)[:60]!r}: expected `text`, a string or a list of strings")
    stripped = tuple(text.strip() for text in texts if text.strip())
    if not stripped:
        raise UserError(f"{where}: the caption is empty: every image needs at least one")
    return stripped


def metadata_among(names: Sequence[str], root: Path) -> list[str]:
    """The files among `names` that describe images, of one kind a folder; `captions.jsonl` where there are none.

    Raises UserError for two kinds in one folder: which of them is right?
    """
    found = [name for name in names if posixpath.basename(name) in METADATA]
    folders: dict[str, str] = {}
    for name in found:
        if (other := folders.setdefault(posixpath.dirname(name), name)) != name:
            raise UserError(f"{root / other} and {posixpath.basename(name)} describe the same folder: keep one of them")
    return found or [name for name in names if posixpath.basename(name) == OURS]


def metadata(root: Path, names: Sequence[str]) -> Iterator[Row]:
    """The rows of files of metadata. Their file names become relative to `root`.

    names: the files, relative to `root`.
    """
    for name in names:
        for row in read(root / name):
            if row.file is None:
                raise UserError(f"{row.where}: there is no file_name: name the image, relative to this file")
            file = inside(posixpath.dirname(name), row.file, row.where)
            yield row if file == row.file else replace(row, file=file)


def inside(folder: str, file: str, where: str) -> str:
    """A file name in a folder, without `.` and `..`. Raises UserError for a name that leaves the folder."""
    name = posixpath.normpath(file)
    if "://" in file or posixpath.isabs(name) or name == ".." or name.startswith("../"):
        raise UserError(f"{where}: {file} leaves the folder: file names are relative to this file")
    return posixpath.join(folder, name)


@dataclass(frozen=True)
class Description:
    """What a folder of images says of them.

    rows: of its images, with names relative to the folder.
    files: where they stand, relative to the folder.
    """

    rows: list[Row]
    files: list[str]

    @property
    def source(self) -> str:
        """The files, for people."""
        return self.files[0] if len(self.files) == 1 else f"{len(self.files):,} files such as {self.files[0]}"


def described(listing: Listing) -> Description | None:
    """What a folder says of its own images: files of metadata in it and in its folders, else a text file beside each.

    None if there is neither. Raises UserError for what cannot be read, and for images without a text file among others
    that have one.
    """
    if files := metadata_among(listing.others, listing.root):
        return Description(list(metadata(listing.root, files)), files)
    texts = set(listing.others)
    pairs = [(name, f"{posixpath.splitext(name)[0]}.txt") for name in listing.images]
    missing = [text for _, text in pairs if text not in texts]
    if len(missing) == len(pairs):
        return None
    if missing:
        raise UserError(
            f"{listing.root / missing[0]} is missing: without metadata.jsonl every image needs a text file with its "
            f"captions"
        )
    return Description(list(side_cars(listing.root, pairs)), [text for _, text in pairs])


def side_cars(root: Path, pairs: Iterable[tuple[str, str]]) -> Iterator[Row]:
    """The rows of text files, each of one image, with a text a line. pairs: (image, text file)."""
    for image, name in pairs:
        path = root / name
        yield Row(str(path), image, _texts([line for _, line in _lines(text_of(path))], str(path)))


def _of_folder(folder: Path) -> Iterator[Row]:
    """The texts that a folder of texts holds."""
    listing = image_files(folder)
    if found := metadata_among(listing.others, folder):
        return metadata(folder, found)
    texts = [name for name in listing.others if name.lower().endswith(".txt")]
    if not texts:
        raise UserError(f"{folder}: no text found: expected metadata.jsonl, .csv or .parquet, or a .txt for each image")
    return side_cars(folder, ((name[: -len(".txt")], name) for name in texts))


def seen_from(rows: Sequence[Row], base: Path, folder: Path) -> Sequence[Row]:
    """The rows of images in `folder`, with names relative to it, where the names are relative to `base`.

    The rows as they are if none names an image in the folder: then the names are relative to something else.
    """
    root = os.path.abspath(folder) + os.sep
    paths = [os.path.normpath(os.path.join(os.path.abspath(base), row.file or "")) for row in rows]
    own = [
        replace(row, file=Path(path[len(root) :]).as_posix())
        for row, path in zip(rows, paths, strict=True)
        if row.file is not None and path.startswith(root)
    ]
    return own or rows


@dataclass(frozen=True)
class Joined:
    """The rows of each image, in the order of the images, and by what they were joined, for people."""

    rows: Sequence[Sequence[Row]]
    by: str


def join(names: Sequence[str], rows: Sequence[Row], images: str, source: str) -> Joined:
    """The rows of each image: by file name if they name files, else by order.

    names: of the images, relative to their folder, in natural order.
    images, source: what the images and the texts are called in error lines.

    Names match as written; without folders; or, for texts about `0.jpg` of images `0.png`, without suffix. The
    first of these ways counts in which every image has a text and every text an image. Raises UserError if there is
    none, or, without names, if there is not one row for each image.
    """
    if rows[0].file is None:
        if len(rows) != len(names):
            raise UserError(
                f"{source} has {len(rows):,} texts, {images} has {len(names):,} images: expected one for each image, "
                f"in the order of the file names"
            )
        return Joined([[row] for row in rows], "in the order of the file names")
    attempts = []
    for way, key in _WAYS.items():
        if (match := _matched(names, rows, key)) is not None:
            if match.whole:
                return Joined(match.rows, way)
            attempts.append(match)
    best = max(attempts, key=lambda match: match.found, default=None)
    if best is None:
        raise UserError(f"{images}: two images have one name in another spelling of its letters: rename one of them")
    if best.lost:
        row = best.lost[0]
        raise UserError(
            f"{row.where}: {row.file} is missing in {images} ({len(best.lost):,} of {len(rows):,} texts have no "
            f"image): the folder is not whole, or the line is wrong"
        )
    bare = [name for name, own in zip(names, best.rows, strict=True) if not own]
    raise UserError(
        f"{images}: {len(bare):,} images have no caption, first {bare[0]}: add their lines to {source}, or move them "
        f"away"
    )


@dataclass(frozen=True)
class _Match:
    rows: list[list[Row]]
    lost: list[Row]

    @property
    def found(self) -> int:
        return sum(map(len, self.rows))

    @property
    def whole(self) -> bool:
        return not self.lost and all(self.rows)


def _matched(names: Sequence[str], rows: Sequence[Row], key: Callable[[str], str]) -> _Match | None:
    """The rows of each image by one way of comparing names.

    None if two images have one name by it, or two names of the texts are one.
    """
    places = {key(name): place for place, name in enumerate(names)}
    if len(places) < len(names):
        return None
    match = _Match([[] for _ in names], [])
    for row in rows:
        place = places.get(key(row.file or ""))
        (match.lost if place is None else match.rows[place]).append(row)
    one_name = all(len({_whole(row.file or "") for row in own}) < 2 for own in match.rows if len(own) > 1)
    return match if one_name else None


def _whole(name: str) -> str:
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def _last(name: str) -> str:
    return posixpath.basename(_whole(name))


def _stem(name: str) -> str:
    whole = _whole(name)
    stem, suffix = posixpath.splitext(whole)
    return stem if suffix.lower() in SUFFIXES else whole


_WAYS: Mapping[str, Callable[[str], str]] = {
    "by file name": _whole,
    "by file name, without folders": _last,
    "by file name, without suffix": _stem,
    "by file name, without folders and suffix": lambda name: _stem(_last(name)),
}
