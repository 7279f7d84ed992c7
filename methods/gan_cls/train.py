"""What `t2ibench train gan_cls --variant PART` trains: the text encoder, any of the GANs, or a GAN's style encoder.

A GAN needs a trained text encoder, and a style encoder needs a trained GAN.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.loading import is_published, load_generator, load_image_side, text_encoder
from t2ibench.methods.gan_cls.settings import VARIANTS, GanSettings, StyleSettings, TextSettings, choose
from t2ibench.methods.gan_cls.train_gan import GanRecipe
from t2ibench.methods.gan_cls.train_style import StyleRecipe
from t2ibench.methods.gan_cls.train_text import TextRecipe, attribute_features
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import Recipe
from t2ibench.networks.zoo import trained_name

PARTS = ("text-encoder", *VARIANTS, "style-encoder")


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> Recipe:
    """The training of one part.

    `settings` override the defaults of the data set. Raises UserError for an unknown part or key.
    """
    where, dataset = f"gan_cls {part}", train.dataset
    if part not in PARTS:
        raise UserError(f"gan_cls has no part {part!r}{did_you_mean(part, PARTS)}")
    if part == "text-encoder":
        text = choose(TextSettings, {}, settings, where)
        return TextRecipe(text, train, val, _fixed_features(text.image_side, train, val, models), models.device, seed)
    if part == "style-encoder":
        style = choose(StyleSettings, {"generator": trained_name("gan-int-cls", dataset)}, settings, where)
        if style.network == "whitened" and style.fitted_on <= style.components:
            raise UserError(
                f"{where}: fitted_on is {style.fitted_on}, expected more images than the {style.components} components"
            )
        weights = models.weights(style.generator)
        generator = load_generator(weights)
        encoder = text_encoder(weights.config["text_encoder"], models)
        return StyleRecipe(style, train, val, encoder, generator, weights.sha256, models.device, seed, models.cache)
    fixed = {"text_encoder": trained_name("char-cnn-rnn", dataset), **VARIANTS[part]}
    gan = choose(GanSettings, fixed, settings, where)
    encoder = text_encoder(gan.text_encoder, models)
    side = None if is_published(gan.text_encoder) else load_image_side(models.weights(gan.text_encoder))
    gan = replace(gan, text_dim=encoder.shape.out)
    sha256 = models.used[gan.text_encoder]["sha256"]
    return GanRecipe(gan, train, val, encoder, side, models.device, seed, models.cache, sha256)


def _fixed_features(image_side: str, train: Split, val: Split, models: Models) -> tuple[Tensor, Tensor] | None:
    """Image features [N, D] of both splits: one-hot attributes, or features of the CLIP named `image_side`.

    None for "joint".
    """
    if image_side == "joint":
        return None
    if image_side == "attributes":
        return attribute_features(train, val)
    clip = models.clip(image_side)

    def features(split: Split) -> Tensor:
        blocks = [np.arange(i, min(i + 256, len(split))) for i in range(0, len(split), 256)]
        return torch.cat([clip.encode_images(torch.from_numpy(split.images.read(rows))) for rows in blocks])

    return features(train), features(val)
