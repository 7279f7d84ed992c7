"""Latent mapper (sec. 5): one small network for each text, trained when the text is first used, and then cached.

v' = v + residual M_t(v), in one pass; the network and its training are in t2ibench/networks/latent_mapper.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.styleclip.mapper_training import mapper_recipe, mapper_settings, settings_of
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks import weights
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.identity import Features, identity_features
from t2ibench.networks.latent_mapper import MapperNetwork, Released, read_released
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.stylegan2 import Generator, latents
from t2ibench.networks.training.latent_mapper import MapperRecipe
from t2ibench.networks.training.mapper_store import load, once


class Mapper:
    """Edits codes with the mapper of their text. cost: what training took, even if the mapper came from the cache."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for released weights that cannot be used."""
        self.config, self.models = config, models
        self.generator: Generator = models.stylegan2(config.generator)
        self.clip = models.clip(config.clip)
        self.distance = ClipDistance(self.clip, config.clip_input)
        self.weights = {"generator_sha256": models.used[config.generator]["sha256"], "clip_sha256": self.clip.sha256}
        files = config.mappers or ((config.mapper_weights,) if config.mapper_weights else ())
        self.released = {Path(file): read_released(Path(file), self.generator) for file in files}
        for file, released in self.released.items():
            models.file(str(file))
            released.network.to(models.device)
        if len({released.in_s for released in self.released.values()}) > 1:
            raise UserError("styleclip: mappers: some are of W+ and some of S: give each space an entry of its own")
        self.latents: Tensor | None = None  # [N, L, w_dim] to train on
        if config.mapper_latents:
            self.weights["latents_sha256"] = models.file(config.mapper_latents)
            self.latents = latents.read(Path(config.mapper_latents), self.generator.config).to(models.device)
        self.seconds: dict[str, float] = {}  # of training, by text
        self.cost: dict[str, float] = {}

    @cached_property
    def identity(self) -> Features:
        return identity_features(self.config.identity, self.clip, self.models)[0]

    @torch.no_grad()
    def edited(self, w_plus: Tensor, neutral: Sequence[str], target: Sequence[str]) -> Tensor:
        """Styles [B, C] of w_plus [B, L, w_dim], moved by the mapper of each target text. Neutral texts have no effect.

        Raises FloatingPointError, which names step and text, if a training loss is not finite.
        """
        [in_s] = {released.in_s for released in self.released.values()} or {self.config.mapper == "style"}
        codes = self.generator.style(w_plus) if in_s else w_plus
        networks = {text: self.network(text) for text in dict.fromkeys(target)}
        moved = [
            v[None] + self.config.residual * networks[text](v[None]) for v, text in zip(codes, target, strict=True)
        ]  # row by row
        return torch.cat(moved) if in_s else in_passes(self.generator.style, torch.cat(moved))

    def network(self, prompt: str) -> MapperNetwork:
        """The mapper of a text, frozen: the released one, one from the cache, or one that is trained now."""
        if self.released:
            return self.released_for(prompt).network
        weights = self.trained(prompt)
        self.seconds[prompt] = weights.card["training_seconds"]
        total = sum(self.seconds.values())
        counts = {"training_seconds": total, "prompts_trained": len(self.seconds)}
        self.cost |= {**counts, "training_seconds_per_prompt": total / len(self.seconds)}
        return load(weights, mapper_settings(self.config, prompt), self.generator, self.models.device)

    def released_for(self, prompt: str) -> Released:
        """The released mapper of a text. Raises UserError where none was trained for it."""
        fitting = [released for released in self.released.values() if released.says(prompt)]
        if fitting:
            return max(fitting, key=lambda released: len(released.text))
        if len(self.released) == 1:
            [(path, released)] = self.released.items()
            released.check_text(path, prompt)
        texts = ", ".join(repr(released.text) for released in self.released.values())
        raise UserError(
            f"no released mapper was trained for {prompt!r}, these are for {texts}: add its file to mappers"
        )

    def trained(self, prompt: str) -> weights.Weights:
        """The weights of a text's mapper, from the cache or trained now. A damaged file in the cache does not count."""
        identity = self.identity if self.config.mapper_id else None

        def make() -> MapperRecipe:
            return mapper_recipe(
                self.config, prompt, self.generator, self.distance, identity, self.weights, self.latents
            )

        recorded, folder = settings_of(self.config, prompt, self.weights), self.models.cache / "styleclip"
        weights, spent = once(folder, recorded, prompt, self.config.mapper_steps, make)
        if spent:
            self.cost["spent_seconds"] = self.cost.get("spent_seconds", 0.0) + spent
        return weights


def step_cosine(steps: Tensor) -> tuple[float, float]:
    """How alike the steps of one mapper on different images are (paper, table 2): mean and deviation of their cosines.

    steps: M_t(w) of N images, [N, L, w_dim]; each pair of images counts once. Raises ValueError below two images.
    """
    if len(steps) < 2:
        raise ValueError(f"steps of {len(steps)} images, at least 2 are needed")
    unit = F.normalize(steps.flatten(1).double(), dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), 1)
    cosines = (unit[first] * unit[second]).sum(1)
    return cosines.mean().item(), cosines.std(unbiased=False).item()
