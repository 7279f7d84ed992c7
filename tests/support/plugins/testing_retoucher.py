"""Retoucher: repaints the square of a seed in the colour or tone that a text asks for, and fails where it is told
to.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from t2ibench.checks.contracts.squares import COLOURS, TONES, paint
from t2ibench.core.seeds import uniform
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import Edit


@dataclass(frozen=True)
class Config:
    nan_below: float = 0.0  # share of the seeds for which an edit, and only the edit, holds NaN
    timid: float = 0.0  # share of the seeds of which the image stays as it was
    delay: float = 0.0  # seconds a batch


class Method:
    trained_on = ("nothing",)

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.trained = config, dict[str, float]()

    @property
    def cost(self) -> dict[str, float]:
        """A hundredth of a second for each text seen: how it would train for each prompt."""
        return {
            "preparation_seconds": 0.5,
            "training_seconds_per_prompt": 0.01,
            "prompts_trained": float(len(self.trained)),
        }

    def edit(self, requests: Sequence[Edit]) -> Tensor:
        self._noted(requests)
        if any(request.seed / 2**63 < self.config.nan_below for request in requests):
            raise ValueError("an image holds NaN")
        self.trained |= dict.fromkeys((request.target for request in requests), 0.01)
        return torch.stack([self._image(request, request.target) for request in requests])

    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        self._noted(requests)
        return torch.stack([self._image(request, "") for request in requests])

    def _noted(self, requests: Sequence[Edit]) -> None:
        time.sleep(self.config.delay)
        if log := os.environ.get("PAINTER_LOG"):
            with open(log, "a") as file:
                file.write("".join(f"{request.seed}-{request.target.replace(' ', '_')}\n" for request in requests))

    def _image(self, request: Edit, target: str) -> Tensor:
        if request.image is not None:
            return torch.from_numpy(request.image if not target else request.image // 2)
        a, b = uniform(request.seed, 2)
        words = [] if request.seed / 2**63 < self.config.timid else target.split()
        colour = next((c for c in COLOURS if c in words), COLOURS[int(3 * a)])
        tone = next((t for t in TONES if t in words), TONES[int(2 * b)])
        return torch.from_numpy(paint(colour, tone, 8, request.seed))
