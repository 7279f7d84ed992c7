"""What `t2ibench train stylegan2` trains: the generator, or the encoder that finds an image's place in it."""

from collections.abc import Mapping
from typing import Any

from t2ibench.backbones.stylegan2 import inversion, training
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.settings import configure
from t2ibench.data.split import Split
from t2ibench.models import Models
from t2ibench.training import Recipe

PARTS = ("stylegan2", "encoder")
NAMES = {"encoder": "stylegan2-encoder"}  # of the weights, before "-<data set>"


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> Recipe:
    """The training of one part. Raises UserError for an unknown part or setting."""
    where = f"stylegan2 {part}"
    if part == "stylegan2":
        return training.StyleGAN2Recipe(configure(training.Settings, settings, where), train, val, models, seed)
    if part == "encoder":
        return inversion.EncoderRecipe(configure(inversion.Settings, settings, where), train, val, models, seed)
    raise UserError(f"stylegan2 has no part {part!r}{did_you_mean(part, PARTS)}")
