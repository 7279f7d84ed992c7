"""The networks rebuilt from weights of the zoo and the config of their card alone."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from t2ibench.core import settings
from t2ibench.core.errors import UserError
from t2ibench.methods.composer.network import Denoiser
from t2ibench.methods.composer.prior import Prior
from t2ibench.methods.composer.sampling import Drawing
from t2ibench.methods.composer.settings import Config, PriorShape, Shape, UpsamplerShape
from t2ibench.methods.composer.upsampler import Upsampler
from t2ibench.networks.models import Models
from t2ibench.networks.state import rebuilt
from t2ibench.networks.weights import Weights

Network = TypeVar("Network", bound=nn.Module)


def load_drawing(config: Config, models: Models) -> Drawing:
    """The base, with the upsampler and the prior that the config names.

    Raises UserError for weights that are missing or do not fit together.
    """
    base, device = models.weights(config.weights), models.device
    model, upsampler, prior = load_denoiser(base), None, None
    if config.upsampler:
        upsampler = load_upsampler(models.weights(config.upsampler)).to(device)
        if (reads := upsampler.shape.image_size // upsampler.shape.factor) != model.shape.image_size:
            raise UserError(
                f"{config.upsampler} enlarges images of {reads} pixels, {config.weights} draws {model.shape.image_size}"
            )
    if config.prior:
        prior = load_prior(models.weights(config.prior)).to(device)
        if (written := models.weights(config.prior).config["clip"]) != (read := base.config["extractors"]["clip"]):
            raise UserError(
                f"{config.prior} makes embeddings of {written}, {config.weights} reads those of {read}: train a prior "
                f"for it"
            )
    return Drawing(model.to(device), config, upsampler, prior)


def load_denoiser(weights: Weights) -> Denoiser:
    return shaped(weights, Shape, Denoiser)


def load_upsampler(weights: Weights) -> Upsampler:
    return shaped(weights, UpsamplerShape, Upsampler)


def load_prior(weights: Weights) -> Prior:
    return shaped(weights, PriorShape, Prior)


def shaped(weights: Weights, shape: type[Any], build: Callable[[Any], Network]) -> Network:
    """A network in evaluation mode. Raises UserError if its tensors do not fit the config of its card."""

    def of_config(config: Mapping[str, Any]) -> Network:
        values = {field.name: config[field.name] for field in dataclasses.fields(shape)}
        return build(settings.configure(shape, values, weights.name))

    return rebuilt(weights, of_config)
