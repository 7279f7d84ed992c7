"""MagicBrush (Zhang et al., NeurIPS 2023): edits of photos by instructions, with the edited image that people made.

    root/edit_sessions.json            by id of a photo its turns: input, mask, output, instruction
    root/images/139/139-output1.png    the image after each turn; 139-input.png before the first
    root/local_captions.json           by id and name of an image its text; and global_descriptions.json

    root is `test/` or `dev/` of the release. The test set comes as an archive with a password, which keeps it out of
    training data: do not put it where crawlers find it.

A row is a turn: its image is the one that people made, its caption the text of that image. The edits are made
elsewhere, from the inputs and instructions, and come back as a folder (the method `image_folder`): `t2ibench prompts
magicbrush` names the file that each of them has to have.

- Split `all_turn`: each turn from the true image before it ("single turn" in the paper). Split `final_turn`: the last
  turn of each photo; the paper's edits of it start from the method's own edits. `train` is `all_turn` by another name:
  a copy is one set, and nothing of it is for learning here.
- `captions: local` describes what was edited, and is what the paper's CLIP-T reads; `global` describes the whole image.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from t2ibench.core.decode import SHOWN
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data.folders import Files
from t2ibench.data.framing import Crop, Filter, unboxed
from t2ibench.data.needs import Need
from t2ibench.data.releases import Release, placed
from t2ibench.data.split import Split

HOMEPAGE = "github.com/OSU-NLP-Group/MagicBrush"
LAYOUT = "edit_sessions.json, images/ and local_captions.json"
SESSIONS = "edit_sessions.json"
CAPTIONS = {
    "local": ("local_captions.json", "local_descriptions.json"),
    "global": ("global_captions.json", "global_descriptions.json", "global_description.json"),
}
SPLITS = ("train", "all_turn", "final_turn")


@dataclass(frozen=True)
class Config:
    root: Path = Path("magicbrush/test")  # in the current folder, else in that of T2IBENCH_DATA
    size: Count | None = 512  # pixels a side; null: as they are
    crop: Crop = "squash"  # squash, center, square or none
    filter: Filter = "bicubic"  # of resizing: bicubic, bilinear or lanczos
    captions: Literal["local", "global"] = "local"


def splits(config: Config) -> list[str]:
    return list(SPLITS)


def needs(config: Config) -> list[Need]:
    release = _release(config)
    return [
        release.need("turns", SESSIONS, archive=SESSIONS),
        release.need("images", "images", archive="images"),
        release.need("captions", *CAPTIONS[config.captions], archive=CAPTIONS[config.captions][0]),
    ]


def _release(config: Config) -> Release:
    return Release("magicbrush", placed(config.root), HOMEPAGE, LAYOUT)


def load(config: Config, split: str) -> Split:
    """The turns of a split, photo by photo. No image is opened.

    Raises UserError for a copy that is not whole, and for a turn without a caption.
    """
    if split not in SPLITS:
        raise UserError(f"magicbrush: no split is called {split!r}{did_you_mean(split, SPLITS)}")
    unboxed("magicbrush", config.size, config.crop, config.filter)
    release = _release(config)
    sessions = _json(release.find("list of turns", SESSIONS))
    path = release.find("captions", *CAPTIONS[config.captions])
    texts, outputs = _json(path), list[tuple[str, str]]()
    for photo, turns in sessions.items():
        try:
            names = [str(turn["output"]) for turn in turns]
        except (TypeError, KeyError) as error:
            raise UserError(f"magicbrush: {SESSIONS}: {photo} is no list of turns with an output") from error
        outputs += [(photo, name) for name in (names[-1:] if split == "final_turn" else names)]
    if not outputs:
        raise UserError(f"magicbrush: {SESSIONS} lists no turn: get it again from {HOMEPAGE}")
    release.whole("images", release.find("folder of images", "images"), [f"{photo}/{name}" for photo, name in outputs])
    captions = [(_caption(texts, photo, name, path),) for photo, name in outputs]
    images = [release.root / "images" / photo / name for photo, name in outputs]
    files = Files(images, config.size, SHOWN, config.crop, config.filter)
    return Split("magicbrush", split, [Path(name).stem for _, name in outputs], files, captions)


def _caption(texts: Mapping[str, Any], photo: str, name: str, path: Path) -> str:
    text = texts[photo].get(name) if isinstance(texts.get(photo), dict) else None
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"magicbrush: {path} has no text for {name} of {photo}: get it again from {HOMEPAGE}")
    return text.strip()


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"magicbrush: {path} cannot be read ({error}): get it again from {HOMEPAGE}") from error
    if not isinstance(content, dict):
        raise UserError(f"magicbrush: {path} is no JSON object: get it again from {HOMEPAGE}")
    return content
