"""Finds the config of a generator from the shapes of its tensors, and builds a generator from config and tensors."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core import seeds
from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed
from t2ibench.networks.state import fill
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import Generator

MEAN_OF = 16_384  # mapped latents, whose mean stands in for the mean w that some files lack
log = logging.getLogger(__name__)


def config_of(where: Path | str, state: Mapping[str, Tensor], clamp: float | None = None) -> Config:
    """The config that gives these shapes, with the smallest channel_base that does. Raises UserError if none does."""
    depth, sizes = _numbered(state, r"mapping\.fc(\d+)\.weight"), _numbered(state, r"blocks\.b(\d+)\.conv1\.weight")
    expected = [2**k for k in range(2, max(len(sizes), 1) + 2)]
    if list(depth) != list(range(len(depth))) or list(sizes) != expected or not depth or len(sizes) < 2:
        raise UserError(
            f"{where}: {len(depth)} mapping layers and blocks at {', '.join(map(str, sizes)) or 'no'} pixels, "
            "expected a mapping of 1 or more and blocks at 4, 8, 16 … pixels: get the file again"
        )
    channels = {size: len(weight) for size, weight in sizes.items()}
    widest, base = max(channels.values()), max(size * count for size, count in channels.items())
    w_dim, inside = len(depth[len(depth) - 1]), len(depth[0])
    features = inside if inside != w_dim else None
    config = Config(max(sizes), depth[0].shape[-1], w_dim, len(depth), base, widest, clamp, features)
    wrong = {size: count for size, count in channels.items() if config.channels(size) != count}
    if wrong:
        counts = ", ".join(f"{count} at {size} px" for size, count in channels.items())
        raise UserError(
            f"{where}: {counts} channels, which min(base / resolution, maximum) gives for no base: use another network"
        )
    return config


def mean_w(where: Path | str, config: Config, state: Mapping[str, Tensor]) -> Tensor:
    """The mean w of a generator whose file has none: that of mapped latents of a fixed seed, which is said."""
    log.warning(
        "%s has no mean w: truncation uses the mean of %s mapped latents of a fixed seed", where, f"{MEAN_OF:,}"
    )
    z = torch.from_numpy(seeds.normal(0, MEAN_OF * config.z_dim)).float().reshape(MEAN_OF, config.z_dim)
    with_any = {**state, "mapping.w_avg": torch.zeros(config.w_dim)}
    return build(where, config, with_any).mapping(z).mean(dim=0)


def noise_maps(where: Path | str, config: Config) -> dict[str, Tensor]:
    """The fixed noise maps of a generator whose file has none: normal, of a fixed seed, which is said."""
    log.warning("%s has no noise maps: those of a fixed seed are used, so images differ in detail from others'", where)
    maps = {}
    for layer in config.layers:
        if not layer.is_rgb:
            values = seeds.normal(derive_seed("stylegan2", "noise", layer.name), layer.resolution**2)
            maps[f"blocks.{layer.name}.noise_const"] = torch.from_numpy(values).float().view(layer.resolution, -1)
    return maps


def build(where: Path | str, config: Config, state: Mapping[str, Tensor]) -> Generator:
    """A generator with these parameters and buffers.

    Raises UserError for a missing, unexpected, misshapen or non-finite one.
    """
    with torch.random.fork_rng(devices=[]):  # the random weights that are overwritten move no global state
        generator = Generator(config)
    expected = (
        f"a generator of {config.resolution} pixels with channel_base {config.channel_base} and channel_max "
        f"{config.channel_max}"
    )
    return fill(generator, state, where, expected).eval().requires_grad_(False)


def _numbered(state: Mapping[str, Tensor], pattern: str) -> dict[int, Tensor]:
    """The tensors whose name matches, by the number in it, in order."""
    tensors = {int(match[1]): value for key, value in state.items() if (match := re.fullmatch(pattern, key))}
    return dict(sorted(tensors.items()))
