"""Edges by PiDiNet (Su et al., ICCV 2021), from its released file `table5_pidinet.pth` or one of its smaller ones.

Its convolutions weigh differences of pixels: of each pixel to the middle (central), to the next one around the middle
(angular), or of an outer ring to an inner one (radial). Each is a convolution of pixels with other numbers, into which
it is converted here, as VideoComposer does. Which layer has which is not in the file; all released files of this kind
have the order "carv4": central, angular, radial, plain, four times.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.methods.composer.decompose.files import tensors_of
from t2ibench.networks.state import fill

EXPECTED = "PiDiNet with dilations and attention (table5_pidinet.pth)"
BLOCKS = (3, 4, 4, 4)  # in each of the four stages
WIDTHS = (1, 2, 4, 4)  # of the stages, in widths of the first
RING = (0, 1, 2, 5, 8, 7, 6, 3)  # the taps of a 3x3 kernel around its middle, clockwise
AROUND = [(row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
DILATIONS = (5, 7, 9, 11)


class Block(nn.Module):
    """A convolution of each channel and one across channels, added to the input. radial: it has a kernel of 5."""

    def __init__(self, inputs: int, outputs: int, *, radial: bool, halves: bool) -> None:
        super().__init__()
        side = 5 if radial else 3
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if halves else None
        self.conv1 = nn.Conv2d(inputs, inputs, side, padding=side // 2, groups=inputs, bias=False)
        self.conv2 = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is None:
            return x + self.conv2(self.conv1(x).relu())
        x = F.max_pool2d(x, 2)
        return self.shortcut(x) + self.conv2(self.conv1(x).relu())


class Dilated(nn.Module):
    """The sum of four convolutions that look farther and farther."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 1)
        for number, reach in enumerate(DILATIONS, start=1):
            layer = nn.Conv2d(outputs, outputs, 3, dilation=reach, padding=reach, bias=False)
            self.add_module(f"conv2_{number}", layer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x.relu())
        return torch.stack([layer(x) for name, layer in self.named_children() if name != "conv1"]).sum(0)


class Attention(nn.Module):
    """The input, weighted at each place."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(x.relu())).sigmoid()


class Reduced(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class PiDiNet(nn.Module):
    """From colours [B, 3, H, W], normalised by ImageNet's mean and deviation, to probabilities of edges [B, 1, H, W].

    Names are those of the released file. width: channels of the first stage; inner: those after the dilations.
    """

    def __init__(self, width: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.init_block = nn.Conv2d(3, width, 3, padding=1, bias=False)
        before, place = width, 1
        for stage, (count, times) in enumerate(zip(BLOCKS, WIDTHS, strict=True), start=1):
            for number in range(1, count + 1):
                halves = stage > 1 and number == 1
                block = Block(before, times * width, radial=place % 4 == 2, halves=halves)
                self.add_module(f"block{stage}_{number}", block)
                before, place = times * width, place + 1
        self.dilations = nn.ModuleList(Dilated(times * width, inner) for times in WIDTHS)
        self.attentions = nn.ModuleList(Attention(inner, hidden) for _ in WIDTHS)
        self.conv_reduces = nn.ModuleList(Reduced(inner) for _ in WIDTHS)
        self.classifier = nn.Conv2d(len(WIDTHS), 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        size, maps = x.shape[2:], []
        x = self.init_block(x)
        for stage, count in enumerate(BLOCKS, start=1):
            for number in range(1, count + 1):
                x = self.get_submodule(f"block{stage}_{number}")(x)
            y = self.conv_reduces[stage - 1](self.attentions[stage - 1](self.dilations[stage - 1](x)))
            maps.append(F.interpolate(y, size, mode="bilinear", align_corners=False))
        return self.classifier(torch.cat(maps, 1)).sigmoid()


def read(path: Path) -> PiDiNet:
    """The network of a file, frozen. Raises UserError for a file that is missing or is no such network."""
    tensors = tensors_of(path, EXPECTED)
    try:
        width, inner = len(tensors["init_block.weight"]), len(tensors["dilations.0.conv1.weight"])
        hidden = len(tensors["attentions.0.conv1.weight"])
    except KeyError as error:
        raise UserError(f"{path}: it has no {error.args[0]}, expected {EXPECTED}: name another file") from error
    with torch.device("meta"):
        network = PiDiNet(width, inner, hidden)
    return fill(network, converted(tensors), path, EXPECTED, "name another file").eval().requires_grad_(False)


def converted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with kernels of pixels in place of kernels of differences."""
    names = ["init_block.weight"]
    names += [f"block{stage}_{n}.conv1.weight" for stage, count in enumerate(BLOCKS, 1) for n in range(1, count + 1)]
    kinds = (central, angular, radial, lambda kernel: kernel)
    whole = dict(tensors)
    for place, name in enumerate(names):
        kernel = whole.get(name)
        if kernel is not None and kernel.ndim == 4 and kernel.shape[2:] == (3, 3):
            whole[name] = kinds[place % 4](kernel)
    return whole


def central(kernel: Tensor) -> Tensor:
    """Of the differences of all pixels to the one in the middle."""
    pixels = kernel.clone()
    pixels[:, :, 1, 1] -= kernel.sum((2, 3))
    return pixels


def angular(kernel: Tensor) -> Tensor:
    """Of the differences of each pixel to the next one around the middle."""
    taps, pixels = kernel.flatten(2), torch.zeros_like(kernel).flatten(2)
    for tap, following in zip(RING, RING[1:] + RING[:1], strict=True):
        pixels[:, :, tap] += taps[:, :, tap]
        pixels[:, :, following] -= taps[:, :, tap]
    return pixels.view_as(kernel)


def radial(kernel: Tensor) -> Tensor:
    """Of the differences of pixels at distance 2 to those at distance 1: a kernel of 5. The first tap is not used."""
    pixels = kernel.new_zeros(*kernel.shape[:2], 5, 5)
    for tap, (row, column) in enumerate(AROUND, start=1):
        pixels[:, :, 2 * row, 2 * column] += kernel.flatten(2)[:, :, tap]
        pixels[:, :, 1 + row, 1 + column] -= kernel.flatten(2)[:, :, tap]
    return pixels
