"""The style space of one generator under one CLIP: its edited channels, their statistics, and sample codes."""

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.methods.styleclip.settings import Config
from t2ibench.methods.styleclip.style_statistics import editable_channels, sampled_w, style_statistics
from t2ibench.networks.models import Models

PASS = 16  # images of a pass with gradients


class StyleSpace:
    """The style space of the config's generator.

    channels: int64 [E], the channels that are edited.
    mean, sigma: [C], mean and standard deviation of all channels.
    codes: styles [N, C] at which effects are measured, the first of the sample behind the statistics.
    """

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError where no layer is small enough to be edited."""
        self.generator, self.clip = models.stylegan2(config.generator), models.clip(config.clip)
        channels = editable_channels(self.generator.layers, config.max_resolution)
        if not len(channels):
            raise UserError(
                f"styleclip: max_resolution is {config.max_resolution}, {config.generator} has no layer that small: "
                f"raise it"
            )
        self.channels = channels.to(models.device)
        psi, cutoff = config.truncation_psi, config.statistics_cutoff
        w = sampled_w(self.generator, range(max(config.statistics_samples, config.images)))
        self.mean, self.sigma = style_statistics(self.generator, w[: config.statistics_samples], psi, cutoff)
        with torch.no_grad():
            self.codes = self.generator.style(self.generator.truncate(w[: config.images], psi, cutoff))
        self.weights = {"generator": models.used[config.generator]["sha256"], "clip": self.clip.sha256}
        with torch.no_grad():
            self.dimension = self.embed(self.codes[:1]).shape[1]

    def embed(self, s: Tensor) -> Tensor:
        """Unit image features [B, D] of styles [B, C], with gradients."""
        return self.clip.image_features(self.generator.synthesis(s).clamp(-1, 1))

    @torch.no_grad()
    def embed_stored(self, s: Tensor) -> Tensor:
        """The same for images as they are stored, in 8 bits. The released script measures these."""
        return self.clip.encode_images(to_uint8(self.generator.synthesis(s)))
