"""Which layers learn: a fixed set (`phase`), or an adaptive selection.

The adaptive selection takes the layers whose rows of W+ the target text would move most. A layer is a modulated
convolution of StyleGAN2 with its style affine, noise gain and bias, named as in NVlabs' keys ("b8.conv0"). Two more
layers are "const" and "mapping". Row r of W+ drives one convolution and, if r is odd, the toRGB before it.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import Config as Layout
from t2ibench.networks.stylegan2 import Generator

RATE = 0.01  # learning rate of the descent on latents


def convolutions(layout: Layout) -> list[str]:
    """The names of the convolutions: conv1 at 4 pixels, then the two of each resolution."""
    return [layer.name for layer in layout.layers if not layer.is_rgb]


def phase_layers(layout: Layout, phase: str) -> list[str]:
    """The layers of a fixed set.

    "all" contains the mapping, as in the release. It does not change, because both generators get w from the frozen
    one.
    """
    first, *others = convolutions(layout)
    if phase == "all":
        return ["mapping", "const", *(layer.name for layer in layout.layers)]
    spans = {
        "default": slice(None),
        "texture": slice(2, 10),
        "shape": slice(0, 2),
        "shape_expanded": slice(0, 3),
        "no_fine": slice(0, 10),
    }
    return ["const", first, *others[spans[phase]]]


def row_table(layout: Layout, row_map: Literal["corrected", "reference"]) -> list[str]:
    """The layer that learns if row r of W+ is chosen, for r = 0, 1, …

    row_map: "corrected" gives the convolution that row r drives; the last row drives none. "reference" has the toRGB at
    4 pixels in second place, so that every later row stands for the convolution before its own.
    """
    first, *others = convolutions(layout)
    return [first, *others] if row_map == "corrected" else [first, "b4.torgb", *others]


def chosen(scores: Tensor, table: list[str], k: int) -> list[str]:
    """The layers of the k rows with the highest scores [L], in the order of the rows.

    Rows beyond the table cannot be chosen.
    """
    rows = scores[: len(table)].topk(min(k, len(table))).indices
    return [table[row] for row in sorted(rows.tolist())]


def row_scores(loss: Callable[[Tensor], Tensor], w_plus: Tensor, iterations: int = 1) -> Tensor:
    """How far gradient descent on w_plus [B, L, w_dim] moves each row: mean |w' - w|, [L].

    loss: a function from latents to a scalar. Everything else it depends on stays as it is and gets no gradient.
    """
    travelled = torch.zeros_like(w_plus)
    for _ in range(iterations):
        moved = (w_plus - travelled).detach().requires_grad_(True)
        [gradient] = torch.autograd.grad(loss(moved), moved)
        travelled += RATE * gradient
    return travelled.abs().mean(dim=(0, 2))


def parameters_of(
    generator: Generator,
    layers: list[str],
    train_affine: bool = True,
    train_kernels: bool = True,
    train_noise: bool = True,
) -> dict[str, nn.Parameter]:
    """The parameters of layers, by key. Raises UserError if none is left."""
    parameters = {key: value for key, value in generator.named_parameters() if layer_of(key) in layers}
    if not train_affine:
        parameters = {key: value for key, value in parameters.items() if ".affine." not in key}
    if not train_kernels:
        parameters = {key: value for key, value in parameters.items() if not is_kernel(key)}
    if not train_noise:
        parameters = {key: value for key, value in parameters.items() if not key.endswith(".noise_strength")}
    if not parameters:
        raise UserError("stylegan_nada: no parameter is left to learn: set `layers` or another `phase`")
    return parameters


def layer_of(key: str) -> str:
    """The layer that a parameter belongs to: "blocks.b8.conv0.affine.weight" to "b8.conv0"."""
    parts = key.split(".")
    return ".".join(parts[1:3]) if parts[0] == "blocks" else parts[0]


def is_kernel(key: str) -> bool:
    """Whether a parameter is the weight of a convolution: "blocks.b8.conv0.weight"."""
    parts = key.split(".")
    return parts[0] == "blocks" and len(parts) == 4 and parts[-1] == "weight"
