"""The cache of mappers: the mapper of a text is trained when it is first needed, and then kept."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch

from t2ibench.core import storage
from t2ibench.core.errors import UserError
from t2ibench.networks import weights as weight_files
from t2ibench.networks.latent_mapper import MapperNetwork
from t2ibench.networks.state import fill
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.training import loop
from t2ibench.networks.training.latent_mapper import MapperRecipe, Settings, new_network


def once(
    folder: Path, recorded: dict[str, object], prompt: str, steps: int, make: Callable[[], MapperRecipe]
) -> tuple[weight_files.Weights, float]:
    """The weights of a text's mapper, and the seconds that this call spent on training them.

    folder: of the method, in the cache.
    recorded: everything that decides the weights; its hash is part of their name.
    prompt: the text.
    steps: of the training.
    make: makes the recipe; called only if the cache has no sound weights.

    A process that is killed loses at most a minute of training. Raises FloatingPointError for a loss that is not
    finite; then nothing is kept.
    """
    key = hashlib.sha256(json.dumps(recorded, sort_keys=True, default=str).encode()).hexdigest()
    name = f"{re.sub('[^A-Za-z0-9]+', '-', prompt)[:60].strip('-')}-{key[:16]}"
    folder = folder / "mappers"

    def look() -> tuple[weight_files.Weights, float] | None:
        try:
            return weight_files.read(folder / f"{name}.safetensors"), 0.0
        except (FileNotFoundError, UserError):  # none, or a damaged one
            return None

    def trained() -> tuple[weight_files.Weights, float]:
        started = perf_counter()
        weights = _train(make, name, folder, steps)
        spent = perf_counter() - started
        shutil.rmtree(folder / name)
        return weights, spent

    return storage.once(folder / f"{name}.lock", look, trained)


def load(weights: weight_files.Weights, config: Settings, generator: Generator, device: torch.device) -> MapperNetwork:
    """A frozen mapper with these weights."""
    network = fill(new_network(config, generator), weights.tensors, weights.name, "a mapper with these settings")
    return network.to(device).requires_grad_(False)


def _train(make: Callable[[], MapperRecipe], name: str, folder: Path, steps: int) -> weight_files.Weights:
    with torch.enable_grad():
        try:
            return loop.fit(make(), name, folder, steps=steps)
        except FloatingPointError:
            shutil.rmtree(folder / name)
            raise
