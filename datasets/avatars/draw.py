"""Draw avatars: turn options of a `dicebear-styles` drawing style into pixels, in as many processes as there are cores.

A worker (`python -m t2ibench.datasets.avatars.worker`) reads jobs, one JSON list a line, from its standard input and
writes the raw pixels to its standard output. The workers are not a process pool, so that drawing also works from a
notebook or from a script without a main guard.
"""

import copy
import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

import numpy as np
import resvg_py
from dicebear import Style
from dicebear.options import Options
from dicebear.renderer import Renderer
from dicebear.resolver import Resolver
from PIL import Image

STYLE = "avataaars"
# Left, top and side of the square of the 280-unit canvas that is drawn, so that the face fills more of the image.
CROP = (20, 2, 240)
CHUNK = 250  # images that a worker draws at once
# The layers of the drawing in the order of painting. `top` is hair or headwear.
LAYERS = ("skin", "clothes", "mouth", "nose", "eyes", "eyebrows", "top", "facialHair", "accessories")

Job = Mapping[str, Any]  # {"style": name, "layer": name or None, "options": {…}}


@functools.cache
def style(name: str, layer: str | None = None) -> Style:
    """A drawing style. With `layer`, the avataaars style with only that layer on its canvas."""
    definition = json.loads(files("dicebear_styles").joinpath(f"{name}.json").read_text("utf-8"))
    if layer is not None:
        definition = copy.deepcopy(definition)
        elements = definition["canvas"]["elements"]
        wanted = [
            e
            for e in elements
            if (e["type"] == "component" and e["name"] == layer) or (e["type"] != "component" and layer == "skin")
        ]
        definition["canvas"]["elements"] = wanted
    return Style(definition)


def rasterise(svg: str, size: int) -> np.ndarray:
    """SVG to straight-alpha RGBA, uint8 [size, size, 4]."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGBA"))


class Known(Options):
    """Options without the check by a JSON schema, which would take a quarter of the time of a drawing.

    This package has chosen them itself, so they need no check.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self._data, self._tags = data, None


def to_svg(job: Job) -> str:
    """The SVG of a job, the same as `dicebear.Avatar` makes."""
    drawing = style(job["style"], job.get("layer"))
    return Renderer(drawing, Resolver(drawing, Known({"seed": "", **job["options"]}))).render()


def draw(job: Job, size: int) -> np.ndarray:
    """One drawing as straight-alpha RGBA, uint8 [size, size, 4]."""
    svg = to_svg(job)
    if job["style"] == STYLE:
        left, top, side = CROP
        svg = svg.replace('viewBox="0 0 280 280"', f'viewBox="{left} {top} {side} {side}"', 1)
    return rasterise(svg, size)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Straight-alpha RGBA [H, W, 4] over white, uint8 [3, H, W]."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.floor(rgba[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8).transpose(2, 0, 1)


def draw_all(jobs: Sequence[Job], size: int, workers: int | None = None) -> Iterator[np.ndarray]:
    """Drawings on white, in the order of the jobs, in chunks of uint8 [N, 3, size, size].

    A single chunk is drawn in this process. workers: the number of processes; None for one a core.
    """
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    if workers <= 1:
        yield from (np.stack([on_white(draw(job, size)) for job in chunk]) for chunk in chunks)
        return
    command = [sys.executable, "-m", f"{__package__}.worker", str(size)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(workers)]
    free = list(processes)

    def run(chunk: Sequence[Job]) -> np.ndarray:
        process = free.pop()
        try:
            return _exchange(process, chunk, size)
        finally:
            free.append(process)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(run, chunks)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # where it is stopped, nothing more is drawn
        for process in processes:
            process.kill()
        pool.shutdown()
        for process in processes:
            process.communicate()


def _exchange(process: subprocess.Popen, chunk: Sequence[Job], size: int) -> np.ndarray:
    """Send jobs to a worker and read the pixels."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(chunk).encode() + b"\n")
    process.stdin.flush()
    data = process.stdout.read(len(chunk) * 3 * size * size)
    if len(data) != len(chunk) * 3 * size * size:
        raise RuntimeError(f"a drawing process ended with exit code {process.wait()}; its own message stands above")
    return np.frombuffer(data, np.uint8).reshape(len(chunk), 3, size, size)
