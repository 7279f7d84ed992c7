"""The latent mapper (Patashnik et al., StyleCLIP, ICCV 2021, sec. 5): moves codes of a StyleGAN2 towards a text.

v' = v + residual M_t(v), in one pass, with one network M_t for each text. StyleCLIP edits images with it. StyleGAN-NADA
uses it to move the codes of an adapted generator into the region where its images show the target.

In W+ a mapper has one small network for each level of rows: coarse, medium and fine. In S it has one for each
convolution, as wide as its channels. What no network covers is not moved. Each network first divides its input by a
root mean square. The released code takes this over the rows of a level, because its codes have one axis more than the
function that it reuses expects.
"""

import pickle
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2.layout import Config as Layout
from t2ibench.networks.stylegan2.network import GAIN, SLOPE, Linear

Kind = Literal["levels", "single", "style"]
Axis = Literal["rows", "features"]
LEVELS = {"coarse": range(0, 4), "medium": range(4, 8), "fine": range(8, 64)}  # rows of W+
RELEASED = {
    "course_mapping": "coarse",
    "medium_mapping": "medium",
    "fine_mapping": "fine",
    "mapping": "all",
}  # "course" is theirs
DEPTH, RATE = 4, 0.01


class MapperNetwork(nn.Module):
    """From codes v to M_t(v) of the same shape, which is 0 where no network covers the code.

    v: [B, L, w_dim] for the kinds `levels` and `single`, [B, C] for `style`.
    """

    def __init__(
        self, layout: Layout, kind: Kind = "levels", levels: tuple[str, ...] = tuple(LEVELS), axis: Axis = "rows"
    ) -> None:
        super().__init__()
        rows = [row for level in levels for row in LEVELS[level] if row < layout.rows]
        if kind == "style":
            chosen = [layer for layer in layout.layers if not layer.is_rgb and layer.row in rows]
            self.where = {layer.name.replace(".", "_"): slice(layer.start, layer.stop) for layer in chosen}
        elif kind == "single":
            self.where = {"all": slice(0, layout.rows)}
        else:
            spans = {level: LEVELS[level] for level in levels if LEVELS[level].start < layout.rows}
            self.where = {level: slice(span.start, min(span.stop, layout.rows)) for level, span in spans.items()}
        widths = {
            name: part.stop - part.start if kind == "style" else layout.w_dim for name, part in self.where.items()
        }
        dim = 1 if axis == "rows" or kind == "style" else 2
        self.parts = nn.ModuleDict({name: Level(width, dim) for name, width in widths.items()})

    def forward(self, v: Tensor) -> Tensor:
        moved = torch.zeros_like(v)
        for name, part in self.parts.items():
            moved[:, self.where[name]] = part(v[:, self.where[name]])
        return moved


class Level(nn.Module):
    """Normalisation, then four fully connected layers, each followed by a leaky ReLU. All rows share the weights."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.mapping = nn.Sequential(PixelNorm(dim), *(Dense(width, width, rate=RATE) for _ in range(DEPTH)))

    def forward(self, x: Tensor) -> Tensor:
        return self.mapping(x)


class PixelNorm(nn.Module):
    """Divides by the root mean square over the axis `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(self.dim, keepdim=True) + 1e-8).rsqrt()


class Dense(Linear):
    """StyleGAN2's fully connected layer and activation."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), SLOPE) * GAIN


def read_released(path: Path, layout: Layout) -> tuple[MapperNetwork, str]:
    """A mapper of the released code, and the text that it was trained for ("" if the file does not say).

    It has the levels that are in the file. The generator's weights, which such a file repeats, are ignored. Raises
    UserError for a file that is missing, damaged, contains code, or does not fit the generator.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = {
            key.removeprefix("mapper."): value
            for key, value in content["state_dict"].items()
            if key.startswith("mapper.")
        }
        tensors = {
            f"parts.{RELEASED[key.partition('.')[0]]}.mapping.{key.rpartition('mapping.')[2]}": value
            for key, value in state.items()
        }
        levels = tuple(level for level in LEVELS if any(key.startswith(f"parts.{level}.") for key in tensors))
        network = MapperNetwork(layout, "levels" if levels else "single", levels)
        network.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing, expected a checkpoint of StyleCLIP's mapper") from error
    except (RuntimeError, EOFError, OSError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:160] or "it is empty"
        raise UserError(
            f"{path}: no StyleCLIP mapper for rows of {layout.w_dim} ({reason}): give another file"
        ) from error
    opts = content.get("opts") or {}
    return network, str(opts.get("description") or "")
