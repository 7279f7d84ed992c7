"""Depth by MiDaS 3 (Ranftl et al., ICCV 2021), DPT on a plain vision transformer, from a published file.

Read are the authors' `dpt_large-midas-2f21e586.pt` (also `dpt_large_384.pt`) and VideoComposer's
`midas_v3_dpt_large.pth`, the same network under other names. Features after each quarter of the blocks, at four sizes,
are joined from the coarsest to the finest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.methods.composer.decompose.files import tensors_of
from t2ibench.networks.state import fill

EXPECTED = "MiDaS 3 on a vision transformer (dpt_large-midas-2f21e586.pt, midas_v3_dpt_large.pth)"
SIDE = 384  # pixels of the input's sides
STAGES = 4
HEAD = 64  # channels of a head of attention
# names of the authors' file, and of VideoComposer's, as ours; {} is a number that begins with 1 there
AUTHORS = {
    r"pretrained\.model\.patch_embed\.proj\.": "patches.",
    r"pretrained\.model\.cls_token": "first",
    r"pretrained\.model\.pos_embed": "places",
    r"pretrained\.model\.blocks\.": "blocks.",
    r"pretrained\.act_postprocess(\d)\.0\.project\.0\.": "readouts.{}.",
    r"pretrained\.act_postprocess(\d)\.3\.": "projections.{}.",
    r"pretrained\.act_postprocess(\d)\.4\.": "resizings.{}.",
    r"scratch\.layer(\d)_rn\.": "necks.{}.",
    r"scratch\.refinenet(\d)\.resConfUnit1\.": "fusions.{}.skip.",
    r"scratch\.refinenet(\d)\.resConfUnit2\.": "fusions.{}.body.",
    r"scratch\.refinenet(\d)\.out_conv\.": "fusions.{}.out.",
    r"scratch\.output_conv\.": "head.",
}
VIDEOCOMPOSER = {
    r"patch_embedding\.": "patches.",
    r"cls_embedding": "first",
    r"pos_embedding": "places",
    r"fc(\d)\.0\.": "readouts.{}.",
    r"conv(\d)\.0\.": "projections.{}.",
    r"conv([124])\.1\.": "resizings.{}.",
    r"conv(3)\.1\.": "necks.{}.",
    r"conv([124])\.2\.": "necks.{}.",
    r"fusion(\d)\.layer1\.residual\.1\.": "fusions.{}.skip.conv1.",
    r"fusion(\d)\.layer1\.residual\.3\.": "fusions.{}.skip.conv2.",
    r"fusion(\d)\.layer2\.residual\.1\.": "fusions.{}.body.conv1.",
    r"fusion(\d)\.layer2\.residual\.3\.": "fusions.{}.body.conv2.",
    r"fusion(\d)\.conv_out\.": "fusions.{}.out.",
}
IN_BLOCKS = {"attn.to_qkv.": "attn.qkv.", "mlp.0.": "mlp.fc1.", "mlp.2.": "mlp.fc2."}  # of VideoComposer's
UNUSED = ("pretrained.model.norm.", "pretrained.model.head.")  # what classifies images
OTHERS = {  # first names by which other networks of MiDaS are known
    "pretrained.model.patch_embed.backbone.": "the hybrid of a transformer and a ResNet",
    "pretrained.model.blocks.0.gamma_1": "the network on BEiT",
    "pretrained.model.layers.": "a network on Swin",
    "pretrained.layer1.": "a network of MiDaS 2",
    "dpt.": "the network as transformers stores it",
}


@dataclass(frozen=True)
class Shape:
    width: int = 1024  # of the transformer
    blocks: int = 24
    patch: int = 16
    necks: tuple[int, ...] = (256, 512, 1024, 1024)
    fusion: int = 256
    head: int = 32
    eps: float = 1e-6  # of the layer norms; VideoComposer's code has 1e-5


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attn, self.mlp = Attention(width), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x.relu()).relu())


class Fusion(nn.Module):
    """Features, with those of the next finer size where there are coarser ones, at twice their size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.skip, self.body, self.out = Residual(width), Residual(width), nn.Conv2d(width, width, 1)

    def forward(self, fine: Tensor, coarse: Tensor | None) -> Tensor:
        x = self.body(fine if coarse is None else coarse + self.skip(fine))
        return self.out(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


class Dpt(nn.Module):
    """From colours [B, 3, 384, 384] in [-1, 1] to inverse depth [B, 1, 384, 384], at least 0."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, (a, b, c, d), fusion = shape.width, shape.necks, shape.fusion
        self.grid = SIDE // shape.patch
        self.patches = nn.Conv2d(3, width, shape.patch, shape.patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, self.grid**2 + 1, width))
        self.blocks = nn.ModuleList(Block(width, shape.eps) for _ in range(shape.blocks))
        self.readouts = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(STAGES))
        self.projections = nn.ModuleList(nn.Conv2d(width, neck, 1) for neck in shape.necks)
        self.resizings = nn.ModuleList(
            [nn.ConvTranspose2d(a, a, 4, 4), nn.ConvTranspose2d(b, b, 2, 2), nn.Identity(), nn.Conv2d(d, d, 3, 2, 1)]
        )
        self.necks = nn.ModuleList(nn.Conv2d(neck, fusion, 3, padding=1, bias=False) for neck in (a, b, c, d))
        self.fusions = nn.ModuleList(Fusion(fusion) for _ in range(STAGES))
        self.head = nn.Sequential(
            nn.Conv2d(fusion, fusion // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(fusion // 2, shape.head, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(shape.head, 1, 1),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.places
        stages: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number % (len(self.blocks) // STAGES) == 0:
                stages.append(self.map_of(x, len(stages)))
        joined = None
        for features, fusion in zip(stages[::-1], [*self.fusions][::-1], strict=True):
            joined = fusion(features, joined)
        return self.head(joined)

    def map_of(self, x: Tensor, stage: int) -> Tensor:
        """Tokens [B, 1 + N, width] of a stage as a map, in which each place also reads the first token."""
        read = torch.cat([x[:, 1:], x[:, :1].expand(-1, x.shape[1] - 1, -1)], 2)
        tokens = F.gelu(self.readouts[stage](read)).transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return self.necks[stage](self.resizings[stage](self.projections[stage](tokens)))


def read(path: Path) -> Dpt:
    """The network of a file, frozen. Raises UserError for a file that is missing or is no such network."""
    tensors = tensors_of(path, EXPECTED)
    for name, what in OTHERS.items():
        if any(key.startswith(name) for key in tensors):
            raise UserError(f"{path}: {what}, which is not read here, expected {EXPECTED}: name that file")
    authors = "pretrained.model.cls_token" in tensors
    try:
        named = dict(_renamed(name, value, authors) for name, value in tensors.items() if not name.startswith(UNUSED))
        shape = _shape(named, 1e-6 if authors else 1e-5)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: {error}, expected {EXPECTED}: name another file") from error
    with torch.device("meta"):
        network = Dpt(shape)
    return fill(network, named, path, EXPECTED, "name another file").eval().requires_grad_(False)


def _renamed(name: str, value: Tensor, authors: bool) -> tuple[str, Tensor]:
    """A tensor under our name."""
    for pattern, ours in (AUTHORS if authors else VIDEOCOMPOSER).items():
        if match := re.match(pattern, name):
            stage = int(match[1]) - 1 if match.groups() else 0
            name = ours.format(stage) + name[match.end() :]
            break
    if authors:
        return name, value
    for theirs, ours in IN_BLOCKS.items():
        name = name.replace(theirs, ours)
    # its last layer is a transposed convolution of one pixel
    return name, value.transpose(0, 1).contiguous() if name == "head.4.weight" and value.ndim == 4 else value


def _shape(tensors: Mapping[str, Tensor], eps: float) -> Shape:
    """The shape of the network. Raises ValueError or LookupError for tensors of another one."""

    def size(name: str, axis: int) -> int:
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        if tensors[name].ndim <= abs(axis) - (axis < 0):
            raise ValueError(f"{name} has {tensors[name].ndim} axes")
        return tensors[name].shape[axis]

    blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    width, patch = size("places", -1), size("patches.weight", -1)
    if blocks == 0 or blocks % STAGES or width % HEAD or size("places", 1) != (SIDE // max(patch, 1)) ** 2 + 1:
        raise ValueError(f"{blocks} blocks of {width} channels at {size('places', 1)} places")
    necks = tuple(size(f"projections.{stage}.weight", 0) for stage in range(STAGES))
    return Shape(width, blocks, patch, necks, size("necks.0.weight", 0), size("head.2.weight", 0), eps)
