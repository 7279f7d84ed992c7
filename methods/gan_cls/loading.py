"""Networks rebuilt from weights of the zoo and the config of their card alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.methods.gan_cls import published
from t2ibench.methods.gan_cls.networks import Generator, ImageEncoder, Shape
from t2ibench.methods.gan_cls.settings import shape_of
from t2ibench.methods.gan_cls.style_network import WhitenedEncoder, style_encoder
from t2ibench.methods.gan_cls.text_encoder import EncoderShape, TextEncoder
from t2ibench.networks import zoo
from t2ibench.networks.models import Models
from t2ibench.networks.state import rebuilt
from t2ibench.networks.weights import Weights

N = TypeVar("N", bound=nn.Module)


def is_published(name: str) -> bool:
    """Whether this is a file of Lua Torch, rather than a name of the zoo."""
    return name not in zoo.available() and (Path(name).suffix == ".t7" or Path(name).is_file())


def text_encoder(name: str, models: Models) -> TextEncoder:
    """phi, of the zoo or from a file of Reed's releases."""
    if is_published(name):
        models.file(name)
        return published.read_encoder(Path(name))
    return load_encoder(models.weights(name))


def load_generator(weights: Weights) -> Generator:
    """G in evaluation mode."""
    return _rebuilt(weights, lambda config: Generator(shape_of(Shape, config)))


def load_encoder(weights: Weights) -> TextEncoder:
    """phi: the text side of a text encoder's weights."""
    return _rebuilt(weights, lambda config: TextEncoder(shape_of(EncoderShape, config)), _sides(weights)["text"])


def load_image_side(weights: Weights) -> ImageEncoder | None:
    """The image network that was trained with a text encoder; None if its image features were fixed."""
    width = weights.config["image_width"]
    if not width:
        return None
    return _rebuilt(weights, lambda config: ImageEncoder(width, config["out"]), _sides(weights)["image"])


def load_style_encoder(weights: Weights, generator: Weights) -> ImageEncoder | WhitenedEncoder:
    """S. Raises UserError if it was trained on another generator: noise of one means nothing to another."""
    config = weights.config
    if config.get("generator_sha256") != generator.sha256:
        raise UserError(
            f"{weights.name} recovers the noise of {config.get('generator')} as it was then, not of this "
            f"{generator.name}: train one by "
            f"`t2ibench train gan_cls --variant style-encoder --set generator={generator.name}`"
        )
    return _rebuilt(weights, lambda config: style_encoder(config, config["nz"]))


def _sides(weights: Weights) -> dict[str, dict[str, Tensor]]:
    """The tensors of a text encoder's two sides. Raises UserError for a tensor of neither."""
    sides: dict[str, dict[str, Tensor]] = {"text": {}, "image": {}}
    for key, value in weights.tensors.items():
        side, _, name = key.partition(".")
        if side not in (("text", "image") if weights.config["image_width"] else ("text",)):
            raise UserError(f"{weights.name}: {key} belongs to no text encoder: train or fetch one")
        sides[side][name] = value
    return sides


def _rebuilt(
    weights: Weights, build: Callable[[Mapping[str, Any]], N], tensors: Mapping[str, Tensor] | None = None
) -> N:
    def without_random_numbers(config: Mapping[str, Any]) -> N:
        with torch.device("meta"):  # none are drawn for parameters that are replaced at once
            return build(config)

    return rebuilt(weights, without_random_numbers, tensors)
