"""Latent mapper (sec. 5): one small network for each text, trained when the text is first used, and then cached.

v' = v + residual M_t(v), in one pass; the network and its training are in t2ibench/networks/latent_mapper.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from t2ibench.methods.styleclip.mapper_training import mapper_recipe, mapper_settings, settings_of
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks import weights
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.identity import Features, identity_features
from t2ibench.networks.latent_mapper import MapperNetwork, read_released
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
        self.released = read_released(Path(config.mapper_weights), self.generator) if config.mapper_weights else None
        if self.released is not None:
            models.file(config.mapper_weights)
            self.released.network.to(models.device)
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
        in_s = self.config.mapper == "style" if self.released is None else self.released.in_s
        codes = self.generator.style(w_plus) if in_s else w_plus
        networks = {text: self.network(text) for text in dict.fromkeys(target)}
        moved = [
            v[None] + self.config.residual * networks[text](v[None]) for v, text in zip(codes, target, strict=True)
        ]  # row by row
        return torch.cat(moved) if in_s else in_passes(self.generator.style, torch.cat(moved))

    def network(self, prompt: str) -> MapperNetwork:
        """The mapper of a text, frozen: the released one, one from the cache, or one that is trained now."""
        if self.released is not None:
            self.released.check_text(Path(self.config.mapper_weights), prompt)
            return self.released.network
        weights = self.trained(prompt)
        self.seconds[prompt] = weights.card["training_seconds"]
        total = sum(self.seconds.values())
        counts = {"training_seconds": total, "prompts_trained": len(self.seconds)}
        self.cost |= {**counts, "training_seconds_per_prompt": total / len(self.seconds)}
        return load(weights, mapper_settings(self.config, prompt), self.generator, self.models.device)

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
