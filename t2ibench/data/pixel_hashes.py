"""The hashes of the pixels of image files, which do not depend on the names, places and formats of the files.

A hash is taken once. It is kept in the cache with the size and the time of its file, and is taken again where one of
the two has changed.
"""

import functools
import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from t2ibench.core import cache
from t2ibench.core.decode import READING, SHOWN, Decoding, decoded
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.core.progress import track
from t2ibench.core.readers import in_order
from t2ibench.core.records import digest
from t2ibench.core.storage import publish

SETTLED = 2_000_000_000  # nanoseconds; a file that changed later than this may change again without another time
log = logging.getLogger(__name__)


class Pixels(NamedTuple):
    """What is known of the pixels of a file: their hash, `pixel_hash` of the RGB uint8, the size of the image, its
    brightest channel value, and the rules of reading that it met.
    """

    sha256: str
    width: int
    height: int
    brightest: int
    rules: tuple[str, ...] = ()


def pixel_hashes(paths: Sequence[Path], decoding: Decoding = SHOWN) -> list[Pixels]:
    """The hash and the size of the decoded pixels of each file, before any resizing.

    decoding: how the files are read. Raises UserError for a file that cannot be read as an image.
    """
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    known: dict[Path, Pixels] = {}
    for folder, members in folders.items():
        known |= _of_folder(folder, members, decoding)
    return [known[path] for path in paths]


def _of_folder(folder: Path, paths: Sequence[Path], decoding: Decoding) -> dict[Path, Pixels]:
    sheet, states = _sheet(folder, decoding), {path: _state(path) for path in paths}
    kept = _read(sheet)
    rows = {path: kept[path.name] for path in paths if path.name in kept}
    fresh = {path: row[2:] for path, row in rows.items() if row[:2] == states[path]}
    known = {path: Pixels(*row[:-1], tuple(row[-1])) for path, row in fresh.items()}  # type: ignore[call-arg]
    todo = [path for path in paths if path not in known]
    if not todo:
        return known
    read = in_order(functools.partial(_pixels, decoding=decoding), todo)
    made = dict(zip(todo, track(read, f"hash {len(todo):,} images", len(todo)), strict=True))
    now = time.time_ns()
    _keep(sheet, {path.name: [*states[path], *made[path]] for path in todo if now - states[path][1] > SETTLED})
    return known | made


def _pixels(path: Path, decoding: Decoding) -> Pixels:
    image = decoded(path, decoding)
    height, width = image.pixels.shape[:2]
    return Pixels(pixel_hash(image.pixels.transpose(2, 0, 1)), width, height, int(image.pixels.max()), image.rules)


def _state(path: Path) -> list[int]:
    """Size in bytes and time of the last change in nanoseconds. Raises UserError if the file is missing."""
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): the folder changed while it was read") from error
    return [state.st_size, state.st_mtime_ns]


def _sheet(folder: Path, decoding: Decoding) -> Path:
    """The file of the kept hashes of a folder. Another way of reading pixels has other files."""
    way = f"{READING} {decoding.exif} {decoding.alpha} {' '.join(Pixels._fields)}"
    name = hashlib.sha256(f"{way}\n{folder.resolve()}".encode()).hexdigest()[:32]
    return cache.home() / "pixels" / f"{name}.json"


def _read(path: Path) -> Mapping[str, list[Any]]:
    """The rows that a file keeps: file name -> size, time, and the fields of `Pixels`.

    Empty if there are none, or if the file is damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["sha256"] != digest(content["rows"]):
            raise ValueError("the content does not match its own sha256")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is not used (%s): the hashes are taken again", path, error)
        return {}
    rows: dict[str, list[Any]] = content["rows"]
    return rows


def _keep(sheet: Path, rows: Mapping[str, list]) -> None:
    """Add rows to those that are kept. A cache that cannot be written costs time, and nothing else."""
    if not rows:
        return
    content = {**_read(sheet), **rows}
    try:
        publish(sheet, json.dumps({"rows": content, "sha256": digest(content)}).encode())
    except UserError as error:
        log.info("the hashes of images are not kept: %s", error)
