"""Folders of small images, as strangers keep them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from t2ibench.core.errors import UserError


def image(path: Path, level: int = 0, size: tuple[int, int] = (4, 4), mode: str = "RGB", **save: Any) -> Path:
    """An image of one grey level; size: width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(
        mode, size, level if mode in ("L", "P", "1") else (level,) * len(Image.new(mode, (1, 1)).getbands())
    ).save(path, **save)
    return path


def folder(root: Path, names: Sequence[str]) -> Path:
    """A folder in which the i-th image is of grey level i."""
    for level, name in enumerate(names):
        image(root / name, level)
    return root


def noise(root: Path, count: int, seed: int = 0, side: int = 16, name: str = "{:03}.png") -> Path:
    """A folder of noise images."""
    root.mkdir(parents=True, exist_ok=True)
    for row, pixels in enumerate(np.random.default_rng(seed).integers(20, 256, (count, side, side, 3), np.uint8)):
        Image.fromarray(pixels).save(root / name.format(row))
    return root


def lines(path: Path, rows: Sequence[Any], encoding: str = "utf-8", ascii: bool = False) -> Path:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows).encode(encoding))
    return path


def named(texts: Mapping[str, Any], key: str = "file_name", text: str = "text") -> list[dict[str, Any]]:
    """Rows of metadata."""
    return [{key: name, text: content} for name, content in texts.items()]


def one_line(error: UserError) -> str:
    """The message of an error, which has one line."""
    message = str(error)
    assert message
    assert "\n" not in message
    return message
