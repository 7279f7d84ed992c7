"""Painter: a method that paints the square it is asked for, and fails where it is told to."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from testing_squares import COLOURS, paint
from torch import Tensor

from t2ibench.models import Models
from t2ibench.tracks import TextToImage


@dataclass(frozen=True)
class Config:
    nan_below: float = 0.0  # share of the seeds for which the image holds NaN
    black_below: float = 0.0
    colour_blind: bool = False  # paints everything red
    delay: float = 0.0  # seconds a batch


class Method:
    trained_on = "nothing"

    def __init__(self, config: Config, models: Models) -> None:
        self.config = config

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
