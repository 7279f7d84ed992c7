"""Small files as e4e, pSp and ReStyle write them, with random weights, and their latents by formulas written anew.

Shapes and names are those of the published files, with fewer units and channels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from stylegan2_files import public_state
from torch import Tensor

from t2ibench.networks.stylegan2 import Generator

UNITS = ((0, 16, 16), (1, 16, 32), (2, 32, 48), (3, 48, 48), (4, 48, 64))  # number, channels before and after
STRIDES = {0: 2, 1: 2, 2: 2, 3: 1, 4: 2}
TAPS = (1, 3, 4)  # units after which features are taken: the ends of the last three stages
WIDTH = 64  # of latents


def encoder_file(generator: Generator, kind: str, seed: int = 0, **options: Any) -> dict[str, Any]:
    """{state_dict, latent_avg, opts} for a generator of 64-dimensional w."""
    draw = torch.Generator().manual_seed(seed)
    rows, state = generator.config.rows, dict[str, Tensor]()

    def normal(name: str, *shape: int, scale: float = 1.0) -> None:
        state[f"encoder.{name}"] = scale * torch.randn(shape, generator=draw)

    def convolution(name: str, outputs: int, inputs: int, side: int, bias: bool = False) -> None:
        normal(f"{name}.weight", outputs, inputs, side, side, scale=(2 / (inputs * side * side)) ** 0.5)
        if bias:
            normal(f"{name}.bias", outputs, scale=0.1)

    def norm(name: str, channels: int) -> None:
        normal(f"{name}.bias", channels, scale=0.1)
        normal(f"{name}.running_mean", channels, scale=0.1)
        for key in ("weight", "running_var"):
            state[f"encoder.{name}.{key}"] = 0.5 + torch.rand(channels, generator=draw)
        state[f"encoder.{name}.num_batches_tracked"] = torch.tensor(7)

    restyle = "Backbone" in kind
    convolution("input_layer.0", 16, 6 if restyle else 3, 3)
    norm("input_layer.1", 16)
    normal("input_layer.2.weight", 16, scale=0.2)
    for unit, before, after in UNITS:
        to = f"body.{unit}.res_layer"
        norm(f"{to}.0", before)
        convolution(f"{to}.1", after, before, 3)
        normal(f"{to}.2.weight", after, scale=0.2)
        convolution(f"{to}.3", after, after, 3)
        norm(f"{to}.4", after)
        convolution(f"{to}.5.fc1", after // 16, after, 1)
        convolution(f"{to}.5.fc2", after, after // 16, 1)
        if before != after:
            convolution(f"body.{unit}.shortcut_layer.0", after, before, 1)
            norm(f"body.{unit}.shortcut_layer.1", after)
    for row in range(rows):
        for number in range(halvings(kind, row)):
            convolution(f"styles.{row}.convs.{2 * number}", WIDTH, WIDTH, 3, bias=True)
        normal(f"styles.{row}.linear.weight", WIDTH, WIDTH)
        normal(f"styles.{row}.linear.bias", WIDTH, scale=0.1)
    if not restyle:
        convolution("latlayer1", WIDTH, 48, 1, bias=True)
        convolution("latlayer2", WIDTH, 32, 1, bias=True)
    decoder = {f"decoder.{key}": value for key, value in public_state(generator).items()}
    opts = {"encoder_type": kind, "start_from_latent_avg": True, "dataset_type": "ffhq_encode", **options}
    mean = torch.randn(1, WIDTH, generator=draw).repeat(rows, 1)
    return {"state_dict": state | decoder, "latent_avg": mean, "opts": opts}


def halvings(kind: str, row: int) -> int:
    return 4 if "Backbone" in kind or row < 3 else 5 if row < 7 else 6


def offsets(state: dict[str, Tensor], kind: str, images: Tensor) -> Tensor:
    """What a network answers to images of 256 pixels, [B, L, 64]."""

    def get(name: str) -> Tensor:
        return state[f"encoder.{name}"]

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            get(f"{name}.{key}").view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def prelu(x: Tensor, name: str) -> Tensor:
        return torch.where(x > 0, x, x * get(f"{name}.weight").view(1, -1, 1, 1))

    x = prelu(norm(F.conv2d(images, get("input_layer.0.weight"), padding=1), "input_layer.1"), "input_layer.2")
    taps = []
    for unit, before, after in UNITS:
        to, stride = f"body.{unit}.res_layer", STRIDES[unit]
        y = prelu(F.conv2d(norm(x, f"{to}.0"), get(f"{to}.1.weight"), padding=1), f"{to}.2")
        y = norm(F.conv2d(y, get(f"{to}.3.weight"), stride=stride, padding=1), f"{to}.4")
        squeezed = F.conv2d(y.mean((2, 3), keepdim=True), get(f"{to}.5.fc1.weight")).clamp(min=0)
        y = y * torch.sigmoid(F.conv2d(squeezed, get(f"{to}.5.fc2.weight")))
        shortcut = x[:, :, ::stride, ::stride]
        if before != after:
            other = f"body.{unit}.shortcut_layer"
            shortcut = norm(F.conv2d(shortcut, get(f"{other}.0.weight")), f"{other}.1")
        x = y + shortcut
        if unit in TAPS:
            taps.append(x)
    fine, middle, coarse = taps

    def style(row: int, x: Tensor) -> Tensor:
        for number in range(halvings(kind, row)):
            name = f"styles.{row}.convs.{2 * number}"
            x = F.conv2d(x, get(f"{name}.weight"), get(f"{name}.bias"), stride=2, padding=1)
            x = torch.where(x > 0, x, 0.01 * x)
        assert x.shape[2:] == (1, 1)
        return x[:, :, 0, 0] @ get(f"styles.{row}.linear.weight").T / WIDTH**0.5 + get(f"styles.{row}.linear.bias")

    if "Backbone" in kind:
        maps = [coarse] * 3
    else:

        def up(x: Tensor, like: Tensor) -> Tensor:
            return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)

        second = up(coarse, middle) + F.conv2d(middle, get("latlayer1.weight"), get("latlayer1.bias"))
        third = up(second, fine) + F.conv2d(fine, get("latlayer2.weight"), get("latlayer2.bias"))
        maps = [coarse, second, third]
    rows = sum(key.endswith("linear.bias") for key in state)
    w = torch.stack([style(row, maps[0 if row < 3 else 1 if row < 7 else 2]) for row in range(rows)], dim=1)
    if kind in ("Encoder4Editing", "ProgressiveBackboneEncoder"):
        w = torch.cat([w[:, :1], w[:, :1] + w[:, 1:]], dim=1)
    return w
