"""CUB-200-2011 (Wah et al., 2011): 11,788 photos of 200 kinds of birds, with the captions of Reed et al. (CVPR 2016).

    root/CUB_200_2011/{images.txt, image_class_labels.txt, bounding_boxes.txt, images/, attributes/, parts/}
    root/attributes.txt                 beside CUB_200_2011/, as the archive unpacks it; or in CUB_200_2011/attributes/
    root/segmentations/                 if masks are wanted
    root/{birds, cvpr2016_cub, cub_icml}/   captions, in any of the layouts of `captions.py`

- `split: reed` has 8,855 training images of 150 classes, and 2,933 test images of 50 others. `split: xian` is the
  "proposed split" of Xian et al., read from `att_splits.mat` and `res101.mat`; its unseen classes are others, so it is
  a data set of its own (`cub-xian`), and a network that learned from one is not of the other.
- Images are cut to the square around their box (`crop: box`, the 0.75 rule of StackGAN and its successors).
- Attributes are the 312 binary ones, a column each: "yes", "no", or None where the annotator was less certain than
  `certainty` (1 not visible, 2 guessing, 3 probably, 4 definitely).
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import yaml

from t2ibench.core.decode import SHOWN, decoded
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count, Range
from t2ibench.data import indexes
from t2ibench.data.folders import Files
from t2ibench.data.framing import Box, Crop, Filter, Framing
from t2ibench.data.mask_files import FramedMasks
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, absent, placed, read_mat, said_without_texts
from t2ibench.data.split import Split, Vocabulary
from t2ibench.datasets.cub.captions import captions_of, find_texts

HOMEPAGE = "vision.caltech.edu/datasets/cub_200_2011"
LAYOUT = "the folder into which CUB_200_2011.tgz was unpacked"
IMAGES, ATTRIBUTES, CLASSES = 11_788, 312, 200
# the classes that no training image shows, of Reed et al.
# fmt: off
TEST_CLASSES = frozenset((
    1, 4, 6, 8, 9, 14, 23, 29, 31, 33, 34, 35, 36, 37, 38, 43, 49, 51, 53, 66, 72, 79, 83, 84, 86, 91, 95, 96, 98, 101,
    102, 103, 112, 114, 119, 121, 130, 135, 138, 147, 156, 163, 165, 166, 180, 183, 185, 186, 187, 197,
))
# fmt: on
REED, XIAN = ("train", "test"), {"train": "trainval_loc", "test": "test_unseen_loc", "test-seen": "test_seen_loc"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    root: Path = Path("cub")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 64  # pixels a side; null: as large as they are cut
    crop: Crop = "box"  # box, squash, center, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    split: Literal["reed", "xian"] = "reed"
    captions: Path | None = None  # the folder of a caption release; null: looked for in root
    clean: bool = False  # two U+FFFD in captions become a space, as in the code of AttnGAN and its successors
    # the least certainty with which an attribute counts: 2 guessing, 3 probably, 4 definitely
    certainty: Annotated[int, Range(2, 4)] = 3
    partial: bool = False  # take a copy with fewer images than the release


@dataclass(frozen=True)
class Index:
    """What the text files say of the N images, in the order of images.txt.

    ids: "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18".
    classes: the class of each, 1 to 200, int [N].
    boxes: left, top, width, height.
    """

    ids: Sequence[str]
    classes: np.ndarray
    boxes: Sequence[Box]


def splits(config: Config) -> list[str]:
    return list(REED if config.split == "reed" else XIAN)


def needs(config: Config) -> list[Need]:
    release = _release(config)
    texts = find_texts(release, config.captions)
    return [
        release.need("images", "CUB_200_2011", "images.txt", archive="CUB_200_2011.tgz", size=1_150_585_339),
        Need("captions", None if texts is None else texts.place, source="the repositories of Reed et al. or AttnGAN"),
        release.need(
            "masks",
            "segmentations",
            "CUB_200_2011/segmentations",
            archive="segmentations.tgz",
            size=39_272_883,
            optional=True,
        ),
    ]


def _release(config: Config) -> Release:
    return Release("cub", placed(config.root), HOMEPAGE, LAYOUT, config.partial)


def load(config: Config, split: str) -> Split:
    """The images of a split in the order of images.txt. No image is opened.

    Raises UserError for a copy that is not whole, and for class lists that do not belong to the split.
    """
    if split not in splits(config):
        raise UserError(f"cub: no split is called {split!r}{did_you_mean(split, splits(config))}")
    Framing(config.size, config.crop, config.filter)
    release = _release(config)
    index = read_index(release)
    rows = _rows(config, release, index, split)
    folder = release.find("folder of images", "CUB_200_2011/images", "images")
    ids, boxes = [index.ids[row] for row in rows], [index.boxes[row] for row in rows]
    images = Files([folder / f"{id}.jpg" for id in ids], config.size, SHOWN, config.crop, config.filter, boxes)
    texts = find_texts(release, config.captions)
    captions = [()] * len(ids) if texts is None else captions_of(texts, release, index, TEST_CLASSES, ids)
    if config.clean:
        captions = [tuple(text.replace("\ufffd\ufffd", " ") for text in own) for own in captions]
    without = [id for id, own in zip(ids, captions, strict=True) if not own]
    if without:
        log.warning(said_without_texts(f"cub {split}", without, len(ids)))
    table = attributes(release, config.certainty, len(index.ids))
    return Split(
        "cub" if config.split == "reed" else "cub-xian",
        split,
        ids,
        images,
        captions,
        None if table is None else table.iloc[rows].reset_index(drop=True),
        None if table is None else vocabulary(table.columns),
        masks=_masks(release, images, ids),
    )


def read_index(release: Release) -> Index:
    """The lists of images, classes and boxes. Raises UserError where they do not belong together."""
    place = release.find("images.txt", "CUB_200_2011/images.txt", "images.txt").parent
    listed = release.rows(place / "images.txt", 2)
    numbers, names = [number for number, _ in listed], [name for _, name in listed]
    release.counted("images in images.txt", len(names), IMAGES)
    columns = {
        name: release.rows(place / name, width)
        for name, width in (("image_class_labels.txt", 2), ("bounding_boxes.txt", 5))
    }
    for name, rows in columns.items():
        if [row[0] for row in rows] != numbers:
            raise UserError(
                f"cub: {place / name} has {len(rows):,} rows that do not number the {len(names):,} images of "
                f"images.txt: get both again from {HOMEPAGE}"
            )
    release.whole("images", place / "images", names)
    classes = np.array([int(row[1]) for row in columns["image_class_labels.txt"]])
    wrong = [name for name, label in zip(names, classes, strict=True) if int(name.partition(".")[0]) != label]
    if wrong:
        raise UserError(f"cub: image_class_labels.txt gives {wrong[0]} another class than its folder: get it again")
    boxes = [tuple(map(float, row[1:])) for row in columns["bounding_boxes.txt"]]
    return Index([name.removesuffix(".jpg") for name in names], classes, boxes)  # type: ignore[arg-type]


def attributes(release: Release, certainty: int, images: int) -> pd.DataFrame | None:
    """The binary attributes of all images: "yes", "no", or None. None if the copy has no attributes.

    606 rows of the release have a sixth token, so only the first four of each row are read.
    """
    names = release.optional("attributes.txt", "CUB_200_2011/attributes/attributes.txt", "attributes/attributes.txt")
    labels = release.optional(
        "CUB_200_2011/attributes/image_attribute_labels.txt", "attributes/image_attribute_labels.txt"
    )
    if names is None or labels is None:
        return None
    columns = [row[0].removeprefix("has_") for row in release.numbered(names)]
    release.counted("attributes", len(columns), ATTRIBUTES)
    sure = _certainties(labels, indexes.state([labels]), images, len(columns))
    said = np.array([None, "yes", "no"], object)  # three objects: of 3,677,856 strings each would be one of its own
    return pd.DataFrame(said[np.sign(sure) * (np.abs(sure) >= certainty)], columns=columns, dtype=object)


@functools.lru_cache(1)  # the file has 3,677,856 rows, and each split needs them
def _certainties(labels: Path, state: str, images: int, count: int) -> np.ndarray:
    """The certainty of each attribute of each image, 1 to 4; negative where it is absent. int8 [images, count].

    state: of the file, so that another file at its place is read anew.
    """
    try:
        rows = np.loadtxt(labels, dtype=np.int32, usecols=(0, 1, 2, 3), ndmin=2)
    except ValueError as error:
        raise UserError(f"cub: {labels} cannot be read ({error}): get it again from {HOMEPAGE}") from error
    if len(rows) != images * count:
        raise UserError(
            f"cub: {labels} has {len(rows):,} rows, expected {images:,} images x {count} attributes = "
            f"{images * count:,}: get it again from {HOMEPAGE}"
        )
    order = (rows[:, 0].astype(np.int64) << 32) + rows[:, 1]
    if (np.diff(order) < 0).any():  # the release is in order, and sorting it takes as long as reading it
        rows = rows[np.argsort(order)]
    rows = rows.reshape(images, count, 4)
    if not (rows[..., 1] == np.arange(1, count + 1)).all() or not (rows[..., 0] == rows[:, :1, 0]).all():
        raise UserError(f"cub: {labels} does not name every pair of an image and an attribute once: get it again")
    return np.where(rows[..., 2] > 0, rows[..., 3], -rows[..., 3]).astype(np.int8)


@functools.cache
def _words() -> dict:
    return yaml.safe_load(files(__package__).joinpath("vocabulary.yaml").read_text("utf-8"))


def vocabulary(columns: Sequence[str]) -> Vocabulary:
    """How the attributes are said. Two attributes of one group are never paired."""
    words = _words()
    phrases: dict[str, Mapping[str, Sequence[tuple[str, str]]]] = {}
    groups: dict[str, list[str]] = {}
    for column in map(str, columns):
        group, _, value = column.partition("::")
        groups.setdefault(group, []).append(f"{column}=yes")
        said = words["values"].get(value, value.replace("_", " "))
        ways = words["groups"].get(group) or [["has", f"{{}} {group.replace('_', ' ')}"]] * 2
        phrases[column] = {"yes": [(kind, way.format(said)) for kind, way in ways]}
    excluded = {
        frozenset((first, second))
        for members in groups.values()
        for place, first in enumerate(members)
        for second in members[place + 1 :]
    }
    return Vocabulary(phrases, frozenset(excluded), subject="this bird", noun="bird")


def part_locations(config: Config) -> tuple[list[str], np.ndarray]:
    """The names of the 15 parts, some with a space, and where they are: x, y and whether they can be seen.

    float64 [images, parts, 3], in the order of images.txt. Raises UserError for a copy that is not whole.
    """
    release = _release(config)
    place = release.find("folder of parts", "CUB_200_2011/parts", "parts")
    names = [row[0] for row in release.numbered(place / "parts.txt")]
    try:
        rows = np.loadtxt(place / "part_locs.txt", ndmin=2)
    except (OSError, ValueError) as error:
        raise UserError(f"cub: {place / 'part_locs.txt'} cannot be read ({error}): get it again") from error
    if rows.shape[1:] != (5,) or len(rows) % len(names) or (rows[:, 1].reshape(-1, len(names))[:, 0] != 1).any():
        raise UserError(f"cub: {place / 'part_locs.txt'}: expected image, part, x, y, visible: get it again")
    return names, rows.reshape(-1, len(names), 5)[..., 2:]


def _rows(config: Config, release: Release, index: Index, split: str) -> np.ndarray:
    """The rows of a split, int [M], in order."""
    if config.split == "reed":
        rows = np.flatnonzero(np.isin(index.classes, sorted(TEST_CLASSES)) == (split == "test"))
    else:
        rows = _xian(release, index)[split]
    if not len(rows):
        raise UserError(f"cub: no image of {release.root} is of the split {split}: get the whole copy from {HOMEPAGE}")
    return rows


def _xian(release: Release, index: Index) -> dict[str, np.ndarray]:
    """The rows of each split of Xian et al. Raises UserError if a class of the test is also trained on."""
    place = release.find("att_splits.mat", "att_splits.mat", "xlsa17/data/CUB/att_splits.mat").parent
    listed = read_mat(release, place / "att_splits.mat", list(XIAN.values()))
    features = read_mat(release, place / "res101.mat", ["image_files"])
    paths = [str(np.ravel(cell)[0]) for cell in np.ravel(features["image_files"])]
    numbers = {split: np.ravel(listed[key]).astype(np.int64) - 1 for split, key in XIAN.items()}
    row_of = {id: row for row, id in enumerate(index.ids)}
    ids = ["/".join(path.replace("\\", "/").split("/")[-2:]).removesuffix(".jpg") for path in paths]
    for split, own in numbers.items():
        lost = [ids[number] for number in own if not 0 <= number < len(ids) or ids[number] not in row_of]
        if lost:
            raise UserError(f"cub: {split} of att_splits.mat names {lost[0]}, which is not in images.txt")
    rows = {split: np.array(sorted(row_of[ids[number]] for number in own)) for split, own in numbers.items()}
    both = set(index.classes[rows["train"]]) & set(index.classes[rows["test"]])
    if both:
        raise UserError(f"cub: att_splits.mat trains on the unseen class {min(both)}: two class lists are mixed")
    return rows


def _masks(release: Release, images: Files, ids: Sequence[str]) -> FramedMasks | None:
    """Bird or not, from the segmentations; None if the copy has none. A pixel is bird from half of their 255 up."""
    folder = release.optional("segmentations", "CUB_200_2011/segmentations")
    if folder is None or absent(folder, [f"{id}.png" for id in ids]):
        return None

    def label(row: int) -> np.ndarray:
        return (decoded(folder / f"{ids[row]}.png").pixels[..., 0] > 127).astype(np.uint8)

    return FramedMasks(images, label, ("background", "bird"))
