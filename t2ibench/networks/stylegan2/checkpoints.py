"""Reads and writes generators: NVlabs' `.pkl` (read only), rosinality's `.pt`, and our `.safetensors` with a card."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from t2ibench.core import settings
from t2ibench.core.containers import NAMES, kind_of
from t2ibench.core.errors import UserError
from t2ibench.networks import weights, zoo
from t2ibench.networks.stylegan2 import nvlabs, rosinality
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import Generator
from t2ibench.networks.stylegan2.shapes import build

READ = (".pkl", ".pt", ".safetensors")  # the usual suffixes; what a file is read as depends on its content
EXPECTED = "a StyleGAN2 checkpoint of NVlabs (.pkl), rosinality (.pt) or t2ibench (.safetensors)"
WRITTEN = (".pt", ".safetensors")


def load(source: weights.Weights | Path | str, resolution: int | None = None) -> Generator:
    """A frozen generator in evaluation mode, on the CPU, from weights of the zoo or from a published file.

    resolution: the one that is expected; None accepts any.
    Raises UserError for another resolution, and for a file that is missing, damaged, of an unknown kind or of another
    network.
    """
    where = source.name if isinstance(source, weights.Weights) else str(source)
    config, state = _content(source) if isinstance(source, weights.Weights) else _read(Path(source))
    if resolution is not None and config.resolution != resolution:
        raise UserError(
            f"{where}: makes images of {config.resolution} pixels, expected {resolution}: use weights of that "
            f"resolution"
        )
    return build(where, config, state)


def save(path: Path, generator: Generator, card: Mapping[str, Any], half: bool = False) -> None:
    """Write a generator as `.pt` or `.safetensors`, by the suffix of `path`.

    card: written beside a `.safetensors` file.
    half: store a `.safetensors` file in half precision, which changes images slightly.
    """
    if path.suffix == ".pt":
        rosinality.write(path, generator)
    elif path.suffix == ".safetensors":
        weights.write(path, generator.state_dict(), dataclasses.asdict(generator.config), card, half=half)
    else:
        raise UserError(f"{path}: the suffix is {path.suffix!r}, expected one of {', '.join(WRITTEN)}")


def facts(path: Path) -> dict[str, Any]:
    """`data` and `optimised_for` of a file's training. Without a card, `data` is the file's name."""
    card = zoo.card(path) if path.suffix == ".safetensors" else {"data": path.name}
    return {key: card.get(key) for key in ("data", "optimised_for")}


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> tuple[Config, Mapping[str, Tensor]]:
    kind = kind_of(path, EXPECTED)
    if kind == "safetensors":
        return _content(weights.read(path))
    if kind == "pickle":
        return nvlabs.read(path)
    if kind in ("torch", "legacy torch"):
        return rosinality.read(path)
    raise UserError(f"{path}: {NAMES[kind]}, expected {EXPECTED}: name another file")


def _content(weights: weights.Weights) -> tuple[Config, Mapping[str, Tensor]]:
    return settings.configure(Config, weights.config, f"{weights.name}: config"), weights.tensors
