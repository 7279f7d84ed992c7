"""M: the known part of an image and its mask k, which is 1 where the image is known; and random holes for training."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from t2ibench.core.seeds import derive_seed, uniform

SIDE = 512  # pixels a side that the lengths below are for
STROKES, RECTANGLES = 0.7, 0.2  # shares of the kinds of holes; the rest are half-planes


def masked(images: Tensor, known: Tensor) -> Tensor:
    """RGB * k and k, [B, 4, H, W], of floats [B, 3, H, W] in [-1, 1] and k [B, 1, H, W] in {0, 1}. Differentiable."""
    return torch.cat([images * known, known], 1)


def known_parts(seeds: list[int], side: int) -> Tensor:
    """Random k, float32 [B, 1, side, side]: 1 is known, 0 is a hole. Row i depends on seeds[i] alone."""
    return torch.stack([torch.from_numpy(known_part(seed, side)) for seed in seeds])[:, None]


def known_part(seed: int, side: int) -> np.ndarray:
    """One random k of one of the three kinds, float32 [side, side]. It is drawn again until some pixels are known and
    some are not.
    """
    kind = uniform(seed, 1)[0]
    for attempt in range(100):
        draws = iter(uniform(derive_seed(seed, "hole", attempt), 100))
        image = Image.new("L", (side, side), 0)
        if kind < STROKES:
            strokes(image, draws)
        elif kind < STROKES + RECTANGLES:
            rectangles(image, draws)
        else:
            half_plane(image, draws)
        hole = np.asarray(image) > 0
        if 0 < hole.mean() < 1:
            return 1 - hole.astype(np.float32)
    raise AssertionError("a hundred holes in a row that are nothing or everything")


def middle(count: int, side: int) -> Tensor:
    """k with a hole of half the sides in the middle, float32 [count, 1, side, side]."""
    known = torch.ones(count, 1, side, side)
    known[:, :, side // 4 : side - side // 4, side // 4 : side - side // 4] = 0
    return known


def packed(known: np.ndarray) -> str:
    """A mask, bool [side, side], as text."""
    return np.packbits(known).tobytes().hex()


def unpacked(text: str) -> np.ndarray:
    """The mask, bool [side, side], that `packed` wrote."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)).astype(bool)
    side = math.isqrt(len(bits))
    return bits[: side * side].reshape(side, side)


def between(draws: Iterator[float], low: int, high: int) -> int:
    """An integer in low ... high."""
    return low + int(next(draws) * (high - low + 1))


def scaled(length: float, side: int) -> int:
    """A length for a side of 512 pixels, scaled to another side; at least one pixel."""
    return max(1, round(length * side / SIDE))


def strokes(image: Image.Image, draws: Iterator[float]) -> None:
    """Draw one to five strokes of one to five pieces each, which bend alternately left and right."""
    pen, side = ImageDraw.Draw(image), image.width
    for _ in range(between(draws, 1, 5)):
        x, y, angle = next(draws) * side, next(draws) * side, next(draws) * 2 * math.pi
        width = scaled(between(draws, 5, 104), side)
        for piece in range(between(draws, 1, 5)):
            angle += (1 if piece % 2 else -1) * next(draws) * math.pi / 2
            length = scaled(between(draws, 10, 209), side)
            end = (x + length * math.cos(angle), y + length * math.sin(angle))
            pen.line([(x, y), end], fill=1, width=width)
            x, y = end


def rectangles(image: Image.Image, draws: Iterator[float]) -> None:
    """Draw one to four rectangles, none of which touches the border."""
    pen, side = ImageDraw.Draw(image), image.width
    margin = scaled(10, side)
    for _ in range(between(draws, 1, 4)):
        width, height = (scaled(between(draws, 30, 149), side) for _ in range(2))
        left, top = (margin + int(next(draws) * (side - 2 * margin - extent)) for extent in (width, height))
        pen.rectangle([left, top, left + width - 1, top + height - 1], fill=1)


def half_plane(image: Image.Image, draws: Iterator[float]) -> None:
    """Draw the left, right, upper or lower half."""
    side = image.width
    half = side // 2
    boxes = (
        (0, 0, half - 1, side - 1),
        (half, 0, side - 1, side - 1),
        (0, 0, side - 1, half - 1),
        (0, half, side - 1, side - 1),
    )
    ImageDraw.Draw(image).rectangle(boxes[between(draws, 0, 3)], fill=1)
