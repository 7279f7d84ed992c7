"""Reads `.pkl` files of NVlabs' StyleGAN2-ADA for PyTorch: {"G", "D", "G_ema", …}, each a module of their persistence
wrapper.

Their files contain the source code of the modules, which unpickling would execute; here they are read as data. Only
G_ema is read: its parameters and buffers, and the settings that cannot be found from shapes. Weights of NVlabs are
licensed for research only.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import pickles
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import fir
from t2ibench.networks.stylegan2.shapes import config_of

PREFIXES = {"synthesis.b4.const": "const", "synthesis.": "blocks."}  # their names -> ours
FIXED: dict[str, Any] = {
    "activation": "lrelu",
    "architecture": "skip",
    "use_noise": True,
}  # settings of their layers that this generator is made for
RATE = 0.01  # of the mapping, by which its weights are scaled


def read(path: Path) -> tuple[Config, dict[str, Tensor]]:
    """Config and state dict of the averaged generator, with our names.

    Raises UserError for anything but an unconditional generator.
    """
    content = pickles.read(path)
    if not isinstance(content, Mapping) or "G_ema" not in content:
        kind = (
            f"keys {', '.join(map(repr, list(content)[:6]))}"
            if isinstance(content, Mapping)
            else f"a {type(content).__name__}"
        )
        raise UserError(
            f"{path}: holds {kind}, expected a network snapshot of stylegan2-ada-pytorch with the key 'G_ema'"
        )
    try:
        generator = pickles.Module(content["G_ema"])
        modules, tensors = dict(_walk(generator)), generator.tensors()
        rates = {
            pickles.number(module.get("bias_gain", RATE))
            for name, module in modules.items()
            if name.startswith("mapping.fc")
        }
        clamps = {
            pickles.number(module.get("conv_clamp"))
            for name, module in modules.items()
            if name.endswith(("conv0", "conv1"))
        }
    except (*pickles.DAMAGED, RuntimeError) as error:
        raise UserError(
            f"{path}: its G_ema cannot be read ({pickles.reason(error)}): get the file from a source you trust"
        ) from error
    _check(path, generator, modules, tensors)
    if rates - {RATE}:
        raise UserError(
            f"{path}: the mapping of G_ema has the learning rates {rates}, expected {RATE}: use another network"
        )
    if len(clamps) > 1:
        raise UserError(
            f"{path}: G_ema has layers with different conv_clamp ({', '.join(map(str, clamps))}), expected one for all"
        )
    state = {rename(name): value.float() for name, value in tensors.items() if not name.endswith("resample_filter")}
    return config_of(path, state, clamp=next(iter(clamps), None)), state


def rename(name: str) -> str:
    """Our name of one of their parameters or buffers."""
    for theirs, ours in PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _walk(module: pickles.Module, prefix: str = "") -> Iterator[tuple[str, pickles.Module]]:
    yield prefix, module
    for name, child in module.modules.items():
        yield from _walk(child, f"{prefix}.{name}" if prefix else name)


def _check(
    path: Path, generator: pickles.Module, modules: Mapping[str, pickles.Module], tensors: Mapping[str, Tensor]
) -> None:
    """Refuse what this generator does not support and shapes do not show.

    These are labels, and other activations, filters or architectures.
    """
    if generator.get("c_dim"):
        raise UserError(
            f"{path}: G_ema takes a label (c_dim is {generator.get('c_dim')}), expected none (c_dim 0): use another "
            f"network"
        )
    for name, module in modules.items():
        wanted: dict[str, Any] = {"activation": "linear"} if name.endswith("affine") else FIXED
        for key, value in wanted.items():
            if module.get(key, value) != value:
                raise UserError(
                    f"{path}: G_ema.{name} has {key} {module.get(key)!r}, expected {value!r}: use another network"
                )
    for name, value in tensors.items():
        if name.endswith("resample_filter") and (
            value.shape != (4, 4) or not torch.allclose(value.float(), fir(), atol=1e-6)
        ):
            raise UserError(
                f"{path}: G_ema.{name} is not the filter [1, 3, 3, 1], which is the only one known here: use another "
                f"network"
            )
