"""Collage: answers a composition with the image that gives its first condition, darker by its seed, and notes what it
was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from t2ibench.networks.models import Models
from t2ibench.tracks.contract import Compose


@dataclass(frozen=True)
class Config:
    pass


class Method:
    trained_on = ("nothing",)
    asked: ClassVar[list[Compose]] = []  # of all, for tests to look at

    def __init__(self, config: Config, models: Models) -> None:
        self.config = config

    def compose(self, requests: Sequence[Compose]) -> Tensor:
        self.asked.extend(requests)
        return torch.stack([self._image(request) for request in requests])

    def _image(self, request: Compose) -> Tensor:
        image = request.sources[next(iter(request.task.given.values()))].image
        assert image is not None
        return torch.from_numpy(image // (1 + request.seed % 2))
