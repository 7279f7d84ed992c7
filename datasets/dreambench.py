"""DreamBench (Ruiz et al., DreamBooth, CVPR 2023): 30 subjects with 4 to 6 photos each, and 25 prompts for each.

    root/prompts_and_classes.txt       or dataset/ in a copy of the repository
    root/backpack/00.jpg …             a folder of photos for each subject

Both splits, `train` and `test`, have a row for each prompt of each subject: 750. Nine subjects are alive and have
prompts of their own. Methods learn from the same photos that they are compared with. The image of a row is a photo of
its subject, the photos in turn, and the attribute `subject` names it: a metric with `of: subject` compares an image
with all photos of its subject, as DreamBooth's DINO and CLIP-I do.

A text names the class alone, "a backpack in the jungle"; `token` stands before it for methods that learned one. Two
subjects of one class have equal texts, so images that were made elsewhere need their seeds (`t2ibench prompts`).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from t2ibench.core.decode import SHOWN
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data.folders import Files
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, placed
from t2ibench.data.split import Split

HOMEPAGE = "github.com/google/dreambooth"
LAYOUT = "prompts_and_classes.txt and a folder of photos for each subject"
SHEET = "prompts_and_classes.txt"
SUBJECTS, PHOTOS, PROMPTS = 30, 158, 25
LIVE = ("cat", "dog")  # classes with the second list of prompts


@dataclass(frozen=True)
class Config:
    root: Path = Path("dreambench")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 512  # pixels a side; null: as they are
    crop: Crop = "center"  # center, squash, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    token: str = ""  # what stands before the class, such as sks
    partial: bool = False  # take a copy with fewer subjects or photos than the release


def splits(config: Config) -> list[str]:
    return ["train", "test"]


def needs(config: Config) -> list[Need]:
    return [_release(config).need("photos and prompts", SHEET, f"dataset/{SHEET}", archive=SHEET)]


def _release(config: Config) -> Release:
    return Release("dreambench", placed(config.root), HOMEPAGE, LAYOUT, config.partial)


def load(config: Config, split: str) -> Split:
    """The prompts of all subjects, subject by subject. No photo is opened.

    Raises UserError for a copy that is not whole, and for a list of another layout.
    """
    if split not in splits(config):
        raise UserError(f"dreambench: no split is called {split!r}{did_you_mean(split, splits(config))}")
    unboxed("dreambench", config.size, config.crop, config.filter)
    release = _release(config)
    path = release.find("list of prompts", SHEET, f"dataset/{SHEET}")
    classes, of_objects, of_live = listed(path)
    photos = {subject: _photos(path.parent / subject) for subject in classes}
    if bare := [subject for subject, own in photos.items() if not own and not config.partial]:
        raise UserError(f"dreambench: no photo in {path.parent / bare[0]}: get it again from {HOMEPAGE}")
    photos = {subject: own for subject, own in photos.items() if own}
    release.counted("subjects", len(photos), SUBJECTS)
    release.counted("photos", sum(map(len, photos.values())), PHOTOS)
    ids, paths, texts, subjects = [], [], [], []
    for subject, own in photos.items():
        named = f"{config.token} {classes[subject]}".strip()
        for number, prompt in enumerate(of_live if classes[subject] in LIVE else of_objects):
            ids.append(f"{subject}/{number:02}")
            paths.append(own[number % len(own)])
            texts.append((prompt.replace("{0} {1}", named),))
            subjects.append(subject)
    images = Files(paths, config.size, SHOWN, config.crop, config.filter)
    return Split("dreambench", split, ids, images, texts, attributes=pd.DataFrame({"subject": subjects}))


def _photos(folder: Path) -> list[Path]:
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [folder / name for name in names if name.lower().endswith((".jpg", ".jpeg", ".png"))]


def listed(path: Path) -> tuple[dict[str, str], list[str], list[str]]:
    """The class of each subject, and the prompts of objects and of living subjects, with `{0} {1}` in place of a name.

    Raises UserError for another layout.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"dreambench: {path} cannot be read ({error}): get it again from {HOMEPAGE}") from error
    head, _, rest = text.partition("Prompts")
    classes = dict(re.findall(r"^(\w+),([\w ]+?)\s*$", head, re.MULTILINE))
    classes.pop("subject_name", None)
    lists = [re.findall(r"^'(.*\{0\} \{1\}.*)'\.format", part, re.MULTILINE) for part in rest.split("Live Subject")]
    if not classes or len(lists) != 2 or any(len(prompts) != PROMPTS for prompts in lists):
        found = " and ".join(str(len(prompts)) for prompts in lists)
        raise UserError(
            f"dreambench: {path} has {len(classes)} classes and lists of {found} prompts, expected {SUBJECTS} classes "
            f"and two lists of {PROMPTS}: get it again from {HOMEPAGE}"
        )
    return classes, lists[0], lists[1]
