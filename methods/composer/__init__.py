"""Composer (Huang et al., ICML 2023): one diffusion model with eight conditions that can be dropped, edited or taken from other images.

An image is decomposed into caption, semantics, palette, sketch, instances, depth, intensity and a masked image; a UNet learns to put
it together from any subset of them. No code or weights of the paper are public: what it does not say is ours, and says so.
Here the base alone draws, at its own size, of a caption alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench import plugins
from t2ibench.data import Split
from t2ibench.errors import UserError, did_you_mean
from t2ibench.images import to_uint8
from t2ibench.methods.composer import diffusion
from t2ibench.methods.composer.conditions import Conditions, of_captions
from t2ibench.methods.composer.decompose.semantics import text_embeddings
from t2ibench.methods.composer.loading import load_denoiser
from t2ibench.methods.composer.sampling import BATCH, Drawing
from t2ibench.methods.composer.settings import Config, Training
from t2ibench.methods.composer.training import ComposerRecipe
from t2ibench.models import Models
from t2ibench.seeds import latents
from t2ibench.tracks import TextToImage

__all__ = ["PARTS", "Config", "Method", "recipe"]
PARTS = ("composer",)


class Method:
    """Draws with a trained base; the request's seed makes the noise."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or do not fit their config, and settings that cannot be."""
        if config.steps < 1 or config.steps > diffusion.TIMES or not 0 <= config.threshold < 1:
            raise UserError(
                f"composer: steps is {config.steps} and threshold {config.threshold:g}, "
                f"expected 1 to {diffusion.TIMES} steps and a quantile in [0, 1), 0 for none"
            )
        self.config, self.models = config, models
        weights = models.weights(config.weights)
        self.model = load_denoiser(weights).to(models.device)
        self.drawing = Drawing(self.model, config)
        self.clip = models.clip(weights.config["extractors"]["clip"])
        self.trained_on = [" ".join(weights.card["data"][key] for key in ("dataset", "train"))]

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, R, R]: row i depends on requests[i] alone. Raises ValueError for no request."""
        if not requests:
            raise ValueError("text_to_image needs at least one request")
        images = []
        for start in range(0, len(requests), BATCH):
            some = requests[start : start + BATCH]
            filled = [*some, *[some[-1]] * (BATCH - len(some))]
            wanted = of_captions(*text_embeddings(self.clip, [request.prompt for request in filled]))
            images.append(self.compose([request.seed for request in filled], wanted.only(""), wanted)[: len(some)])
        return torch.cat(images)

    def compose(self, seeds: Sequence[int], c1: Conditions, c2: Conditions) -> Tensor:
        """Images of c2, guided away from c1: uint8 [B, 3, R, R] on the CPU."""
        side, device = self.model.shape.image_size, self.models.device
        noise = latents(seeds, 3, side, side).to(device)
        return to_uint8(self.drawing.sample(noise, c1.to(device), c2.to(device), self.config.guidance_scale)).cpu()


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> ComposerRecipe:
    """The training of the base. Raises UserError for an unknown part or key."""
    if part not in PARTS:
        raise UserError(f"composer has no part {part!r}{did_you_mean(part, PARTS)}")
    config = plugins.configure(Training, {"seed": seed, **settings}, f"composer {part}")
    return ComposerRecipe(config, train, val, models)
