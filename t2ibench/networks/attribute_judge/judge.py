"""The network of the attribute judge, and the class that applies it to images."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from t2ibench.core.errors import UserError
from t2ibench.core.images import check_uint8, to_float
from t2ibench.networks import weights
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import rebuilt

BATCH = 50  # images in the network at once: the maps of more leave the processor's cache


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, the first with `stride`."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(outside)
        pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.skip = (
            nn.Identity()
            if inside == outside and stride == 1
            else nn.Sequential(pool, nn.Conv2d(inside, outside, 1, bias=False))
        )

    def fuse(self) -> None:
        """Take each normalisation into its convolution."""
        self.conv1, self.norm1 = _fused(self.conv1, self.norm1), nn.Identity()
        self.conv2, self.norm2 = _fused(self.conv2, self.norm2), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        y += self.skip(x)
        return F.relu(y, inplace=True)


def _fused(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    return fuse_conv_bn_eval(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm))


def trunk(widths: Sequence[int], features: int, size: int) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """The stem, the stages, and the layers that lead from the last map to the features.

    Images are floats in [-1, 1], [B, 3, size, size]. Blocks of 2x2 pixels are first folded into channels, which keeps
    all detail (a mouth is six pixels wide) at a quarter of the cost. The last map has sides of `size / 2**stages`. It
    is flattened and not averaged, because the position of a facial part matters.
    """
    stem = nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.Conv2d(12, widths[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    )
    inside = [widths[0], *widths[:-1]]
    stages = nn.Sequential(
        *(Block(i, o, 1 if stage == 0 else 2) for stage, (i, o) in enumerate(zip(inside, widths, strict=True)))
    )
    side = size // 2 ** len(widths)
    flat = nn.Sequential(
        nn.Flatten(), nn.Linear(widths[-1] * side * side, features), nn.BatchNorm1d(features), nn.ReLU()
    )
    return stem, stages, flat


class Network(nn.Module):
    """From images to features [B, D] and to the logits of all attributes side by side, [B, sum of V]."""

    def __init__(self, outputs: int, widths: Sequence[int], features: int, size: int) -> None:
        super().__init__()
        self.stem, self.stages, self.features = trunk(widths, features, size)
        self.heads = nn.Linear(features, outputs)

    def fuse(self) -> None:
        """Make a trained network faster, for evaluation only: normalisations are taken into their convolutions, and
        the weights lie as the processor's kernels read them. What it gives changes by rounding alone.
        """
        self.stem[1], self.stem[2] = _fused(self.stem[1], self.stem[2]), nn.Identity()
        for block in self.stages:
            cast(Block, block).fuse()
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.stages(self.stem(images)))
        return features, self.heads(features)


class AttributeJudge:
    """Predicts attributes of images, and gives the features behind them. Each answer depends on its own image alone.

    attributes: the values of each attribute, in the order of the network's outputs.
    temperatures: of each attribute, for calibration.
    size: side of the images in pixels.
    dimension: of the features.
    """

    def __init__(self, weights: weights.Weights, device: torch.device | None = None) -> None:
        self.name, self.sha256, config = weights.name, weights.sha256, weights.config
        self.attributes: dict[str, list[str]] = dict(
            sorted(config["attributes"].items())
        )  # the order of the heads: a card keeps none
        self.temperatures: dict[str, float] = dict(config["temperatures"])
        if self.temperatures.keys() != self.attributes.keys():
            raise UserError(
                f"{self.name}: weights do not fit the config of their card (temperatures of "
                f"{', '.join(sorted(self.temperatures)) or 'nothing'}, attributes {', '.join(self.attributes)}): train "
                f"or fetch them again"
            )
        self.size, self.dimension, self.device = (
            int(config["size"]),
            int(config["features"]),
            device or torch.device("cpu"),
        )
        outputs = sum(map(len, self.attributes.values()))
        network = rebuilt(weights, lambda config: Network(outputs, config["widths"], self.dimension, self.size))
        network.fuse()
        self.network = network.to(self.device)

    @torch.no_grad()
    @full_float32()
    def logits(self, images: Tensor, batch: int = BATCH) -> tuple[Tensor, Tensor]:
        """Features [B, D], and uncalibrated logits of all attributes side by side, [B, sum of V].

        images: uint8 [B, 3, size, size].
        Raises ValueError for images that are not uint8, and UserError for another size.
        """
        check_uint8(images, self.name)
        if images.shape[2:] != (self.size, self.size):
            height, width = images.shape[2:]
            raise UserError(
                f"{self.name} reads {self.size}x{self.size} images, got {height}x{width}: scale them, or train a "
                f"judge at that size"
            )
        features, logits = (
            torch.empty(len(images), self.dimension),
            torch.empty(len(images), self.network.heads.out_features),
        )
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            some = to_float(images[rows].to(self.device)).contiguous(memory_format=torch.channels_last)
            features[rows], logits[rows] = self.network(some)
        return features, logits

    def read(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features [B, D], and the calibrated probabilities [B, V] of each attribute, in one pass.

        Columns are in the order of `attributes`. images: as for `logits`.
        """
        features, logits = self.logits(images)
        return features, probabilities(logits, self.attributes, self.temperatures)

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Calibrated probabilities [B, V] by attribute; see `read`."""
        return self.read(images)[1]

    def features(self, images: Tensor) -> Tensor:
        """Penultimate features [B, D], float32; see `read`."""
        return self.read(images)[0]


def probabilities(
    logits: Tensor, attributes: Mapping[str, Sequence[str]], temperatures: Mapping[str, float]
) -> dict[str, Tensor]:
    """Calibrated probabilities [B, V] of each attribute: the softmax of its logits divided by its temperature.

    logits: of all attributes side by side, [B, sum of V].
    """
    pieces = logits.split([len(values) for values in attributes.values()], dim=1)
    return {name: (piece / temperatures[name]).softmax(1) for name, piece in zip(attributes, pieces, strict=True)}
