"""Reads and writes `.pt` files of rosinality/stylegan2-pytorch: {"g_ema": state dict, "latent_avg": mean w, …}.

That code has no activation clamp. A clamp is stored as a further entry `clamp`, which that code ignores and `read`
uses. Its generator class supports a channel_max of 512, and a channel_base of 16384 (multiplier 1) or 32768 (2).
"""

import io
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core import pickles, tensor_files
from t2ibench.core.errors import UserError
from t2ibench.core.storage import publish
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import Generator, fir
from t2ibench.networks.stylegan2.shapes import config_of, mean_w, noise_maps

SAME = 2e-3  # of the largest value of a tensor: twice what half precision may move it
NOISES = "noises."  # of the fixed noise maps, which files from before 2020-01-15 lack
PARTS = {  # of a modulated convolution: our name -> theirs, and the axes of length 1 that theirs has before and after
    "weight": (".conv.weight", 1, 0),
    "affine.weight": (".conv.modulation.weight", 0, 0),
    "affine.bias": (".conv.modulation.bias", 0, 0),
}
OF_STYLED = {**PARTS, "bias": (".activate.bias", 0, 0), "noise_strength": (".noise.weight", 1, 0)}
OF_RGB = {**PARTS, "bias": (".bias", 1, 2)}
log = logging.getLogger(__name__)


def table(resolution: int, mapping_layers: int) -> dict[str, tuple[str, int, int]]:
    """For each of our keys: their key, and how many axes of length 1 their tensor has more in front and at the end.

    w_avg is not in the table; it is their latent_avg.
    """
    keys = {
        f"mapping.fc{k}.{parameter}": (f"style.{k + 1}.{parameter}", 0, 0)
        for k in range(mapping_layers)
        for parameter in ("weight", "bias")
    }
    keys["const"] = ("input.input", 1, 0)
    for layer in Config(resolution).layers:
        block = layer.resolution.bit_length() - 4  # 0 at 8 pixels
        if layer.is_rgb:
            theirs = "to_rgb1" if layer.resolution == 4 else f"to_rgbs.{block}"
        else:
            theirs = "conv1" if layer.resolution == 4 else f"convs.{2 * block + (layer.kind == 'conv1')}"
            keys[f"blocks.{layer.name}.noise_const"] = (f"noises.noise_{layer.row}", 2, 0)
        for ours, (suffix, before, after) in (OF_RGB if layer.is_rgb else OF_STYLED).items():
            keys[f"blocks.{layer.name}.{ours}"] = (theirs + suffix, before, after)
    return keys


def filters(resolution: int) -> dict[str, Tensor]:
    """Their buffers of the filter [1, 3, 3, 1] with sum 4. They are constants, so they are never taken from a file."""
    blocks = range(resolution.bit_length() - 3)
    return {
        key: fir(4.0) for k in blocks for key in (f"convs.{2 * k}.conv.blur.kernel", f"to_rgbs.{k}.upsample.kernel")
    }


def read(path: Path, w_avg: Tensor | None = None) -> tuple[Config, dict[str, Tensor]]:
    """Config and state dict of the averaged generator, with our names.

    w_avg: the mean w where the file has none, such as that of a parent; None: it is estimated.
    Raises UserError for a file that is damaged, incomplete or of another kind.
    """
    content = tensor_files.read(path, "a StyleGAN2 checkpoint")
    if isinstance(content, Mapping) and "style.1.weight" in content:  # a generator's state dict alone
        content = {"g_ema": content}
    if not isinstance(content, Mapping) or not isinstance(content.get("g_ema"), Mapping):
        raise UserError(
            f"{path}: holds {pickles.kind_of(content)}, expected a checkpoint of stylegan2-pytorch with the keys "
            f"'g_ema' and 'latent_avg'"
        )
    theirs = content["g_ema"]
    depth, blocks = _count(theirs, r"style\.(\d+)\.weight"), _count(theirs, r"to_rgbs\.(\d+)\.bias")
    if not depth or not blocks:
        raise UserError(
            f"{path}: g_ema has {depth} mapping layers and {blocks} blocks, expected at least 1 of each: get the file "
            f"again"
        )
    if other := sorted(key for key in theirs if {"iwt", "dwt"} & set(str(key).split("."))):
        raise UserError(
            f"{path}: {other[0]} is of SWAGAN, which draws wavelets, expected StyleGAN2: use another network"
        )
    names = table(2 ** (blocks + 2), depth)
    silent = not any(str(key).startswith(NOISES) for key in theirs)
    if silent:
        names = {ours: theirs for ours, theirs in names.items() if not theirs[0].startswith(NOISES)}
    state = _ours(path, theirs, names, filters(2 ** (blocks + 2)))
    clamp = content.get("clamp")
    if clamp is not None and not isinstance(clamp, int | float):
        raise UserError(f"{path}: clamp is a {type(clamp).__name__}, expected a number: get the file again")
    config = config_of(path, state, clamp)
    if silent:
        state |= noise_maps(path, config)
    state["mapping.w_avg"] = _mean(path, content.get("latent_avg", w_avg), config, state)
    return config, state


def difference(theirs: Mapping[str, Tensor], generator: Generator) -> str | None:
    """The first tensor of their state dict in which it differs from a generator, in words; None: they are the same.

    Noise maps do not count, since some files have none. Half precision is no difference.
    """
    config = generator.config
    ours = generator.state_dict()
    for name, (key, _, _) in table(config.resolution, config.mapping_layers).items():
        if key.startswith(NOISES):
            continue
        wanted = ours[name].detach().float().cpu()
        if key not in theirs or theirs[key].numel() != wanted.numel():
            return f"{key} is {'missing' if key not in theirs else list(theirs[key].shape)}"
        apart = float((theirs[key].float().reshape(wanted.shape) - wanted).abs().max())
        if not apart <= SAME * max(1e-3, float(wanted.abs().max())):
            return f"{key} differs by {apart:.3g}"
    return None


def write(path: Path, generator: Generator) -> None:
    """Write a generator, whole or not at all.

    Raises UserError if z and w differ in size, which that code does not support.
    """
    config = generator.config
    if config.z_dim != config.w_dim or config.mapping_features is not None:
        inside = config.mapping_features or config.w_dim
        raise UserError(
            f"{path}: z has {config.z_dim} dimensions and w {config.w_dim}, the mapping between them {inside}, which a "
            f".pt file cannot say: write .safetensors"
        )
    ours = {key: value.detach().cpu() for key, value in generator.state_dict().items()}
    theirs = {
        key: ours[name].reshape((1,) * before + ours[name].shape + (1,) * after).clone()
        for name, (key, before, after) in table(config.resolution, config.mapping_layers).items()
    }
    content: dict[str, Any] = {"g_ema": theirs | filters(config.resolution), "latent_avg": ours["mapping.w_avg"]}
    if config.clamp is not None:
        log.warning(
            "%s: stylegan2-pytorch has no activation clamp; images differ there where activations pass %g",
            path,
            config.clamp,
        )
        content["clamp"] = config.clamp
    data = io.BytesIO()  # torch's own writer of files says nothing of a full disk
    torch.save(content, data)
    publish(path, [data.getbuffer()], "name another file")


def _ours(
    path: Path, theirs: Mapping[str, Tensor], names: Mapping[str, tuple[str, int, int]], known: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Their state dict with our names. Raises UserError for a missing, unexpected or misshapen entry."""
    expected = {key for key, _, _ in names.values()} | known.keys()
    for key in sorted(expected - theirs.keys()):
        raise UserError(
            f"{path}: {key} is missing from g_ema, which has {len(theirs)} of {len(expected)} entries: get the file "
            f"again"
        )
    for key in sorted(theirs.keys() - expected):
        raise UserError(
            f"{path}: {key} is unexpected in g_ema: it belongs to another version of that code, or to another network"
        )
    for key, value in known.items():
        if theirs[key].shape != value.shape or not torch.allclose(theirs[key].float(), value, atol=1e-6):
            raise UserError(
                f"{path}: {key} is not the filter [1, 3, 3, 1], which is the only one known here: use another network"
            )
    state = {}
    for name, (key, before, after) in names.items():
        shape = tuple(theirs[key].shape)
        if len(shape) < before + after or any(size != 1 for size in shape[:before] + shape[len(shape) - after :]):
            raise UserError(
                f"{path}: {key} has shape {shape}, expected {before} axes of length 1 before the others: get the file "
                f"again"
            )
        state[name] = theirs[key].float().reshape(shape[before : len(shape) - after])
    return state


def _mean(path: Path, stored: Any, config: Config, state: Mapping[str, Tensor]) -> Tensor:
    """The stored mean w; if a checkpoint has none, the mean of mapped latents of a fixed seed."""
    if stored is None:
        return mean_w(path, config, state)
    if isinstance(stored, Tensor) and stored.ndim == 2 and (stored == stored[:1]).all():
        stored = stored[0]  # repeated for every row, as encoders store it
    if not isinstance(stored, Tensor) or stored.numel() != config.w_dim:
        kind = tuple(stored.shape) if isinstance(stored, Tensor) else type(stored).__name__
        raise UserError(f"{path}: latent_avg is {kind}, expected {config.w_dim} numbers: get the file again")
    return stored.float().reshape(-1)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return sum(bool(re.fullmatch(pattern, str(key))) for key in state)
