"""The second step for changes of shape: codes are moved to where the adapted generator already shows the target.

If only some latents of an adapted generator show the target (cats among dogs), a latent mapper is trained for the
target text. It is StyleCLIP's, with several CLIPs and a loss on the length of embeddings. It cannot help if no image
shows the target at all. The released training takes overlapping windows of its codes, so its 5,000 codes are 2,501
distinct ones; here batches do not overlap.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from t2ibench.methods.stylegan_nada.losses import weighted
from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.identity import Features, identity_features
from t2ibench.networks.latent_mapper import MapperNetwork
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.training.latent_mapper import MapperRecipe, Settings
from t2ibench.networks.training.mapper_store import load, once


class Mining:
    """Mappers of adapted generators, by their texts.

    seconds: how long the training of each took, even if it was done earlier.
    spent: how many seconds of training were spent now.
    """

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.models = config, models
        self.networks: dict[tuple[str, str], MapperNetwork] = {}
        self.seconds: dict[tuple[str, str], float] = {}
        self.spent = 0.0
        self.settings = Settings(
            stream="stylegan_nada",
            truncation_psi=config.truncation_psi,
            residual=config.mining_residual,
            codes=config.mining_codes,
            batch=config.mining_batch,
            optimiser=config.mining_optimiser,
            learning_rate=config.mining_learning_rate,
            schedule=config.mining_schedule,
            lambda_clip=config.mining_clip,
            lambda_l2=config.mining_l2,
            lambda_id=config.mining_id,
            lambda_norm=config.mining_norm,
        )

    @cached_property
    def identity(self) -> Features:
        return identity_features(self.config.identity, self.models.clip(self.config.clips[0]), self.models)[0]

    @torch.no_grad()
    def mined(
        self, w_plus: Tensor, generator: Generator, texts: tuple[str, str], adaptation: Mapping[str, Any]
    ) -> Tensor:
        """Codes [B, L, w_dim] moved by the mapper of this adapted generator; a row depends on its own code alone.

        adaptation: everything that decides the generator. Raises FloatingPointError if a loss of the training is not
        finite.
        """
        network = self._network(generator, texts, adaptation)
        return torch.cat([code + self.settings.residual * network(code) for code in w_plus.split(1)])

    def _network(self, generator: Generator, texts: tuple[str, str], adaptation: Mapping[str, Any]) -> MapperNetwork:
        if texts not in self.networks:
            config, (_, target) = self.config, texts
            recorded = {
                **vars(self.settings),
                "identity": config.identity if config.mining_id else "",
                "prompt": target,
                **adaptation,
            }

            def make() -> MapperRecipe:
                distances = [ClipDistance(self.models.clip(name)) for name in weighted(config)]
                identity = self.identity if config.mining_id else None
                data = {
                    "generator": config.generator,
                    "adapted_to": target,
                    "codes": config.mining_codes,
                    "truncation_psi": self.settings.truncation_psi,
                }
                return MapperRecipe(self.settings, target, generator, distances, identity, recorded, data)

            folder = self.models.cache / "stylegan_nada"
            weights, spent = once(folder, recorded, target, config.mining_steps, make)
            self.spent += spent
            self.seconds[texts] = weights.card["training_seconds"]
            self.networks[texts] = load(weights, self.settings, generator, self.models.device)
        return self.networks[texts]
