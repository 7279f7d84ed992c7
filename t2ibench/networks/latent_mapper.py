"""The latent mapper (Patashnik et al., StyleCLIP, ICCV 2021, sec. 5): moves codes of a StyleGAN2 towards a text.

v' = v + residual M_t(v), in one pass, with one network M_t for each text. StyleCLIP edits images with it. StyleGAN-NADA
uses it to move the codes of an adapted generator into the region where its images show the target.

In W+ a mapper has one small network for each level of rows: coarse, medium and fine. In S it has one for each
convolution, as wide as its channels. What no network covers is not moved. Each network first divides its input by a
root mean square. The released code takes this over the rows of a level, because its codes have one axis more than the
function that it reuses expects.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core import pickles, tensor_files
from t2ibench.core.errors import UserError
from t2ibench.networks.state import fill
from t2ibench.networks.stylegan2 import rosinality
from t2ibench.networks.stylegan2.layout import Config as Layout
from t2ibench.networks.stylegan2.network import GAIN, SLOPE, Generator, Linear

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
EXPECTED = "a mapper of StyleCLIP's released code"
SMALL_WORDS = frozenset(("a", "an", "the", "of", "in", "on", "with", "and"))


class MapperNetwork(nn.Module):
    """From codes v to M_t(v) of the same shape, which is 0 where no network covers the code.

    v: [B, L, w_dim] for the kinds `levels` and `single`, [B, C] for `style`.
    rgb: whether the kind `style` covers toRGB layers, too.
    """

    def __init__(
        self,
        layout: Layout,
        kind: Kind = "levels",
        levels: tuple[str, ...] = tuple(LEVELS),
        axis: Axis = "rows",
        rgb: bool = False,
    ) -> None:
        super().__init__()
        rows = [row for level in levels for row in LEVELS[level] if row < layout.rows]
        if kind == "style":
            chosen = [layer for layer in layout.layers if (rgb or not layer.is_rgb) and layer.row in rows]
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

    def lacks(self, level: str) -> bool:
        """Whether this is a mapper by levels, and has none for this level."""
        return bool({*self.where} & {*LEVELS}) and level not in self.where

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


@dataclass(frozen=True)
class Released:
    """A mapper that the released code trained.

    network: frozen; its input is w_plus, or the styles if it was trained in S.
    in_s: whether it was.
    text: what it was trained for; "" if the file does not say.
    """

    network: MapperNetwork
    in_s: bool
    text: str

    def says(self, prompt: str) -> bool:
        """Whether a text has every word of the one that the mapper was trained for."""
        return not self._unsaid(prompt)

    def _unsaid(self, prompt: str) -> list[str]:
        wanted, asked = (set(re.findall(r"[^\W_]+", text.lower())) for text in (self.text, prompt))
        return sorted(wanted - SMALL_WORDS - asked)

    def check_text(self, path: Path, prompt: str) -> None:
        """Raises UserError for a text that does not have every word of the one that the mapper was trained for."""
        if missing := self._unsaid(prompt):
            raise UserError(
                f"{path}: this mapper was trained for {self.text!r}, and {prompt!r} does not say {missing[0]!r}: ask "
                f"for that text, or give the mapper of this one"
            )


def read_released(path: Path, generator: Generator) -> Released:
    """A mapper of the released code, of StyleCLIP or of StyleGAN-NADA.

    In W+ it has the levels that are in the file. In S it has a network for each layer, all but toRGB, or all.
    Raises UserError for a file that is missing, damaged, or no mapper, for one that does not fit the generator, and for
    one that was trained with another generator, whose weights such a file repeats.
    """
    content = tensor_files.read(path, EXPECTED)
    if not isinstance(content, Mapping) or not isinstance(content.get("state_dict"), Mapping):
        raise UserError(f"{path}: holds {pickles.kind_of(content)}, expected {EXPECTED}: give another file")
    state = content["state_dict"]
    mapper, decoder = (_below(state, prefix) for prefix in ("mapper.", "decoder."))
    layout, rows = generator.config, [name for name in mapper if name.startswith("mapper_")]
    try:
        if rows:
            numbers = {int(name[len("mapper_") :].partition(".")[0]) for name in rows}
            covered = {f"mapper_{number}": layout.layers[number] for number in numbers}
            parts = {name: layer.name.replace(".", "_") for name, layer in covered.items()}
            tensors = {_renamed(name, parts): value for name, value in mapper.items()}
            network = MapperNetwork(layout, "style", rgb=any(layer.is_rgb for layer in covered.values()))
        else:
            tensors = {_renamed(name, RELEASED): value for name, value in mapper.items()}
            levels = tuple(level for level in LEVELS if any(key.startswith(f"parts.{level}.") for key in tensors))
            network = MapperNetwork(layout, "levels" if levels else "single", levels)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: no StyleCLIP mapper for rows of {layout.w_dim} ({reason}): give another file"
        ) from error
    fill(network, tensors, path, f"a StyleCLIP mapper for rows of {layout.w_dim}", "give another file")
    options: Any = content.get("opts") if isinstance(content.get("opts"), Mapping) else {}
    lost = [
        level
        for level, span in LEVELS.items()
        if options.get(f"no_{level}_mapper") is False and span.start < layout.rows and network.lacks(level)
    ]
    if lost:
        raise UserError(f"{path}: its options name a mapper of {lost[0]} rows, and it is missing: get the file again")
    fault = rosinality.difference(decoder, generator) if decoder else "it holds no generator to compare with"
    if fault:
        raise UserError(
            f"{path}: this mapper was trained with another generator ({fault}): name the one that it was trained with"
        )
    return Released(network.eval().requires_grad_(False), bool(rows), str(options.get("description") or ""))


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {str(key).removeprefix(prefix): value for key, value in state.items() if str(key).startswith(prefix)}


def _renamed(name: str, parts: Mapping[str, str]) -> str:
    """Our name of a parameter of the released code. Raises KeyError for a part of another network."""
    return f"parts.{parts[name.partition('.')[0]]}.mapping.{name.rpartition('mapping.')[2]}"
