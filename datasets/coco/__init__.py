"""MS-COCO captions (Lin et al., ECCV 2014), of 2014 or 2017: five captions or more for each photo.

    root/annotations/captions_val2014.json (captions_train2014.json, …)
    root/annotations/instances_val2014.json …     if masks are wanted
    root/{train2014,val2014,train2017,val2017}/   the photos

- Splits: train 82,783 and val 40,504 in 2014; 118,287 and 5,000 in 2017 (`year: 2017`).
- `30k` is what generators are scored on: `drawn` different photos of val with one caption each, both drawn with `seed`.
- Images are in the order of their ids, captions in the order of their annotations, without white space at their ends.
- Masks (`masks: true`) give each pixel the category of the smallest object there; crowds count as objects.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t2ibench.core.decode import SHOWN
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.core.seeds import derive_seed, permutation, uniform
from t2ibench.data.folders import Files
from t2ibench.data.framing import Crop, Filter, Framing
from t2ibench.data.mask_files import FramedMasks
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, placed, said_without_texts
from t2ibench.data.split import Split
from t2ibench.datasets.coco.outlines import mask_of

HOMEPAGE = "cocodataset.org"
LAYOUT = "annotations/, train2014/ and val2014/"
IMAGES = {(2014, "train"): 82_783, (2014, "val"): 40_504, (2017, "train"): 118_287, (2017, "val"): 5_000}
ARCHIVES = {
    "train2014.zip": 13_510_573_713,
    "val2014.zip": 6_645_013_297,
    "annotations_trainval2014.zip": 252_872_794,
    "train2017.zip": 19_336_861_798,
    "val2017.zip": 815_585_330,
    "annotations_trainval2017.zip": 252_907_541,
}  # bytes
DRAWN = "30k"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    root: Path = Path("coco")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 256  # pixels a side; null: the images stay as they are
    crop: Crop = "center"  # center, squash, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    year: Literal[2014, 2017] = 2014
    drawn: Count = 30_000  # photos of the split 30k
    seed: int = 0  # of the split 30k
    masks: bool = False  # read the instances too
    partial: bool = False  # take a copy with fewer images than the release


@dataclass(frozen=True)
class Photo:
    """An image of the annotations: its id, its file, and the ids and texts of its captions."""

    id: int
    file: str
    captions: Sequence[tuple[int, str]]


def splits(config: Config) -> list[str]:
    return ["train", "val", DRAWN]


def needs(config: Config) -> list[Need]:
    release, year = _release(config), config.year
    archives = [("annotations", f"annotations/captions_val{year}.json", f"annotations_trainval{year}.zip")]
    archives += [(f"images of {part}", f"{part}{year}", f"{part}{year}.zip") for part in ("val", "train")]
    return [
        release.need(what, place, archive=archive, size=ARCHIVES[archive], optional=what.endswith("train"))
        for what, place, archive in archives
    ]


def _release(config: Config) -> Release:
    return Release("coco", placed(config.root), HOMEPAGE, LAYOUT, config.partial)


def load(config: Config, split: str) -> Split:
    """The images of a split in the order of their ids. No image is opened.

    Raises UserError for a copy that is not whole, and for annotations that do not belong to its images.
    """
    if split not in splits(config):
        raise UserError(f"coco: no split is called {split!r}{did_you_mean(split, splits(config))}")
    if config.crop == "box":
        raise UserError("coco: crop is box, but these images have no box each: take center, squash or square")
    if config.drawn < 1:
        raise UserError(f"coco: drawn is {config.drawn}, expected how many photos the split {DRAWN} has, such as 30000")
    Framing(config.size, config.crop, config.filter)
    release = _release(config)
    part = "val" if split == DRAWN else split
    photos = read_photos(release, config.year, part)
    folder = _folder(release, f"{part}{config.year}", [photo.file for photo in photos])
    if split == DRAWN:
        photos = draw(photos, config.drawn, config.seed)
    ids = [f"{photo.id:012}" for photo in photos]
    images = Files([folder / photo.file for photo in photos], config.size, SHOWN, config.crop, config.filter)
    captions = [tuple(text for _, text in photo.captions) for photo in photos]
    without = [id for id, own in zip(ids, captions, strict=True) if not own]
    if without:
        log.warning(said_without_texts(f"coco {split}", without, len(ids)))
    masks = _masks(release, config, part, images, photos) if config.masks else None
    return Split("coco", split, ids, images, captions, masks=masks)


def _folder(release: Release, name: str, files: Sequence[str]) -> Path:
    """The folder of the images, which are all there. That of train may be missing as a whole: its captions are enough
    for whoever only scores.
    """
    places = (name, f"images/{name}")
    if name.startswith("train") and release.optional(*places) is None:
        log.warning("coco: %s is not in %s: its captions are read, its images cannot be", name, release.root)
        return release.root / name
    folder = release.find("folder of images", *places)
    release.whole("images", folder, files)
    return folder


def draw(photos: Sequence[Photo], count: int, seed: int) -> list[Photo]:
    """Different photos with one caption each, in the order of their ids. A photo without a caption is never drawn.

    Raises UserError if there are too few.
    """
    able = [photo for photo in photos if photo.captions]
    if not 1 <= count <= len(able):
        raise UserError(f"coco: drawn is {count:,}, expected 1 to {len(able):,}, the images that have a caption")
    rows = np.sort(permutation(derive_seed("coco", "images", seed), len(able))[:count])
    shares = uniform(derive_seed("coco", "captions", seed), count)
    drawn = []
    for row, share in zip(rows, shares, strict=True):
        photo = able[row]
        drawn.append(Photo(photo.id, photo.file, [photo.captions[int(share * len(photo.captions))]]))
    return drawn


def read_photos(release: Release, year: int, part: str) -> list[Photo]:
    """The images of one part with their captions, in the order of their ids."""
    path = release.find("captions", f"annotations/captions_{part}{year}.json", f"captions_{part}{year}.json")
    content = _json(path, ("images", "annotations"))
    try:
        files = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        said: dict[int, list[tuple[int, str]]] = {id: [] for id in files}
        for annotation in content["annotations"]:
            if text := annotation["caption"].strip():
                said[int(annotation["image_id"])].append((int(annotation["id"]), text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"an annotation of the image {error}, which it does not list" if isinstance(error, KeyError) else error
        raise UserError(f"coco: {path}: {found}: get it again from {HOMEPAGE}") from error
    release.counted(f"images in {path.name}", len(files), IMAGES[year, part])
    return [Photo(id, files[id], said[id]) for id in sorted(files)]


def listed(config: Config) -> list[tuple[int, int, str]]:
    """The split 30k as people pass it on: image id, caption id and caption of each row."""
    release = _release(config)
    drawn = draw(read_photos(release, config.year, "val"), config.drawn, config.seed)
    return [(photo.id, *photo.captions[0]) for photo in drawn]


def _json(path: Path, keys: Sequence[str]) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"coco: {path} is no whole JSON ({error}): get it again from {HOMEPAGE}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        found = ", ".join(list(content)[:5]) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"coco: {path} holds {found}, expected {' and '.join(keys)}: get it again from {HOMEPAGE}")
    return content


def _masks(release: Release, config: Config, part: str, images: Files, photos: Sequence[Photo]) -> FramedMasks:
    """The category of each pixel. Larger objects lie below smaller ones."""
    name = f"instances_{part}{config.year}.json"
    content = _json(release.find("instances", f"annotations/{name}", name), ("images", "annotations", "categories"))
    names = {category["id"]: category["name"] for category in sorted(content["categories"], key=lambda one: one["id"])}
    place = {id: number for number, id in enumerate(names, 1)}
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    wanted = {photo.id for photo in photos}
    objects: dict[int, list[Mapping[str, Any]]] = {}
    for annotation in content["annotations"]:
        if annotation["image_id"] in wanted:
            objects.setdefault(annotation["image_id"], []).append(annotation)

    def label(row: int) -> np.ndarray:
        id = photos[row].id
        labels = np.zeros(sizes[id], np.uint8)
        for annotation in sorted(objects.get(id, ()), key=lambda one: (-one["area"], one["id"])):
            labels[mask_of(annotation["segmentation"], *sizes[id])] = place[annotation["category_id"]]
        return labels

    return FramedMasks(images, label, ("background", *names.values()))
