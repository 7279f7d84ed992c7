"""The files of LPIPS, heads and AlexNet, with random weights, as their two repositories write them."""

from pathlib import Path

import torch
from torch import Tensor

CONVOLUTIONS = {  # number in torchvision's `features`: outputs, inputs, kernel
    0: (64, 3, 11),
    3: (192, 64, 5),
    6: (384, 192, 3),
    8: (256, 384, 3),
    10: (256, 256, 3),
}


def lpips_files(folder: Path) -> tuple[Path, Path, dict[str, Tensor], dict[str, Tensor]]:
    """Heads and trunk of AlexNet with random weights, as the two repositories write them."""
    draw = torch.Generator().manual_seed(0)
    trunk = {}
    for number, (outputs, inputs, side) in CONVOLUTIONS.items():
        shape = (outputs, inputs, side, side)
        trunk[f"features.{number}.weight"] = torch.randn(shape, generator=draw) * (2 / (inputs * side * side)) ** 0.5
        trunk[f"features.{number}.bias"] = torch.randn(outputs, generator=draw) * 0.1
    trunk["classifier.6.bias"] = torch.zeros(1000)  # the part of torchvision's file that is not needed
    widths = [outputs for outputs, _, _ in CONVOLUTIONS.values()]
    heads = {f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1, generator=draw) for k, width in enumerate(widths)}
    torch.save(heads, folder / "alex.pth", _use_new_zipfile_serialization=False)
    torch.save(trunk, folder / "alexnet-owt.pth")
    return folder / "alex.pth", folder / "alexnet-owt.pth", heads, trunk
