"""Outlines of COCO's objects as masks: polygons and run lengths, equal to pycocotools' masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SCALE = 5  # how much finer than pixels the border of a polygon is followed


def mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The pixels of an object, bool [H, W].

    segmentation: a list of polygons [x1, y1, x2, y2, …], whose union it is; or {"counts", "size"}, where counts are the
    lengths of runs column by column, the first of zeros, as numbers or as COCO's text.
    """
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        return of_runs(spelled(counts) if isinstance(counts, str) else counts, *segmentation["size"])
    mask = np.zeros((height, width), bool)
    for polygon in segmentation:
        mask |= of_polygon(polygon, height, width)
    return mask


def of_runs(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """Runs of zeros and ones in turn, column by column. Raises ValueError if they do not fill the image."""
    if sum(counts) != height * width:
        raise ValueError(f"runs of {sum(counts):,} pixels in an image of {height * width:,}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def spelled(text: str) -> list[int]:
    """The numbers that COCO's text spells: five bits a letter, from the third on differences to the last but one."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        number, bits, more = 0, 0, True
        while more:
            code = ord(text[at]) - 48
            number |= (code & 31) << bits
            more, at, bits = bool(code & 32), at + 1, bits + 5
            if not more and code & 16:
                number -= 1 << bits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts


def of_polygon(polygon: Sequence[float], height: int, width: int) -> np.ndarray:
    """The pixels inside a polygon as pycocotools takes them.

    Its border is followed on a grid SCALE times as fine. Where it goes from one column to the next, inside and outside
    change places from that pixel downwards.
    """
    corners = np.asarray(polygon, float).reshape(-1, 2)
    ends = (SCALE * corners + 0.5).astype(np.int64)
    steps = [_line(*here, *after) for here, after in zip(ends, np.roll(ends, -1, 0), strict=True)]
    u, v = np.concatenate(steps).T
    changed = np.flatnonzero(u[1:] != u[:-1]) + 1
    right, left = u[changed], u[changed - 1]
    x = (np.where(right < left, right, right - 1) + 0.5) / SCALE - 0.5
    y = (np.minimum(v[changed], v[changed - 1]) + 0.5) / SCALE - 0.5
    inside = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    column, row = x[inside].astype(np.int64), np.ceil(np.clip(y[inside], 0, height)).astype(np.int64)
    changes = np.bincount(column * height + row, minlength=height * width + 1)[: height * width]
    return (np.cumsum(changes) % 2 == 1).reshape(width, height).T


def _line(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """The points of a line from one end to the other, int [N, 2]."""
    wide, high = abs(x1 - x0), abs(y1 - y0)
    flip = (wide >= high and x0 > x1) or (wide < high and y0 > y1)
    if flip:
        x0, y0, x1, y1 = x1, y1, x0, y0
    t = np.arange(max(wide, high) + 1)
    if wide >= high:
        slope = (y1 - y0) / wide if wide else 0.0
        points = np.stack([x0 + t, (y0 + slope * t + 0.5).astype(np.int64)], 1)
    else:
        slope = (x1 - x0) / high
        points = np.stack([(x0 + slope * t + 0.5).astype(np.int64), y0 + t], 1)
    return points[::-1] if flip else points
