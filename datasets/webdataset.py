"""Shards of WebDataset, as img2dataset writes them (LAION and its like): tar archives of images with their texts.

    root/00000.tar      000000000.jpg, 000000000.txt, 000000000.json, 000000001.jpg …

- Files of one sample follow each other and share a name up to the first dot. Of a sample are read its image (jpg, jpeg,
  png, webp), and its text: `txt`, else the `caption` of its `json`. Samples may lack either: one without an image is
  none, one without a text stays and is said.
- `shards` says which archives belong to a split: a pattern such as `*.tar` or `{00000..00009}.tar`, or one for each
  split. With a single pattern every split has all images.
- The archives are gone through once; their index is kept in the cache, by their sizes and times. No image is read for
  that. The images of an archive that was cut off are read as far as it goes, and that is said.
"""

import json
import logging
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from t2ibench.core.decode import REFUSE, Decoding
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.order import natural
from t2ibench.core.ranges import Count
from t2ibench.data import indexes
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.packed import PackedImages
from t2ibench.data.releases import said_without_texts
from t2ibench.data.split import Split

IMAGES = ("jpg", "jpeg", "png", "webp")
LARGEST = 2**28  # bytes of one file in an archive
MOST_TEXT = 2**20
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    root: Path
    shards: str | dict[str, str] = "*.tar"  # a pattern, or one for each split
    size: Count | None = 256  # pixels a side; null: the images stay as they are
    crop: Crop = "center"  # center, squash, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    alpha: str = field(default=REFUSE)  # what lies behind transparent pixels


@dataclass(frozen=True)
class Sample:
    """One sample of an archive. start, size: where the bytes of its image are. text: None without one."""

    key: str
    suffix: str
    start: int
    size: int
    text: str | None


def splits(config: Config) -> list[str]:
    return list(config.shards) if isinstance(config.shards, dict) else []


def load(config: Config, split: str) -> Split:
    """All samples of the shards of a split, shard by shard, in the order of the archives. No image is read.

    Raises UserError for a pattern that meets no archive, and for an archive that is none.
    """
    named = config.shards
    if isinstance(named, dict) and split not in named:
        raise UserError(f"webdataset: no split is called {split!r}{did_you_mean(split, named)}")
    framing = unboxed("webdataset", config.size, config.crop, config.filter)
    paths = shards(config.root, named[split] if isinstance(named, dict) else named)
    rows = [(path, sample) for path in paths for sample in index(path)]
    if not rows:
        raise UserError(f"webdataset: no sample with an image in {len(paths):,} archives of {config.root}")
    ids = [f"{path.stem}/{sample.key}" for path, sample in rows]
    if len(set(ids)) < len(ids):
        twice = next(id for place, id in enumerate(ids) if id in set(ids[:place]))
        raise UserError(f"webdataset: the sample {twice} is there twice: name shards of one writer only")

    def content(row: int) -> bytes:
        path, sample = rows[row]
        with path.open("rb") as file:
            file.seek(sample.start)
            return file.read(sample.size)

    names = [f"{path}: {sample.key}.{sample.suffix}" for path, sample in rows]
    images = PackedImages(names, content, indexes.state(paths), framing, Decoding("turn", config.alpha))
    captions = [() if sample.text is None else (sample.text,) for _, sample in rows]
    without = [id for id, own in zip(ids, captions, strict=True) if not own]
    if without:
        log.warning(said_without_texts(f"webdataset {config.root.name}", without, len(ids)))
    return Split(f"webdataset {config.root.name}", split, ids, images, captions)


def shards(root: Path, pattern: str) -> list[Path]:
    """The archives of a pattern, in natural order. Raises UserError if there are none, or one of a range is missing."""
    if not root.is_dir():
        raise UserError(f"webdataset: {root} is no folder: `root` is the folder of the shards (00000.tar …)")
    if match := RANGE.search(pattern):
        first, last = match[1], match[2]
        numbers = range(int(first), int(last) + 1)
        names = [f"{pattern[: match.start()]}{n:0{len(first)}}{pattern[match.end() :]}" for n in numbers]
        missing = [name for name in names if not (root / name).is_file()]
        if missing:
            raise UserError(
                f"webdataset: {len(names) - len(missing)} of {len(names)} shards of {pattern} are in {root}, first "
                f"missing {missing[0]}: get it, or name a smaller range"
            )
        return [root / name for name in names]
    paths = [path for path in root.glob(pattern) if path.is_file()]
    if not paths:
        raise UserError(f"webdataset: no file in {root} meets the pattern {pattern}: expected shards such as 00000.tar")
    return sorted(paths, key=lambda path: natural(path.relative_to(root).as_posix()))


def index(path: Path) -> list[Sample]:
    """The samples of an archive that have an image. Gone through once, then from the cache."""

    def make() -> list[Any]:
        samples, problem = _gone_through(path)
        return [[[one.key, one.suffix, one.start, one.size, one.text] for one in samples], problem]

    rows, problem = indexes.of_file("webdataset", path, make)
    samples = [Sample(*row) for row in rows]
    if problem:
        log.warning("webdataset: %s %s: its first %s samples are read", path, problem, f"{len(samples):,}")
    return samples


def _gone_through(path: Path) -> tuple[list[Sample], str]:
    """The samples of an archive, and what is wrong with its end; "" if nothing is."""
    samples: list[Sample] = []
    whole = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for key, fields in _groups(archive, path):
                sample = _sample(archive, path, key, fields, whole)
                if sample is not None:
                    samples.append(sample)
    except (tarfile.TarError, EOFError) as error:
        if not samples:
            raise UserError(f"webdataset: {path} is no tar archive, or empty ({error}): get it again") from error
        return samples, f"is cut off ({error})"
    last = max((one.start + one.size for one in samples), default=0)
    if last > whole:
        return [one for one in samples if one.start + one.size <= whole], "is cut off within an image"
    return samples, ""


def _groups(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, Mapping[str, tarfile.TarInfo]]]:
    """The samples of an archive: files that follow each other and share their name up to the first dot."""
    key, fields = "", dict[str, tarfile.TarInfo]()
    for member in archive:
        parts = PurePosixPath(member.name)
        if member.name.startswith("/") or ".." in parts.parts or member.islnk() or member.issym():
            raise UserError(f"webdataset: {path} holds {member.name!r}, a link or a path out of it: do not use it")
        folder, _, file = member.name.rpartition("/")
        stem, dot, suffix = file.partition(".")
        base = f"{folder}/{stem}" if folder else stem
        if not member.isreg() or not dot or not base or _private(parts.parts):
            continue
        if base != key:
            if fields:
                yield key, fields
            key, fields = base, {}
        if (name := suffix.lower()) in fields:
            raise UserError(f"webdataset: {path}: the sample {key} has two .{name}: write the shard again")
        fields[name] = member
    if fields:
        yield key, fields


def _private(parts: Sequence[str]) -> bool:
    return bool(parts) and parts[0].startswith("__") and parts[0].endswith("__") and len(parts) > 1


def _sample(
    archive: tarfile.TarFile, path: Path, key: str, fields: Mapping[str, tarfile.TarInfo], whole: int
) -> Sample | None:
    suffix = next((name for name in IMAGES if name in fields), None)
    if suffix is None:
        return None
    large = next((one for one in fields.values() if one.size > LARGEST), None)
    if large is not None:
        raise UserError(f"webdataset: {path}: {large.name} has {large.size:,} bytes, at most {LARGEST:,} are read")
    text = _text(archive, fields["txt"], whole) if "txt" in fields else None
    if not text and "json" in fields:
        try:
            caption = json.loads(_text(archive, fields["json"], whole) or "{}").get("caption")
        except (ValueError, AttributeError) as error:
            raise UserError(f"webdataset: {path}: {key}.json is no JSON object ({error}): write it again") from error
        text = caption.strip() if isinstance(caption, str) else None
    image = fields[suffix]
    return Sample(key, suffix, image.offset_data, image.size, text or None)


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo, whole: int) -> str | None:
    """The text of a file; None for one that is not UTF-8, is too large, or lies behind the end of a cut archive."""
    if member.size > MOST_TEXT or member.offset_data + member.size > whole:
        return None
    file = archive.extractfile(member)
    assert file is not None  # it is a regular file
    try:
        return file.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None
