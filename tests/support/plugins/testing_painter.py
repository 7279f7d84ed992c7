"""Painter: a method that paints the square it is asked for, and fails where it is told to."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2ibench.checks.contracts.squares import COLOURS, paint
from t2ibench.data.split import Split
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import TextToImage

PARTS = ("brush", "palette")
NAMES = {"brush": "paint-brush"}


@dataclass(frozen=True)
class Config:
    nan_below: float = 0.0  # share of the seeds for which the image holds NaN
    black_below: float = 0.0
    colour_blind: bool = False  # paints everything red
    delay: float = 0.0  # seconds a batch


class Method:
    trained_on = "nothing"

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.models = config, models
        if log := os.environ.get("PAINTER_LOADS"):  # by whom it was loaded
            with open(log, "a") as file:
                file.write(f"{os.getpid()} {config}\n")

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        time.sleep(self.config.delay)
        if log := os.environ.get("PAINTER_LOG"):  # how often it was asked, for tests of resumption
            with open(log, "a") as file:
                file.write("".join(f"{request.seed}\n" for request in requests))
        if any(request.seed / 2**63 < self.config.nan_below for request in requests):
            raise ValueError("an image holds NaN")
        return torch.stack([self._paint(request) for request in requests])

    def _paint(self, request: TextToImage) -> Tensor:
        if request.seed / 2**63 < self.config.black_below:
            return torch.zeros(3, 8, 8, dtype=torch.uint8)
        colour = next((c for c in COLOURS if c in request.prompt.split()), "red")
        tone = "light" if "light" in request.prompt.split() else "dark"
        return torch.from_numpy(paint("red" if self.config.colour_blind else colour, tone, 8, request.seed))


class Recipe:
    """Learns the mean of the training images by walking towards it."""

    def __init__(self, settings: Mapping[str, Any], train: Split, seed: int) -> None:
        self.settings = {"rate": 0.5, **settings, "seed": seed, "train": train.digest}
        self.target = torch.from_numpy(train.images.read(range(len(train))).mean((0, 2, 3), dtype="float32"))
        self.colour = torch.zeros(3)

    def step(self, index: int, progress: float) -> dict[str, float]:
        self.colour = self.colour + self.settings["rate"] * (self.target - self.colour)
        return {"distance": float((self.target - self.colour).norm())}

    def state(self) -> dict[str, Any]:
        return {"colour": self.colour}

    def load_state(self, state: dict[str, Any]) -> None:
        self.colour = state["colour"]

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"colour": self.colour}, {"side": 8}

    def validate(self) -> dict[str, Any]:
        return {"distance": float((self.target - self.colour).norm())}


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> Recipe:
    return Recipe(settings, train, seed)
