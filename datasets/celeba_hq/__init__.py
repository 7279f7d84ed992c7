"""CelebA-HQ (Karras et al., ICLR 2018) with the masks of CelebAMask-HQ and the captions of Multi-Modal-CelebA-HQ.

    root/CelebA-HQ-img/0.jpg … 29999.jpg
    root/CelebAMask-HQ-attribute-anno.txt        40 attributes
    root/CelebA-HQ-to-CelebA-mapping.txt         with or without its head
    root/CelebAMask-HQ-mask-anno/0/00000_skin.png …   if masks are wanted; also spelled CelebAMaskHQ-mask-anno
    root/celeba-caption/0.txt …                  ten captions each; or text/0.txt in DF-GAN's layout
    root/list_eval_partition.txt                 CelebA's, for `split: celeba`
    root/{list_eval_partition.csv, filter_mask.csv, unseen_split.csv}    StyleT2I's, for `split: stylet2i`

- `split: multimodal`: 24,000 training images, then 6,000 of test, as the captions' maintainer says.
- `split: celeba`: train 24,183, val 2,993, test 2,824, by what CelebA's list says of the original file.
- `split: stylet2i`: the same without images whose captions say only "attractive" (23,379 / 2,886 / 2,751), and
  test-unseen and val-unseen, of compositions that training lacks.

Each is a data set of its own (`celeba_hq`, `celeba_hq-celeba`, `celeba_hq-stylet2i`), since their tests overlap with
the training images of another.
"""

import csv
import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml

from t2ibench.core import pickles
from t2ibench.core.decode import SHOWN, decoded
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data import indexes
from t2ibench.data.folders import Files
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.mask_files import FramedMasks
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, lines, listing, placed, said_without_texts, texts_of_files
from t2ibench.data.split import Split, Vocabulary

HOMEPAGE = "github.com/switchablenorms/CelebAMask-HQ"
LAYOUT = "the folder CelebAMask-HQ with CelebA-HQ-img/ in it"
IMAGES, ATTRIBUTES, TRAIN = 30_000, 40, 24_000
SPLITS = {
    "multimodal": ("train", "test"),
    "celeba": ("train", "val", "test"),
    "stylet2i": ("train", "val", "test", "val-unseen", "test-unseen"),
}
# in the order in which they are laid over each other; position k + 1 is the label, 0 is the background
# fmt: off
PARTS = (
    "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair",
    "hat", "ear_r", "neck_l", "neck", "cloth",
)
# fmt: on
STYLET2I = ("list_eval_partition.csv", "filter_mask.csv", "unseen_split.csv")
IN_A_FOLDER = 2_000  # images whose masks lie in one folder
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    root: Path = Path("celeba_hq")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 64  # pixels a side; null: 1024, as they are
    crop: Crop = "squash"  # the images are square: squash, center and square are the same; or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    split: Literal["multimodal", "celeba", "stylet2i"] = "multimodal"
    partial: bool = False  # take a copy with fewer images than the release


def splits(config: Config) -> list[str]:
    return list(SPLITS[config.split])


def needs(config: Config) -> list[Need]:
    release = _release(config)
    captions = release.need("captions", "celeba-caption", "text", archive="Multi-Modal-CelebA-HQ")
    lists = {"multimodal": (), "celeba": ("list_eval_partition.txt",)}.get(config.split, STYLET2I)
    return [
        release.need("images", "CelebA-HQ-img", "image/CelebA-HQ-img", "images", archive="CelebAMask-HQ"),
        release.need("attributes", "CelebAMask-HQ-attribute-anno.txt", archive="CelebAMask-HQ"),
        replace(captions, source="github.com/weihaox/Multi-Modal-CelebA-HQ, after a click on its licence"),
        *(release.need(name, name, f"stylet2i/{name}", f"celeba/{name}", archive=name) for name in lists),
        release.need(
            "masks", "CelebAMask-HQ-mask-anno", "CelebAMaskHQ-mask-anno", archive="CelebAMask-HQ", optional=True
        ),
    ]


def _release(config: Config) -> Release:
    return Release("celeba_hq", placed(config.root), HOMEPAGE, LAYOUT, config.partial)


def load(config: Config, split: str) -> Split:
    """The images of a split in the order of their numbers. No image is opened.

    Raises UserError for a copy that is not whole, or whose lists do not belong together.
    """
    if split not in SPLITS[config.split]:
        raise UserError(f"celeba_hq: no split is called {split!r}{did_you_mean(split, SPLITS[config.split])}")
    unboxed("celeba_hq", config.size, config.crop, config.filter)
    release = _release(config)
    folder = release.find("folder of images", "CelebA-HQ-img", "image/CelebA-HQ-img", "images")
    there = sorted(int(name[:-4]) for name in listing(folder) if name.endswith(".jpg") and name[:-4].isdigit())
    release.counted("images", len(there), IMAGES)
    table = attributes(release, there)
    numbers = _numbers(config, release, there, split)
    if not numbers:
        raise UserError(f"celeba_hq: no image of {release.root} is of the split {split}: get the whole copy")
    ids = [str(number) for number in numbers]
    images = Files([folder / f"{id}.jpg" for id in ids], config.size, SHOWN, config.crop, config.filter)
    said = release.optional("celeba-caption", "text")
    captions = [()] * len(ids) if said is None else texts_of_files(said, [f"{id}.txt" for id in ids])
    without = [id for id, own in zip(ids, captions, strict=True) if not own]
    if without:
        log.warning(said_without_texts(f"celeba_hq {split}", without, len(ids)))
    rows = np.searchsorted(there, numbers)
    return Split(
        "celeba_hq" if config.split == "multimodal" else f"celeba_hq-{config.split}",
        split,
        ids,
        images,
        captions,
        None if table is None else table.iloc[rows].reset_index(drop=True),
        None if table is None else vocabulary(tuple(table.columns)),
        masks=_masks(release, images, numbers),
    )


def attributes(release: Release, there: Sequence[int]) -> pd.DataFrame | None:
    """The attributes of all images, "yes" or "no", in the order of their numbers; None if the copy has no list."""
    path = release.optional("CelebAMask-HQ-attribute-anno.txt")
    if path is None:
        return None
    names, files, table = _table_of(path, indexes.state([path]))
    release.counted("attributes", len(names), ATTRIBUTES)
    wanted = [f"{number}.jpg" for number in there]
    if files != wanted:
        first = next((file for file, own in zip(files, wanted, strict=False) if file != own), "too few rows")
        raise UserError(
            f"celeba_hq: {path} has {len(files):,} rows, which are not those of the {len(there):,} images in their "
            f"order (first other: {first}): a renumbered copy is in circulation, get the list again from {HOMEPAGE}"
        )
    return pd.DataFrame(table, columns=names, dtype=object)


@functools.lru_cache(1)  # 1,200,000 values, and each split needs them
def _table_of(path: Path, state: str) -> tuple[list[str], list[str], np.ndarray]:
    """The names of the attributes, those of the files, and "yes" or "no" for each, object [files, attributes].

    state: of the file, so that another file at its place is read anew.
    """
    names, values = attribute_list(path)
    shown = np.array(list(values.values()), np.int8).reshape(len(values), len(names)) > 0
    return names, list(values), np.array(["no", "yes"], object)[shown.astype(np.int8)]


def attribute_list(path: Path) -> tuple[list[str], dict[str, list[int]]]:
    """The names, and the values 1 or -1 of each file, of a list as CelebA and CelebAMask-HQ write it."""
    rows = [line.split() for line in lines(path)]
    if len(rows) < 2 or len(rows[0]) != 1 or not rows[0][0].isdigit():
        raise UserError(f"celeba_hq: {path}: expected a count, then a line of names: get the file again")
    count, names, values = int(rows[0][0]), rows[1], rows[2:]
    for number, row in enumerate(values, 3):
        if len(row) != len(names) + 1 or not set(row[1:]) <= {"1", "-1", "0"}:
            raise UserError(
                f"celeba_hq: {path}: line {number:,} has {len(row) - 1} values, expected {len(names)} of 1 or -1: get "
                f"the file again"
            )
    if count != len(values):
        raise UserError(f"celeba_hq: {path}: {len(values):,} rows, its head says {count:,}: get the file again")
    return names, {row[0]: [int(value) for value in row[1:]] for row in values}


def originals(release: Release) -> dict[int, str]:
    """The file of CelebA that each image was made from, by number.

    `orig_idx` counts from 0 and names of files from 1. Raises UserError for a mapping in which that is not so.
    """
    path = release.find("mapping", "CelebA-HQ-to-CelebA-mapping.txt")
    rows = [line.split() for line in lines(path)]
    if rows and not rows[0][0].isdigit():
        rows = rows[1:]
    files: dict[int, str] = {}
    for number, row in enumerate(rows):
        if len(row) != 3 or row[0] != str(number) or not row[1].isdigit() or not row[2][:-4].isdigit():
            raise UserError(f"celeba_hq: {path}: row {number:,} is {' '.join(row)!r}, expected number, orig_idx, file")
        if int(row[2][:-4]) != int(row[1]) + 1:
            raise UserError(
                f"celeba_hq: {path}: row {number:,} gives {row[2]} the orig_idx {row[1]}, expected "
                f"{int(row[2][:-4]) - 1}, which counts from 0: get the file again from {HOMEPAGE}"
            )
        files[number] = row[2]
    return files


@functools.cache
def _words() -> dict[str, Any]:
    return yaml.safe_load(files(__package__).joinpath("vocabulary.yaml").read_text("utf-8"))


@functools.cache
def vocabulary(columns: Sequence[str]) -> Vocabulary:
    """How the attributes are said; only those that the copy has."""
    words = _words()
    phrases: dict[str, Mapping[str, Sequence[tuple[str, str]]]] = {}
    for column in columns:
        ways = words["attributes"].get(column, {"yes": [["has", column.replace("_", " ").lower()]] * 2})
        said = {value: [tuple(way) for way in both] for value, both in ways.items()}
        if said:
            phrases[column] = said
    literals = {f"{column}={value}" for column, values in phrases.items() for value in values}
    excluded = {
        frozenset((first, second))
        for group in words["exclude"]
        for place, first in enumerate(group)
        for second in group[place + 1 :]
    } | {frozenset((first, second)) for first, others in words["implied"].items() for second in others}
    opposite = {one: other for a, b in words["opposite"] for one, other in ((a, b), (b, a)) if {a, b} <= literals}
    return Vocabulary(phrases, frozenset(pair for pair in excluded if pair <= literals), opposite)


def _numbers(config: Config, release: Release, there: Sequence[int], split: str) -> list[int]:
    """The numbers of the images of a split, in order."""
    if config.split == "multimodal":
        _say_interchanged(release)
        return [number for number in there if (number < TRAIN) == (split == "train")]
    part, _, unseen = split.partition("-")
    code = ("train", "val", "test").index(part)
    if config.split == "celeba":
        path = release.find("list_eval_partition.txt", "list_eval_partition.txt", "celeba/list_eval_partition.txt")
        parts = dict(release.rows(path, 2))
        files = originals(release)
        lost = [number for number in there if parts.get(files.get(number, "")) is None]
        if lost:
            raise UserError(f"celeba_hq: image {lost[0]} is in no part of {path}: get it and the mapping again")
        return [number for number in there if parts[files[number]] == str(code)]
    partition = _column(release, "list_eval_partition.csv", "split")
    kept = _column(release, "filter_mask.csv", "filter_mask")
    chosen = _column(release, "unseen_split.csv", f"unseen_{'valid' if part == 'val' else part}") if unseen else kept
    short = min(len(partition), len(kept), len(chosen))
    if there[-1] >= short:
        raise UserError(f"celeba_hq: StyleT2I's lists have {short:,} rows, the last image is {there[-1]}")
    return [number for number in there if partition[number] == code and kept[number] and chosen[number]]


def _column(release: Release, name: str, column: str) -> list[int]:
    """A column of one of StyleT2I's lists, whose row k is of image k."""
    path = release.find(name, name, f"stylet2i/{name}")
    rows = list(csv.DictReader(lines(path)))
    if not rows or column not in rows[0]:
        raise UserError(f"celeba_hq: {path} has no column {column!r}: get it again from StyleT2I's repository")
    if "idx" in rows[0] and [row["idx"] for row in rows] != [str(number) for number in range(len(rows))]:
        raise UserError(f"celeba_hq: {path}: idx does not count from 0: get it again from StyleT2I's repository")
    try:
        return [int(float({"True": "1", "False": "0"}.get(row[column], row[column]))) for row in rows]
    except (TypeError, ValueError) as error:
        raise UserError(f"celeba_hq: {path}: {column} holds {error}, expected numbers") from error


def _say_interchanged(release: Release) -> None:
    """Log it where the two filenames.pickle of Multi-Modal-CelebA-HQ are interchanged, as in copies that circulate."""
    path = release.optional("test/filenames.pickle")
    if path is None:
        return
    names = pickles.read(path, pickles.NUMPY.__contains__, "the names of the test images")
    numbers = [int(Path(str(name)).stem) for name in names if Path(str(name)).stem.isdigit()]
    if not isinstance(names, list) or len(numbers) != len(names):
        raise UserError(f"celeba_hq: {path}: {pickles.kind_of(names)}, expected a list of numbers of images")
    if numbers and max(numbers) < TRAIN:
        log.warning("celeba_hq: %s names training images: the two pickles are interchanged; they are not used", path)


def _masks(release: Release, images: Files, numbers: Sequence[int]) -> FramedMasks | None:
    """The part of each pixel, merged from one file a part. Later parts lie over earlier ones; a part without a file is
    not there. The folders are listed when the first mask is read.
    """
    folder = release.optional("CelebAMask-HQ-mask-anno", "CelebAMaskHQ-mask-anno")
    if folder is None:
        return None
    there = functools.cache(lambda inside: listing(folder / str(inside)))

    def label(row: int) -> np.ndarray:
        number = numbers[row]
        inside = number // IN_A_FOLDER
        labels = None
        for place, part in enumerate(PARTS, 1):
            name = f"{number:05}_{part}.png"
            if name in there(inside):
                shown = decoded(folder / str(inside) / name).pixels[..., 0] != 0
                labels = np.zeros(shown.shape, np.uint8) if labels is None else labels
                if labels.shape != shown.shape:
                    raise UserError(
                        f"{folder / str(inside) / name} is {shown.shape[1]}x{shown.shape[0]}, others are not"
                    )
                labels[shown] = place
        if labels is None:
            raise UserError(
                f"celeba_hq: no mask {folder / str(inside)}/{number:05}_*.png: unpack the masks again ({HOMEPAGE})"
            )
        return labels

    return FramedMasks(images, label, ("background", *PARTS), _words()["parts"])
