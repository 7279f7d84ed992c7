"""The frozen inputs: 48 real and 48 generated faces with captions, and a JPEG. They are image files of the package.

The real faces are validation images of `avatars`. The generated ones were made by `gan-int-cls` from captions of test
images, with 16 levels a channel. They are inputs, not expected results: it does not matter how they were made, only
that they never change.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash, read_image
from t2ibench.data.contract import load_dataset
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import Prompt

FOLDER = Path(__file__).parent / "golden"
SIDE, COLUMNS = 64, 8
SHEETS = {"real": "real.png", "made": "made.png"}
DATASET = "avatars"
JPEG = FOLDER / "photo.jpg"


@functools.cache
def networks() -> tuple[str, str]:
    """The judge and the CLIP that score the frozen images: those of the data set that they are of."""
    brought = load_dataset(DATASET).NETWORKS
    assert brought.judge is not None
    assert brought.clip is not None
    return brought.judge, brought.clip


@dataclass(frozen=True)
class Golden:
    """The frozen inputs.

    real, made: real and generated faces, uint8 [48, 3, 64, 64].
    captions: the captions from which the generated faces were made.
    """

    real: np.ndarray
    made: np.ndarray
    captions: Sequence[str]

    @cached_property
    def scenes(self) -> dict[str, np.ndarray]:
        """Pictures of four shapes, uint8 [3, H, W], cut from a sheet of faces: tall, wide, and two squares."""
        faces = sheet(self.real)
        parts = {
            "tall": (0, 186, 0, 101),
            "wide": (7, 108, 3, 190),
            "small": (64, 104, 64, 104),
            "large": (0, 256, 0, 256),
        }
        return {shape: faces[:, top:bottom, left:right] for shape, (top, bottom, left, right) in parts.items()}

    def evidence(self, models: Models) -> Evidence:
        """The generated faces as samples of a cell, with their captions as prompts; the real faces as its reference."""
        reference = _split("golden", self.real)
        prompts = [Prompt(f"golden/{i}", text) for i, text in enumerate(self.captions)]
        store = _store(self.made)
        samples = Samples(prompts, [0] * len(prompts), np.ones(len(prompts), bool), store.digests(), store)
        return Evidence(
            train=reference,
            reference=reference,
            prompts=prompts,
            samples={"captions": samples},
            models=models,
            judge=networks()[0],
        )


def load() -> Golden:
    """The frozen inputs.

    Raises UserError where a file is missing or has changed, since nothing could be concluded from it.
    """
    try:
        facts = json.loads((FOLDER / "golden.json").read_text("utf-8"))
        for name, expected in facts["sha256"].items():
            if hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() != expected:
                raise UserError(f"{FOLDER / name} is not the frozen file: install the package again")
    except (OSError, ValueError) as error:
        raise UserError(f"{FOLDER} is not whole ({error}): install the package again") from error
    real, made = (tiles(read_image(FOLDER / SHEETS[name]).transpose(2, 0, 1)) for name in ("real", "made"))
    return Golden(real, made, facts["captions"])


def sheet(images: np.ndarray) -> np.ndarray:
    """Images [N, 3, S, S] as one picture, uint8 [3, N / 8 S, 8 S], row by row."""
    rows = images.reshape(-1, COLUMNS, 3, SIDE, SIDE)
    return np.ascontiguousarray(rows.transpose(2, 0, 3, 1, 4).reshape(3, -1, COLUMNS * SIDE))


def tiles(picture: np.ndarray) -> np.ndarray:
    """The images [N, 3, S, S] of which `sheet` made a picture."""
    rows = picture.reshape(3, -1, SIDE, COLUMNS, SIDE).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE))


def _store(images: np.ndarray) -> ArrayImages:
    return ArrayImages(images, [pixel_hash(image) for image in images])


def _split(name: str, images: np.ndarray) -> Split:
    ids = [f"{name}-{i}" for i in range(len(images))]
    return Split("golden", name, ids, _store(images), [() for _ in ids])
