"""Files of Composer's published extractors with random weights, and what these networks answer, by formulas written
anew: PiDiNet as differences of pixels, the simplification of sketches layer by layer.

Names and layouts are those of the published files, with fewer channels and blocks.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch7_files import Thing, write

BLOCKS = {1: 3, 2: 4, 3: 4, 4: 4}  # of each stage of PiDiNet
KINDS = ["cd", "ad", "rd", "cv"] * 4  # "carv4": the differences of its 16 layers
MEAN, STD = 0.96, 0.09  # in the file of Lua Torch


def normal(draw: torch.Generator, *shape: int, gain: float = 1.0) -> Tensor:
    fan = max(1, torch.Size(shape).numel() // shape[0]) if len(shape) > 1 else 100
    return gain * torch.randn(shape, generator=draw) / fan**0.5


def pidinet_state(width: int = 4, inner: int = 3, hidden: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """As `table5_pidinet.pth` holds it, with the prefix of DataParallel."""
    draw, widths = torch.Generator().manual_seed(seed), {1: width, 2: 2 * width, 3: 4 * width, 4: 4 * width}
    state, before = {"init_block.weight": normal(draw, width, 3, 3, 3)}, width
    for stage, count in BLOCKS.items():
        for number in range(1, count + 1):
            to, name = widths[stage], f"block{stage}_{number}"
            if stage > 1 and number == 1:
                state[f"{name}.shortcut.weight"] = normal(draw, to, before, 1, 1)
                state[f"{name}.shortcut.bias"] = normal(draw, to)
            state[f"{name}.conv1.weight"] = normal(draw, before, 1, 3, 3)
            state[f"{name}.conv2.weight"] = normal(draw, to, before, 1, 1)
            before = to
    for k in range(4):
        at = f"dilations.{k}"
        state[f"{at}.conv1.weight"], state[f"{at}.conv1.bias"] = (
            normal(draw, inner, widths[k + 1], 1, 1),
            normal(draw, inner),
        )
        for number in range(1, 5):
            state[f"{at}.conv2_{number}.weight"] = normal(draw, inner, inner, 3, 3)
        at = f"attentions.{k}"
        state[f"{at}.conv1.weight"], state[f"{at}.conv1.bias"] = normal(draw, hidden, inner, 1, 1), normal(draw, hidden)
        state[f"{at}.conv2.weight"] = normal(draw, 1, hidden, 3, 3)
        state[f"conv_reduces.{k}.conv.weight"] = normal(draw, 1, inner, 1, 1)
        state[f"conv_reduces.{k}.conv.bias"] = normal(draw, 1)
    state["classifier.weight"], state["classifier.bias"] = normal(draw, 1, 4, 1, 1), normal(draw, 1)
    return {f"module.{name}": value for name, value in state.items()}


def differences(x: Tensor, kernel: Tensor, kind: str, alone: bool) -> Tensor:
    """A convolution of differences of pixels, each taken from the image; outside of it pixels are 0.

    alone: whether each channel has a kernel of its own.
    """
    padded, (height, width) = F.pad(x, (2, 2, 2, 2)), x.shape[2:]

    def at(down: int, right: int) -> Tensor:
        return padded[:, :, 2 + down : 2 + down + height, 2 + right : 2 + right + width]

    clockwise = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    total: Any = 0.0
    for tap in range(9):
        down, right = tap // 3 - 1, tap % 3 - 1
        if kind == "cv":
            value = at(down, right)
        elif kind == "cd":
            value = at(down, right) - at(0, 0)
        elif (down, right) == (0, 0):
            value = torch.zeros_like(x)  # nothing is around the middle
        elif kind == "ad":
            value = at(down, right) - at(*clockwise[(clockwise.index((down, right)) + 1) % 8])
        else:  # the release gives the taps 1 to 8 to the places around the middle, row by row
            value = at(2 * down, 2 * right) - at(down, right)
        places = [place for place in range(9) if place != 4]
        weight = kernel.flatten(2)[:, :, places.index(tap) + 1 if kind == "rd" and tap != 4 else tap]
        total = total + (
            value * weight[:, 0].view(1, -1, 1, 1) if alone else torch.einsum("bihw,oi->bohw", value, weight)
        )
    return total


def edges_of(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """Probabilities of edges [B, 1, H, W] of normalised colours [B, 3, H, W]."""
    get = {name.removeprefix("module."): value for name, value in state.items()}

    def mixed(x: Tensor, name: str) -> Tensor:
        y = torch.einsum("bihw,oi->bohw", x, get[f"{name}.weight"][:, :, 0, 0])
        return y + get[f"{name}.bias"].view(1, -1, 1, 1) if f"{name}.bias" in get else y

    kinds, maps = iter(KINDS), []
    x = differences(images, get["init_block.weight"], next(kinds), alone=False)
    for stage, count in BLOCKS.items():
        for number in range(1, count + 1):
            name = f"block{stage}_{number}"
            if stage > 1 and number == 1:
                x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
            y = mixed(
                differences(x, get[f"{name}.conv1.weight"], next(kinds), alone=True).clamp(min=0), f"{name}.conv2"
            )
            x = y + (mixed(x, f"{name}.shortcut") if stage > 1 and number == 1 else x)
        k = stage - 1
        y = mixed(x.clamp(min=0), f"dilations.{k}.conv1")
        kernels = {3 + 2 * n: get[f"dilations.{k}.conv2_{n}.weight"] for n in range(1, 5)}
        looks = [F.conv2d(y, kernel, dilation=reach, padding=reach) for reach, kernel in kernels.items()]
        y = torch.stack(looks).sum(0)
        weight = F.conv2d(
            mixed(y.clamp(min=0), f"attentions.{k}.conv1"), get[f"attentions.{k}.conv2.weight"], padding=1
        )
        y = mixed(y * torch.sigmoid(weight), f"conv_reduces.{k}.conv")
        maps.append(F.interpolate(y, images.shape[2:], mode="bilinear", align_corners=False))
    return torch.sigmoid(mixed(torch.cat(maps, 1), "classifier"))


UP, DOWN = (14, 17, 20), (0, 3, 6)  # convolutions of the simplification that change the sides


def simplification_state(width: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """As VideoComposer's copy holds it, under `layers.`."""
    draw, state, before = torch.Generator().manual_seed(seed), dict[str, Tensor](), 1
    for place in range(23):
        side, to = (5 if place == 0 else 4 if place in UP else 3), 1 if place == 22 else width + place % 2
        to = before if place in UP else to
        shape = (before, to, side, side) if place in UP else (to, before, side, side)
        state[f"layers.{2 * place}.weight"] = normal(draw, *shape, gain=1.5)
        state[f"layers.{2 * place}.bias"] = normal(draw, to)
        before = to
    return state


def write_simplification(path: Path, state: dict[str, Tensor], package: str = "nn", rows: bool = False) -> Path:
    """The file of Lua Torch, {model, mean, std}. rows: in the old form, whose kernels are rows."""
    layers: list[Any] = []
    for place in range(23):
        weight, bias = (state[f"layers.{2 * place}.{name}"].numpy() for name in ("weight", "bias"))
        side = weight.shape[-1]
        kind = "SpatialFullConvolution" if place in UP else "SpatialConvolutionMM" if rows else "SpatialConvolution"
        if rows and place not in UP:
            weight = weight.reshape(len(weight), -1)
        layers += [
            Thing(f"{package}.{kind}", {"kW": side, "kH": side, "weight": weight, "bias": bias}),
            Thing("nn.ReLU" if place < 22 else "nn.Sigmoid", {"inplace": True}),
        ]
    inner = Thing("nn.Sequential", {"modules": layers[:4]})  # sequences may lie in one another
    model = Thing("nn.Sequential", {"modules": [inner, *layers[4:]]})
    return write(path, {"model": model, "mean": MEAN, "std": STD})


def simplified(state: dict[str, Tensor], x: Tensor, mean: float, std: float) -> Tensor:
    x = (x - mean) / std
    for place in range(23):
        weight, bias = (state[f"layers.{2 * place}.{name}"] for name in ("weight", "bias"))
        if place in UP:
            x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
        else:
            x = F.conv2d(x, weight, bias, stride=2 if place in DOWN else 1, padding=weight.shape[-1] // 2)
        x = torch.sigmoid(x) if place == 22 else x.clamp(min=0)
    return x


def midas_state(width: int = 64, blocks: int = 4, fusion: int = 8, seed: int = 0) -> dict[str, Tensor]:
    """As `dpt_large-midas-2f21e586.pt` holds it, at patches of 16 pixels; necks of 4, 6, 8 and 10 channels."""
    draw, necks, state = torch.Generator().manual_seed(seed), (4, 6, 8, 10), dict[str, Tensor]()

    def layer(name: str, *shape: int, bias: int | None = None, gain: float = 1.0) -> None:
        state[f"{name}.weight"] = normal(draw, *shape, gain=gain)
        if bias != 0:
            state[f"{name}.bias"] = normal(draw, bias or shape[0])

    model = "pretrained.model"
    state[f"{model}.cls_token"], state[f"{model}.pos_embed"] = normal(draw, 1, 1, width), normal(draw, 1, 577, width)
    layer(f"{model}.patch_embed.proj", width, 3, 16, 16, gain=3.0)
    for number in range(blocks):
        at = f"{model}.blocks.{number}"
        for name in ("norm1", "norm2"):
            layer(f"{at}.{name}", width)
            state[f"{at}.{name}.weight"] += 1
        layer(f"{at}.attn.qkv", 3 * width, width)
        layer(f"{at}.attn.proj", width, width)
        layer(f"{at}.mlp.fc1", 4 * width, width)
        layer(f"{at}.mlp.fc2", width, 4 * width)
    layer(f"{model}.norm", width)
    layer(f"{model}.head", 10, width)
    for stage, neck in enumerate(necks, start=1):
        at = f"pretrained.act_postprocess{stage}"
        layer(f"{at}.0.project.0", width, 2 * width)
        layer(f"{at}.3", neck, width, 1, 1)
        if stage != 3:
            side = {1: 4, 2: 2, 4: 3}[stage]
            layer(f"{at}.4", neck, neck, side, side, gain=2.0)
        layer(f"scratch.layer{stage}_rn", fusion, neck, 3, 3, bias=0)
        at = f"scratch.refinenet{stage}"
        for name in ("resConfUnit1.conv1", "resConfUnit1.conv2", "resConfUnit2.conv1", "resConfUnit2.conv2"):
            layer(f"{at}.{name}", fusion, fusion, 3, 3)
        layer(f"{at}.out_conv", fusion, fusion, 1, 1)
    layer("scratch.output_conv.0", fusion // 2, fusion, 3, 3)
    layer("scratch.output_conv.2", 5, fusion // 2, 3, 3)
    layer("scratch.output_conv.4", 1, 5, 1, 1, gain=4.0)
    state["scratch.output_conv.4.bias"] += 3.0  # so that few places are cut at 0
    return state


def of_videocomposer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names of `midas_v3_dpt_large.pth`."""
    named = dict[str, Tensor]()
    for name, value in state.items():
        words = name.split(".")
        if words[:2] == ["pretrained", "model"]:
            if words[2] in ("norm", "head"):
                continue
            start = {"cls_token": "cls_embedding", "pos_embed": "pos_embedding", "patch_embed": "patch_embedding"}
            words = [start.get(words[2], words[2]), *words[4 if words[2] == "patch_embed" else 3 :]]
            words = [{"qkv": "to_qkv", "fc1": "0", "fc2": "2"}.get(word, word) for word in words]
        elif words[0] == "pretrained":
            stage, inner = words[1][-1], words[2]
            words = {"0": [f"fc{stage}", "0"], "3": [f"conv{stage}", "0"], "4": [f"conv{stage}", "1"]}[inner] + words[
                -1:
            ]
        elif words[1].endswith("_rn"):
            stage = words[1][5]
            words = [f"conv{stage}", "1" if stage == "3" else "2", words[-1]]
        elif words[1].startswith("refinenet"):
            unit = {"resConfUnit1": "layer1", "resConfUnit2": "layer2", "out_conv": "conv_out"}[words[2]]
            within = [] if unit == "conv_out" else ["residual", {"conv1": "1", "conv2": "3"}[words[3]]]
            words = [f"fusion{words[1][-1]}", unit, *within, words[-1]]
        else:
            words = ["head", *words[2:]]
            value = value.transpose(0, 1) if words[1:] == ["4", "weight"] else value
        named[".".join(words)] = value.clone()
    return named
