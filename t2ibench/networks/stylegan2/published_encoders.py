"""Encoders that others published, from an image to W+: e4e (Tov et al., TOG 2021), pSp (Richardson et al., CVPR 2021)
and ReStyle (Alaluf et al., ICCV 2021).

All have the residual body of ArcFace, with features at a quarter, an eighth and a sixteenth of the input's side, and a
small convolutional network for each row of W+. The kinds of e4e and pSp have the same parameters, so the options in the
file tell which it is:

- pSp: each row has a latent of its own;
- e4e: the first row's latent is that of all rows, to which the other rows add theirs;
- ReStyle: a network of either kind looks at the image beside its own last drawing, five times, and adds to the latents.

The input is an image of 256 pixels, aligned as the network's training data was (for faces: as in FFHQ).
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core import pickles, tensor_files
from t2ibench.core.errors import UserError
from t2ibench.networks.arcface import Unit
from t2ibench.networks.state import fill
from t2ibench.networks.stylegan2 import rosinality
from t2ibench.networks.stylegan2.network import Generator, Linear

SIDE = 256  # pixels of the input
COARSE, MIDDLE = 3, 7  # rows below read the coarsest features, or those twice as fine; the others the finest
PASSES = 5  # of ReStyle's inference
Kind = Literal["GradualStyleEncoder", "Encoder4Editing", "BackboneEncoder", "ProgressiveBackboneEncoder"]
PYRAMIDS = ("GradualStyleEncoder", "Encoder4Editing")  # read features of three scales; the others, ReStyle's, of one
SHARED = ("Encoder4Editing", "ProgressiveBackboneEncoder")  # the first row's latent is that of all rows
KINDS = (*PYRAMIDS, "BackboneEncoder", "ProgressiveBackboneEncoder")
EXPECTED = "an encoder of e4e, pSp or ReStyle ({state_dict, latent_avg, opts})"


class StyleBlock(nn.Module):
    """From features [B, width, h, w] to a latent [B, width]: each convolution halves the side."""

    def __init__(self, width: int, halvings: int) -> None:
        super().__init__()
        layers = [[nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU()] for _ in range(halvings)]
        self.convs = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.linear = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class Network(nn.Module):
    """From images [B, 3, 256, 256] in [-1, 1] (ReStyle: [B, 6, 256, 256]) to offsets [B, L, width].

    stages: the number of residual units of each width, from fine to coarse.
    """

    def __init__(self, kind: Kind, stages: Mapping[int, int], rows: int) -> None:
        super().__init__()
        widths = list(stages)
        inputs = 3 if kind in PYRAMIDS else 6
        self.kind, self.rows = kind, rows
        self.input_layer = nn.Sequential(
            nn.Conv2d(inputs, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        units, before = [], widths[0]
        for width, count in stages.items():
            units += [Unit(before, width, stride=2), *(Unit(width, width, stride=1) for _ in range(count - 1))]
            before = width
        self.body = nn.Sequential(*units)
        self.ends = [sum(list(stages.values())[: k + 1]) - 1 for k in range(len(stages))]  # last unit of each stage
        deeper = (0, 1, 2) if kind in PYRAMIDS else (0, 0, 0)
        halvings = [4 + deeper[(row >= COARSE) + (row >= MIDDLE)] for row in range(rows)]
        self.width = before  # of a row
        self.styles = nn.ModuleList(StyleBlock(before, count) for count in halvings)
        if kind in PYRAMIDS:
            self.latlayer1, self.latlayer2 = nn.Conv2d(widths[-2], before, 1), nn.Conv2d(widths[-3], before, 1)

    def forward(self, images: Tensor) -> Tensor:
        x, ends = self.input_layer(images), []
        for number, unit in enumerate(self.body):
            x = unit(x)
            if number in self.ends:
                ends.append(x)
        scales = [x, x, x]
        if self.kind in PYRAMIDS:
            scales[1] = added(x, self.latlayer1(ends[-2]))
            scales[2] = added(scales[1], self.latlayer2(ends[-3]))
        rows = [style(scales[(row >= COARSE) + (row >= MIDDLE)]) for row, style in enumerate(self.styles)]
        if self.kind in SHARED:
            rows = [rows[0], *(rows[0] + row for row in rows[1:])]
        return torch.stack(rows, dim=1)


def added(coarse: Tensor, fine: Tensor) -> Tensor:
    """The coarse features, enlarged so that corners meet corners, plus the fine ones."""
    return F.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=True) + fine


@dataclass(frozen=True)
class PublishedEncoder:
    """A frozen network, and how its released code uses it.

    start: what its offsets are added to, [L, w_dim].
    cars: whether it saw cars: three quarters of an image's height, at 192 x 256 pixels.
    """

    network: Network
    start: Tensor
    cars: bool

    @torch.no_grad()
    def encode(self, generator: Generator, images: Tensor) -> Tensor:
        """w_plus [B, L, w_dim] of images [B, 3, H, H], floats in [-1, 1]; row i depends on image i alone."""
        height, start = images.shape[2], self.start.to(images.device)
        shown = slice(height // 8, height - height // 8) if self.cars else slice(None)
        sides = (SIDE * 3 // 4 if self.cars else SIDE, SIDE)
        given = F.interpolate(images[:, :, shown], sides, mode="bilinear", antialias=True)
        w_plus = start.expand(len(images), -1, -1)
        if self.network.kind in PYRAMIDS:
            return w_plus + self.network(given)
        for _ in range(PASSES):
            drawn = generator.synthesis(generator.style(w_plus))[:, :, shown]
            w_plus = w_plus + self.network(torch.cat([given, F.adaptive_avg_pool2d(drawn, sides)], dim=1))
        return w_plus


def read(path: Path, generator: Generator) -> PublishedEncoder:
    """An encoder for a generator, on the CPU.

    Raises UserError for a file that is missing, damaged or of another kind, for an encoder of another architecture, and
    for one of another generator, whose weights such a file repeats.
    """
    content = tensor_files.read(path, EXPECTED)
    if not isinstance(content, Mapping) or not isinstance(content.get("state_dict"), Mapping):
        raise UserError(f"{path}: holds {pickles.kind_of(content)}, expected {EXPECTED}: give another file")
    options: Any = content.get("opts")
    options = vars(options) if isinstance(options, argparse.Namespace) else options
    if not isinstance(options, Mapping):
        raise UserError(f"{path}: its options are missing, which tell e4e from pSp: get the whole file")
    encoder, decoder = (_below(content["state_dict"], f"{name}.") for name in ("encoder", "decoder"))
    kind = options.get("encoder_type")
    if kind not in KINDS:
        raise UserError(f"{path}: an encoder of the type {kind!r}, known are {', '.join(KINDS)}: give another file")
    wanted, found = 3 if kind in PYRAMIDS else 6, encoder.get("input_layer.0.weight")
    if not isinstance(found, Tensor) or found.ndim != 4 or found.shape[1] != wanted:
        channels = f"reads {found.shape[1]} channels" if isinstance(found, Tensor) and found.ndim == 4 else "reads none"
        raise UserError(
            f"{path}: {channels}, an encoder of images {wanted}: sketches and label maps are not edited here"
        )
    layout = generator.config
    with torch.random.fork_rng(devices=[]):
        network = Network(kind, _stages(path, encoder), layout.rows)
    fill(network, encoder, path, f"an encoder of the type {kind} for {layout.rows} rows", "give another file")
    if network.width != layout.w_dim:
        raise UserError(f"{path}: finds rows of another length than {layout.w_dim}: name the generator it is for")
    fault = rosinality.difference(decoder, generator) if decoder else "it holds no generator to compare with"
    if fault:
        raise UserError(
            f"{path}: this encoder is for another generator ({fault}): name the one that it was trained with"
        )
    start = _start(path, content.get("latent_avg"), options, kind, (layout.rows, layout.w_dim))
    cars = str(options.get("dataset_type", "")).startswith("cars")
    return PublishedEncoder(network.eval().requires_grad_(False), start, cars)


def _stages(path: Path, encoder: Mapping[str, Tensor]) -> dict[int, int]:
    """How many residual units there are of each width, in their order."""
    stages: dict[int, int] = {}
    number = 0
    while isinstance(weight := encoder.get(f"body.{number}.res_layer.3.weight"), Tensor):
        stages[len(weight)] = stages.get(len(weight), 0) + 1
        number += 1
    if len(stages) != 4:
        raise UserError(f"{path}: a body of {len(stages)} widths, expected the 4 of IR-SE50: give another file")
    return stages


def _start(path: Path, mean: Any, options: Mapping[str, Any], kind: str, shape: tuple[int, int]) -> Tensor:
    """What the offsets are added to: the mean w of the file, or 0 where its options say so."""
    added = options.get("start_from_latent_avg", None if kind in PYRAMIDS else True)
    if added is None:
        raise UserError(f"{path}: its options do not say start_from_latent_avg: get the whole file")
    if not added:
        return torch.zeros(shape)
    if not isinstance(mean, Tensor) or mean.numel() not in (shape[1], shape[0] * shape[1]):
        stored = list(mean.shape) if isinstance(mean, Tensor) else "missing"
        raise UserError(f"{path}: its latent_avg is {stored}, expected {list(shape)}: get the whole file")
    return mean.detach().float().reshape(-1, shape[1]).expand(shape).clone()


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {str(key).removeprefix(prefix): value for key, value in state.items() if str(key).startswith(prefix)}
