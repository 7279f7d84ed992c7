"""Oxford-102 Flowers (Nilsback and Zisserman, 2008): 8,189 photos of 102 kinds, with the captions of Reed et al.

    root/{jpg/image_00001.jpg …, imagelabels.mat, setid.mat}     or in root/flowers-102/, as torchvision puts them
    root/segmim/segmim_00001.jpg …                               if masks are wanted
    root/text_c10/class_00077/image_00001.txt …                  captions of Reed et al. and StackGAN
    root/text/image_00001.txt …                                  captions in DF-GAN's layout

- `split: reed` has 7,034 training images of 82 classes, and 1,155 test images of the others, classes 1 to 20.
- `split: classifier` has the lists of setid.mat: train 1,020, val 1,020, test 6,149, of all classes. It is a data
  set of its own (`oxford_flowers-classifier`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t2ibench.core.decode import SHOWN, decoded
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data.folders import Files
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.mask_files import FramedMasks
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, absent, placed, read_mat, said_without_texts, texts_of_files
from t2ibench.data.split import Split

HOMEPAGE = "robots.ox.ac.uk/~vgg/data/flowers/102"
LAYOUT = "jpg/, imagelabels.mat and setid.mat"
IMAGES, CLASSES, TEST_CLASSES = 8_189, 102, range(1, 21)
LISTS = {"train": "trnid", "val": "valid", "test": "tstid"}
GROUND, FAR = np.array([0, 0, 254]), 100  # the colour of the ground in segmim, and how far from it a flower is
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    root: Path = Path("oxford_flowers")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 64  # pixels a side; null: the images stay as they are
    crop: Crop = "center"  # center, squash, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    split: Literal["reed", "classifier"] = "reed"
    captions: Path | None = None  # the folder that holds text_c10/ or text/; null: root
    partial: bool = False  # take a copy with fewer images than the release


def splits(config: Config) -> list[str]:
    return ["train", "test"] if config.split == "reed" else list(LISTS)


def needs(config: Config) -> list[Need]:
    release = _release(config)
    source = "the repositories of Reed et al. or DF-GAN"
    return [
        release.need("images", "jpg", "flowers-102/jpg", archive="102flowers.tgz", size=344_862_509),
        release.need("labels", "imagelabels.mat", "flowers-102/imagelabels.mat", archive="imagelabels.mat", size=502),
        replace(release.need("captions", "text_c10", "text"), source=source),
        release.need("masks", "segmim", archive="102segmentations.tgz", size=203_577_493, optional=True),
    ]


def _release(config: Config) -> Release:
    return Release("oxford_flowers", placed(config.root), HOMEPAGE, LAYOUT, config.partial)


def load(config: Config, split: str) -> Split:
    """The images of a split in the order of their numbers. No image is opened.

    Raises UserError for a copy that is not whole, or whose lists do not belong together.
    """
    if split not in splits(config):
        raise UserError(f"oxford_flowers: no split is called {split!r}{did_you_mean(split, splits(config))}")
    unboxed("oxford_flowers", config.size, config.crop, config.filter)
    release = _release(config)
    labels = read_labels(release)
    numbers = _numbers(config, release, labels, split)
    folder = release.find("folder of images", "jpg", "flowers-102/jpg", "oxford-102-flowers/images", "images")
    ids = [f"image_{number:05}" for number in numbers]
    release.whole("images", folder, [f"image_{number:05}.jpg" for number in range(1, len(labels) + 1)])
    images = Files([folder / f"{id}.jpg" for id in ids], config.size, SHOWN, config.crop, config.filter)
    captions = _captions(config.captions or release.root, config.captions, labels, numbers)
    without = [id for id, own in zip(ids, captions, strict=True) if not own]
    if without:
        log.warning(said_without_texts(f"oxford_flowers {split}", without, len(ids)))
    name = "oxford_flowers" if config.split == "reed" else "oxford_flowers-classifier"
    return Split(name, split, ids, images, captions, masks=_masks(release, images, ids))


def read_labels(release: Release) -> np.ndarray:
    """The class of each image, 1 to 102, int [N]; entry k is that of image k + 1."""
    labels = _mat(release, "imagelabels.mat")["labels"].ravel().astype(np.int64)
    release.counted("labels in imagelabels.mat", len(labels), IMAGES)
    if not len(labels) or labels.min() < 1 or labels.max() > CLASSES:
        raise UserError(f"oxford_flowers: imagelabels.mat has classes outside of 1 to {CLASSES}: get it again")
    return labels


def _numbers(config: Config, release: Release, labels: np.ndarray, split: str) -> list[int]:
    """The numbers of the images of a split, from 1, in order."""
    if config.split == "reed":
        numbers = 1 + np.flatnonzero(np.isin(labels, TEST_CLASSES) == (split == "test"))
    else:
        lists = _mat(release, "setid.mat")
        each = {name: lists[key].ravel().astype(np.int64) for name, key in LISTS.items()}
        listed = np.sort(np.concatenate(list(each.values())))
        if not np.array_equal(listed, np.arange(1, len(labels) + 1)):
            raise UserError(
                f"oxford_flowers: setid.mat lists {len(listed):,} images, expected each of 1 to {len(labels):,} once: "
                f"take it and imagelabels.mat from one copy ({HOMEPAGE})"
            )
        numbers = np.sort(each[split])
    if not len(numbers):
        raise UserError(f"oxford_flowers: no image of {release.root} is of the split {split}")
    return [int(number) for number in numbers]


def _mat(release: Release, name: str) -> dict[str, Any]:
    path = release.find(name, name, f"flowers-102/{name}")
    return read_mat(release, path, ["labels"] if name == "imagelabels.mat" else list(LISTS.values()))


def _captions(base: Path, named: Path | None, labels: np.ndarray, numbers: Sequence[int]) -> list[tuple[str, ...]]:
    if (base / "text_c10").is_dir():
        names = [f"class_{labels[number - 1]:05}/image_{number:05}.txt" for number in numbers]
        return texts_of_files(base / "text_c10", names)
    if (base / "text").is_dir():
        return texts_of_files(base / "text", [f"image_{number:05}.txt" for number in numbers])
    if named is not None:
        raise UserError(f"oxford_flowers: no captions in {base}: expected text_c10/ or text/ in it")
    return [()] * len(numbers)


def _masks(release: Release, images: Files, ids: Sequence[str]) -> FramedMasks | None:
    """Flower or not: the segmented images show the flower on blue. They are JPEGs, so the blue is not exact."""
    folder = release.optional("segmim", "flowers-102/segmim")
    names = [f"{id.replace('image', 'segmim')}.jpg" for id in ids]
    if folder is None or absent(folder, names):
        return None

    def label(row: int) -> np.ndarray:
        colours = decoded(folder / names[row]).pixels.astype(np.int64)
        return (np.square(colours - GROUND).sum(2) > FAR**2).astype(np.uint8)

    return FramedMasks(images, label, ("background", "flower"))
