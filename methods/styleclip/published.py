"""Tables of StyleCLIP's released code, used as they are: `fs3.npy`, `S_mean_std`, `S` and `W.npy`.

fs3.npy      [R, D], a unit direction in CLIP's space for each channel of S without toRGB, in the order in which the
             layers run. The published table of FFHQ has 6,048 rows, every such layer; the released script stops at
             128 pixels, which gives 5,376. Layers without rows are not edited.
S_mean_std   mean and standard deviation of each channel, one array a layer, toRGB included
S            names of layers, and the styles of 2,000 images, one array [N, channels] a layer
W.npy        [N, w_dim], latents w, already truncated
"""

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from t2ibench.core import pickles, tensor_files
from t2ibench.core.containers import NAMES, kind_of
from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import Layer

KINDS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}  # TensorFlow's names of layers
R = TypeVar("R")
UNIT = 0.01  # how far the length of a direction may lie from 1: the table may be stored in half precision


def direction_table(path: Path, layers: Sequence[Layer], dimension: int) -> tuple[Tensor, Tensor]:
    """The channels that a table covers, int64 [R], and their directions [R, D].

    dimension: D of the CLIP that reads the texts.
    Raises UserError for a table of another generator or of another CLIP.
    """
    table = tensor_files.array(path, "StyleCLIP's table of directions (fs3.npy)")
    edited = [layer for layer in layers if not layer.is_rgb]
    counts = list(accumulate(layer.channels for layer in edited))
    if table.ndim != 2 or len(table) not in counts:
        raise UserError(
            f"{path}: an array {list(table.shape)}, expected a row for each channel of the first layers without toRGB: "
            f"{counts[-1]:,} for all layers of this generator: use the table of this generator"
        )
    if table.shape[1] != dimension:
        raise UserError(
            f"{path}: directions of {table.shape[1]} dimensions, the CLIP of the texts has {dimension}: name the CLIP "
            f"that the table was made with (the published ones: ViT-B/32)"
        )
    lengths = np.linalg.norm(table, axis=1)
    if not (np.isfinite(lengths).all() and ((abs(lengths - 1) < UNIT) | (lengths == 0)).all()):
        raise UserError(
            f"{path}: rows of lengths {lengths.min():.3g} to {lengths.max():.3g}, expected 1: use another file"
        )
    covered = edited[: counts.index(len(table)) + 1]
    channels = torch.cat([torch.arange(layer.start, layer.stop) for layer in covered])
    return channels, torch.from_numpy(table)


def style_statistics(path: Path, layers: Sequence[Layer]) -> tuple[Tensor, Tensor]:
    """Mean [C] and standard deviation [C] of each channel. Raises UserError for those of another generator."""

    def joined(content: Any) -> tuple[Tensor, Tensor]:
        means, deviations = content
        return _joined(path, means, layers), _joined(path, deviations, layers)

    mean, deviation = _unpickled(path, "StyleCLIP's statistics of styles (S_mean_std)", joined)
    if not (torch.isfinite(mean).all() and torch.isfinite(deviation).all() and (deviation >= 0).all()):
        raise UserError(f"{path}: deviations that are negative or not finite: get the file again")
    return mean, deviation


def style_codes(path: Path, layers: Sequence[Layer]) -> Tensor:
    """The styles [N, C] of a sample, whatever order the file has its layers in. Raises UserError as above."""

    def joined(content: Any) -> Tensor:
        names, arrays = content
        by_layer = {_layer_of(str(name)): array for name, array in zip(names, arrays, strict=True)}
        return _joined(path, [by_layer[layer.name] for layer in layers], layers)

    return _unpickled(path, "StyleCLIP's sample of styles (S)", joined)


def mapped_latents(path: Path, w_dim: int) -> Tensor:
    """Latents w [N, w_dim]. Raises UserError for an array of another shape."""
    w = tensor_files.array(path, "StyleCLIP's sample of latents (W.npy)")
    if w.ndim != 2 or w.shape[1] != w_dim or len(w) < 2 or not np.isfinite(w).all():
        raise UserError(f"{path}: an array {list(w.shape)}, expected finite latents w [N, {w_dim}]: use another file")
    return torch.from_numpy(w)


def is_latents(path: Path) -> bool:
    """Whether a sample is one of latents, W.npy, and not of styles."""
    return kind_of(path, "StyleCLIP's S or W.npy") == "npy"


def _layer_of(name: str) -> str:
    """Our name of a layer: "G_synthesis_1/8x8/Conv0_up/add:0" to "b8.conv0". Raises ValueError for another name."""
    match = re.search(r"(?:^|/)(\d+)x\1/(Conv|Conv0_up|Conv1|ToRGB)/", name)
    if match is None:
        raise ValueError(f"a layer {name!r}")
    return f"b{match[1]}.{KINDS[match[2]]}"


def _joined(path: Path, arrays: Sequence[Any], layers: Sequence[Layer]) -> Tensor:
    """Arrays of all layers, [..., channels] each, side by side: [..., C]."""
    values = [pickles.array(array).astype(np.float32) for array in arrays]
    widths, wanted = [value.shape[-1] for value in values], [layer.channels for layer in layers]
    if widths != wanted:
        raise UserError(
            f"{path}: {len(widths)} layers of {widths[0] if widths else 0} … {widths[-1] if widths else 0} channels, "
            f"expected {len(wanted)} of {wanted[0]} … {wanted[-1]}: use the file of this generator"
        )
    return torch.from_numpy(np.concatenate(values, axis=-1))


def _unpickled(path: Path, expected: str, read: Callable[[Any], R]) -> R:
    kind = kind_of(path, expected)
    if kind != "pickle":
        raise UserError(f"{path}: {NAMES[kind]}, expected {expected}: name another file")
    content = pickles.read(path, pickles.NUMPY.__contains__, expected)
    try:
        return read(content)
    except pickles.DAMAGED as error:
        raise UserError(
            f"{path}: holds {pickles.kind_of(content)} ({pickles.reason(error)}), expected {expected}: name another"
        ) from error
