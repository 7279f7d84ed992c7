"""CLIP distance of images and texts, for methods that minimise it: 1 - cosine (Patashnik et al., ICCV 2021, sec. 4).

There are two ways to prepare the images. "normalized" is CLIP's own preprocessing. "reference" is that of StyleCLIP's
released code: images in [-1, 1] are enlarged without interpolation and averaged down to CLIP's size. They are not
shifted to [0, 1], clamped or normalised by CLIP's mean.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.clip.model import Clip

ClipInput = Literal["normalized", "reference"]
UNIT = 32  # the released code enlarges by CLIP's side / 32 (7 for 224), then pools by the image's side / 32


class ClipDistance:
    """Loss_CLIP, in [0, 2], differentiable. Images are floats in about [-1, 1]."""

    def __init__(self, clip: Clip, clip_input: ClipInput = "normalized") -> None:
        self.clip, self.clip_input = clip, clip_input

    def __call__(self, images: Tensor, text_features: Tensor) -> Tensor:
        """1 - cos(E_I(image i), E_T(text i)), [B]; images [B, 3, H, W], text_features [B, D] of unit norm."""
        return 1 - (self.image_features(images) * text_features).sum(1)

    def image_features(self, images: Tensor) -> Tensor:
        """Features [B, D] of unit norm, with gradients.

        Raises UserError if the image size does not allow the pooling of "reference".
        """
        return F.normalize(self.embeddings(images), dim=-1)

    def embeddings(self, images: Tensor) -> Tensor:
        """The same features before they are brought to unit norm."""
        if self.clip_input == "normalized":
            return self.clip.image_embeddings(images)
        side, size = images.shape[-1], self.clip.preprocess.size
        if images.shape[-2] != side or side % UNIT or size % UNIT:
            shape = "x".join(map(str, images.shape[2:]))
            raise UserError(
                f"{self.clip.name}: clip_input 'reference' takes {shape} pixels to {size}, expected a square and "
                f"multiples of {UNIT}: "
                "use 'normalized'"
            )
        pooled = pool(images, pooling_matrix(side, size).to(images))
        return self.clip.model.encode_image(pooled)  # type: ignore[operator]

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Features [B, D] of unit norm on CLIP's device; equal texts are encoded once."""
        distinct = list(dict.fromkeys(texts))
        features = self.clip.encode_texts(distinct).to(self.clip.device)
        return features[[distinct.index(text) for text in texts]]


def pooling_matrix(pixels: int, size: int) -> Tensor:
    """A [size, pixels]: the share of output pixel j that comes from input pixel i along one axis; rows sum to 1.

    P(x) = A x A^T is a nearest-neighbour enlargement by size / 32 followed by average pooling by pixels / 32. The
    matrix avoids the enlarged image, which takes 617 MB at 1024 pixels.
    """
    start, begin = (
        torch.arange(size)[:, None] * pixels,
        torch.arange(pixels)[None] * size,
    )  # in 1 / (size * pixels) of the side
    overlap = torch.minimum(start + pixels, begin + size) - torch.maximum(start, begin)
    return overlap.clamp(min=0) / pixels


def pool(images: Tensor, matrix: Tensor) -> Tensor:
    """A x A^T of every channel: [B, 3, H, H] to [B, 3, size, size]."""
    return matrix @ images @ matrix.T
