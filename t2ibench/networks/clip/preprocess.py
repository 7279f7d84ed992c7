"""The preprocessing of a CLIP: resize, crop and normalise. It works on uint8 images, and on floats with gradients."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

from t2ibench.core.errors import UserError


def letterbox(images: Tensor, size: int) -> Tensor:
    """Floats [B, 3, H, W] whose longer side becomes `size`, in the middle of a black square [B, 3, size, size].

    Bicubic, antialiased and not clamped, so that colours may leave [0, 1]: as HPSv2's `ResizeMaxSize` on tensors. That
    one leaves an image whose longer side fits as it is, without padding, which its network then cannot read.
    """
    height, width = images.shape[2:]
    scale = size / max(height, width)
    sides = (round(height * scale), round(width * scale))
    if sides != (height, width):
        images = F.interpolate(images, sides, mode="bicubic", antialias=True)
    down, right = (size - side for side in sides)
    return F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))


@dataclass(frozen=True)
class Preprocess:
    """A model's own preprocessing.

    size: side of the square that the network reads, in pixels.
    mean, std: of each colour, for normalisation.
    interpolation: of resizing.
    resize_mode: "shortest" scales the shorter side to `size` and crops the centre; "squash" scales both sides to
    `size`.
    """

    size: int
    mean: tuple[float, ...] = OPENAI_DATASET_MEAN
    std: tuple[float, ...] = OPENAI_DATASET_STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "squash"] = "shortest"

    @classmethod
    def of(cls, config: Mapping[str, Any], name: str) -> "Preprocess":
        """From open_clip's `preprocess_cfg`.

        Raises UserError for what is not supported: other resizing, images that are not square.
        """
        size = config["size"]
        width = size if isinstance(size, int) else size[0] if size[0] == size[1] else None
        if width is None or config.get("resize_mode", "shortest") not in ("shortest", "squash"):
            raise UserError(
                f"{name}: preprocessing {dict(config)} is not supported, expected a square image, shortest or squash: "
                f"use another model"
            )
        chosen = {key: config[key] for key in ("interpolation", "resize_mode") if key in config}
        return cls(
            width,
            tuple(config.get("mean", OPENAI_DATASET_MEAN)),
            tuple(config.get("std", OPENAI_DATASET_STD)),
            **chosen,
        )

    @property
    def id(self) -> str:
        """Names the resizing in a protocol."""
        return f"{self.size}-{self.interpolation}-antialias-{self.resize_mode}"

    def facts(self) -> dict[str, Any]:
        return asdict(self)

    def resize(self, images: Tensor, clamp: bool = True) -> Tensor:
        """Resize, antialiased, and crop images [B, 3, H, W].

        uint8 images stay uint8, rounded as Pillow does. Floats are clamped to [0, 1] if `clamp`.
        """
        height, width = images.shape[2:]
        sides = (self.size, self.size)
        if self.resize_mode == "shortest":
            short = min(height, width)
            sides = (int(self.size * height / short), int(self.size * width / short))
        if sides != (height, width):
            images = F.interpolate(images, sides, mode=self.interpolation, antialias=True)
            images = images.clamp(0, 1) if clamp and images.is_floating_point() else images
        top, left = (round((side - self.size) / 2) for side in sides)
        return images[:, :, top : top + self.size, left : left + self.size]

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images, floats in [0, 1], [B, 3, size, size], with mean and standard deviation."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std
