"""Attribute judges without a network, which see what was drawn."""

from typing import Any

import torch
from torch import Tensor

from t2ibench.networks.models import Models


class ColumnJudge:
    """Of faces: sees an attribute where its column is bright."""

    name, sha256, size, dimension = "attribute-judge-faces", "c" * 64, 8, 1
    attributes = dict.fromkeys(("hat", "beard", "scarf", "smile", "tie"), ("no", "yes"))

    def read(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        seen = (images[:, 0, 4, :5] > 128).float()
        return seen[:, :1], {
            name: torch.stack([1 - seen[:, i], seen[:, i]], 1) for i, name in enumerate(self.attributes)
        }


class ColourJudge:
    """Of squares: the brightest channel is the colour, and a bright one is light. Its features are the mean colour."""

    name, sha256, size, dimension = "attribute-judge-squares", "d" * 64, 8, 3
    attributes = {"colour": ("red", "green", "blue"), "tone": ("dark", "light")}  # noqa: RUF012

    def read(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        mean = images.float().mean((2, 3)) / 255  # [B, 3]
        light = (mean.amax(1) > 0.6).float()
        return mean, {
            "colour": torch.nn.functional.one_hot(mean.argmax(1), 3).float(),
            "tone": torch.stack([1 - light, light], 1),
        }


class JudgedModels(Models):
    """Networks whose attribute judge is one of these."""

    def __init__(self, judge: Any) -> None:
        super().__init__()
        self.known = judge

    def judge(self, name: str = "") -> Any:
        return self.known
