"""Images between parts are uint8 [B, 3, H, W], inside networks floats in [-1, 1]; on disk they are lossless PNG."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from t2ibench.core.decode import SHOWN, Decoding, decoded
from t2ibench.core.storage import unpublished

if TYPE_CHECKING:  # journals and records are read without torch
    from torch import Tensor

BLACK = 2  # an image whose brightest channel value is at most this counts as black


def to_uint8(images: Tensor) -> Tensor:
    """Floats in [-1, 1] to uint8, rounded half up. This happens once: what is scored is what is saved.

    Raises ValueError for NaN, which must not become black.
    """
    if images.isnan().any():
        raise ValueError("an image holds NaN")
    return ((images.float() + 1) * 127.5 + 0.5).floor().clamp(0, 255).byte()


def to_float(images: Tensor) -> Tensor:
    """uint8 to floats in [-1, 1], float32."""
    return images.float() / 127.5 - 1


def check_uint8(images: Tensor, reader: str) -> None:
    """Raises ValueError for what is not uint8 [B, 3, H, W], which floats in [-1, 1] would pass for. reader: whose."""
    kind = str(images.dtype).removeprefix("torch.")
    if kind != "uint8" or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"{reader} reads uint8 images [B, 3, H, W], got {kind} {list(images.shape)}; "
            f"t2ibench.core.images.to_uint8 makes them of floats in [-1, 1]"
        )


def read_image(path: Path, decoding: Decoding = SHOWN) -> np.ndarray:
    """An image file as RGB uint8 [H, W, 3]; `t2ibench.core.decode` says by which rules.

    Raises UserError for a file that is missing, too large, cut short, not an image, or one that the rules refuse.
    """
    return decoded(path, decoding).pixels


def encode_png(image: np.ndarray) -> bytes:
    """uint8 [3, H, W] as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def pixel_hash(image: np.ndarray) -> str:
    """sha256 of the shape and pixels of one image, uint8 [3, H, W]."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Images uint8 [N, 3, H, W] on one sheet, uint8 [H', W', 3], row by row with white lines between them."""
    count, _, height, width = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images.cpu().numpy()):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet


def save_grid(images: Tensor, path: Path, columns: int | None = None) -> None:
    """Write a sheet of images as PNG, whole or not at all."""
    with unpublished(path) as part:
        Image.fromarray(grid(images, columns)).save(part, "PNG")
