"""How StyleCLIP sets up the training of its mappers (sec. 5).

The training itself is in t2ibench/networks/training/latent_mapper.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.identity import Features
from t2ibench.networks.latent_mapper import LEVELS
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.training.latent_mapper import MapperRecipe, Settings

# the paper's texts that leave the fine level as it is
SHAPES = ("afro", "angry", "bob", "bowl", "curly", "mohawk", "surprised")


def mapper_recipe(
    config: Config,
    prompt: str,
    generator: Generator,
    distance: ClipDistance,
    identity: Features | None,
    weights: Mapping[str, str],
    latents: Tensor | None = None,
) -> MapperRecipe:
    """The training of one text's mapper.

    weights: the hashes of the generator, of CLIP, and of the file of latents.
    latents: [N, L, w_dim], those of the file `mapper_latents`.
    """
    data: dict[str, Any] = {"generator": config.generator, "codes": config.mapper_codes}
    data["truncation_psi"] = config.truncation_psi
    if latents is not None:
        data = {"generator": config.generator, "codes": len(latents), "latents": Path(config.mapper_latents).name}
    recorded = settings_of(config, prompt, weights)
    settings = mapper_settings(config, prompt)
    return MapperRecipe(settings, prompt, generator, [distance], identity, recorded, data, latents)


def mapper_settings(config: Config, prompt: str) -> Settings:
    return Settings(
        stream="styleclip",
        truncation_psi=config.truncation_psi,
        kind=config.mapper,
        levels=levels_of(prompt, config.levels),
        axis=config.pixelnorm_axis,
        residual=config.residual,
        codes=config.mapper_codes,
        batch=config.mapper_batch,
        optimiser=config.mapper_optimiser,
        learning_rate=config.mapper_learning_rate,
        schedule=config.mapper_schedule,
        l2=config.l2,
        lambda_clip=config.mapper_clip,
        lambda_l2=config.mapper_l2,
        lambda_id=config.mapper_id,
    )


def settings_of(config: Config, prompt: str, weights: Mapping[str, str]) -> dict[str, Any]:
    """Everything that decides a mapper: its settings, the text, and the hashes of the networks it is trained with."""
    names = ("clip_input", "l2", "residual", "pixelnorm_axis", "truncation_psi", "levels")
    settings = {key: value for key, value in vars(config).items() if key in names or key.startswith("mapper")}
    del settings["mapper_latents"]  # their hash is among the weights
    return {**settings, "identity": config.identity if config.mapper_id else "", "prompt": prompt, **weights}


def levels_of(prompt: str, levels: str) -> tuple[str, ...]:
    """The levels that may move.

    levels: "all"; "coarse+medium"; or "reference", which is coarse and medium for texts with one of SHAPES, else all.
    """
    shape = any(word.startswith(SHAPES) for word in prompt.lower().replace("-", " ").split())
    return tuple(LEVELS)[:2] if levels == "coarse+medium" or (levels == "reference" and shape) else tuple(LEVELS)
