"""Networks rebuilt from weights of the zoo and the config of their card alone."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.methods.gan_cls.networks import Generator, ImageEncoder, Shape
from t2ibench.methods.gan_cls.settings import shape_of
from t2ibench.methods.gan_cls.style_network import WhitenedEncoder, style_encoder
from t2ibench.methods.gan_cls.text_encoder import EncoderShape, TextEncoder
from t2ibench.networks.weights import Weights

N = TypeVar("N", bound=nn.Module)


def load_generator(weights: Weights) -> Generator:
    """G in evaluation mode."""
    return _restore(weights, lambda config: Generator(shape_of(Shape, config)), weights.tensors)


def load_encoder(weights: Weights) -> TextEncoder:
    """phi: the text side of a text encoder's weights."""
    return _restore(
        weights, lambda config: TextEncoder(shape_of(EncoderShape, config)), _under("text.", weights.tensors)
    )


def load_image_side(weights: Weights) -> ImageEncoder | None:
    """The image network that was trained with a text encoder; None if its image features were fixed."""
    width = weights.config["image_width"]
    if not width:
        return None
    return _restore(weights, lambda config: ImageEncoder(width, config["out"]), _under("image.", weights.tensors))


def load_style_encoder(weights: Weights, generator: Weights) -> ImageEncoder | WhitenedEncoder:
    """S. Raises UserError if it was trained on another generator: noise of one means nothing to another."""
    config = weights.config
    if config.get("generator_sha256") != generator.sha256:
        raise UserError(
            f"{weights.name} recovers the noise of {config.get('generator')} as it was then, not of this "
            f"{generator.name}: train one by "
            f"`t2ibench train gan_cls --variant style-encoder --set generator={generator.name}`"
        )
    return _restore(weights, lambda config: style_encoder(config, config["nz"]), weights.tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _restore(weights: Weights, build: Callable[[Mapping[str, Any]], N], tensors: Mapping[str, Tensor]) -> N:
    try:
        with torch.device("meta"):  # no random numbers are drawn for parameters that are replaced at once
            network = build(weights.config)
        network.load_state_dict(dict(tensors), assign=True)
    except (KeyError, RuntimeError) as error:
        line = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{weights.name}: weights do not fit the config of their card ({line}): train or fetch them again"
        ) from error
    return network.eval().requires_grad_(False)
