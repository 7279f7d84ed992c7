"""Folders of birds: images whose halves are the colours of crown and wing, with texts and attributes beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from folders import lines
from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


def write_birds(root: Path, split: str, count: int, colours: Callable[[int], tuple[str, str]]) -> None:
    """A folder root/split of birds. colours: (row) -> the colours of its crown and of its wing."""
    rows = []
    for row in range(count):
        crown, wing = colours(row)
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[:32], pixels[32:] = COLOURS[crown], COLOURS[wing]
        pixels += np.random.default_rng(row).integers(0, 30, pixels.shape, np.uint8)
        path = root / split / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        text = f"bird {row} with a {crown} crown and {wing} wings"
        rows.append({"file_name": path.name, "text": text, "crown": crown, "wing": wing})
    lines(root / split / "metadata.jsonl", rows)
