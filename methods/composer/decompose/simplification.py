"""Sketches made simple (Simo-Serra et al., TOG 2018), from the released `model_gan.t7` or VideoComposer's copy of it.

The network has 23 convolutions, three of which halve the sides and three of which double them. The Lua Torch file also
holds the mean and deviation of the grey values it was trained on; a copy without them gets those of the file "gan".
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t2ibench.core import torch7
from t2ibench.core.containers import kind_of
from t2ibench.core.errors import UserError
from t2ibench.methods.composer.decompose.files import tensors_of
from t2ibench.networks.state import fill

EXPECTED = "the network that simplifies sketches (model_gan.t7, sketch_simplification_gan.pth)"
LAYERS = 23
HALVES, DOUBLES = (0, 3, 6), (14, 17, 20)  # places of the convolutions that change the sides
MEAN, STD = 0.9664114577640158, 0.0858381272736797  # of the grey values behind the file "gan"
CONVOLUTIONS = ("SpatialConvolution", "SpatialConvolutionMM", "SpatialFullConvolution")
OTHERS = ("ReLU", "Sigmoid")  # layers without weights


class Simplification(nn.Module):
    """From grey images [B, 1, H, W] in [0, 1], dark lines on white, to cleaner ones; sides are multiples of 8.

    widths: the channels before the first convolution and after each of the 23.
    """

    def __init__(self, widths: list[int], mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        layers: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(pairwise(widths)):
            if place in DOUBLES:
                layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1))
            else:
                side = 3 if place else 5
                layers.append(nn.Conv2d(inputs, outputs, side, 2 if place in HALVES else 1, side // 2))
            layers.append(nn.ReLU() if place < LAYERS - 1 else nn.Sigmoid())
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x - self.mean) / self.std)


def read(path: Path) -> Simplification:
    """The network of a file, frozen. Raises UserError for a file that is missing or is no such network."""
    mean, std = MEAN, STD
    if kind_of(path, EXPECTED) == "torch7":
        tensors, mean, std = _of_lua(path)
    else:
        tensors = {name.removeprefix("layers."): value for name, value in tensors_of(path, EXPECTED).items()}
    try:
        biases = [len(tensors[f"{2 * place}.bias"]) for place in range(LAYERS)]
    except (KeyError, TypeError) as error:
        fault = f"it has no {error.args[0]}" if isinstance(error, KeyError) else "a bias is a number"
        raise UserError(f"{path}: {fault}, expected {EXPECTED}: name another file") from error
    with torch.device("meta"):
        network = Simplification([1, *biases], mean, std)
    named = {f"layers.{name}": value for name, value in tensors.items()}
    return fill(network, named, path, EXPECTED, "name another file").eval().requires_grad_(False)


def _of_lua(path: Path) -> tuple[dict[str, Tensor], float, float]:
    """Tensors by the places of their layers, the mean and the deviation, of a file {model, mean, std}."""
    content = torch7.read(path, EXPECTED, known=lambda name: name.startswith(("nn.", "cudnn.")))
    tensors: dict[str, Tensor] = {}
    try:
        layers = [*_flat(content["model"])]
        mean, std = float(content["mean"]), float(content["std"])
        if not std > 0:
            raise ValueError(f"std is {std}")
        for number, layer in enumerate(layers):
            kind = layer.name.partition(".")[2]
            if kind not in (CONVOLUTIONS if number % 2 == 0 else OTHERS):
                raise ValueError(f"{layer.name} is layer {number + 1}")
            if number % 2 == 0:
                weight, bias = (np.array(layer[name], np.float32) for name in ("weight", "bias"))
                if weight.ndim == 2:  # an old form of the layer, whose kernels are rows
                    side = int(layer["kW"])
                    weight = weight.reshape(len(weight), -1, side, side)
                tensors[f"{number}.weight"], tensors[f"{number}.bias"] = map(torch.from_numpy, (weight, bias))
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: another network ({error}), expected {EXPECTED}: name another file") from error
    return tensors, mean, std


def _flat(module: Any) -> Any:
    """The layers of a network of Lua Torch, those of sequences within sequences too."""
    if module.name.partition(".")[2] == "Sequential":
        for part in module["modules"].listed():
            yield from _flat(part)
    else:
        yield module
