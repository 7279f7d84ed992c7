"""The style space of one generator under one CLIP: its edited channels, their statistics, and sample codes."""

from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.methods.styleclip import published
from t2ibench.methods.styleclip.settings import Config
from t2ibench.methods.styleclip.style_statistics import editable_channels, sampled_w, style_statistics
from t2ibench.networks.models import Models

PASS = 16  # images of a pass with gradients


class StyleSpace:
    """The style space of the config's generator.

    channels: int64 [E], the channels that are edited.
    mean, sigma: [C], mean and standard deviation of all channels.
    codes: styles [N, C] at which effects are measured, the first of the sample behind the statistics.
    directions: [E, D], where the settings name a published table, which then also decides the channels.
    """

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError where no layer is small enough to be edited."""
        self.generator, self.clip = models.stylegan2(config.generator), models.clip(config.clip)
        self.models = models
        self.weights = {"generator": models.used[config.generator]["sha256"], "clip": self.clip.sha256}
        for name in ("statistics", "codes"):
            if file := getattr(config, name):
                self.weights[name] = models.file(file)
        self.mean, self.sigma, self.codes = self._sample(config)
        if config.statistics:
            mean, sigma = published.style_statistics(Path(config.statistics), self.generator.layers)
            self.mean, self.sigma = mean.to(models.device), sigma.to(models.device)
        with torch.no_grad():
            self.dimension = self.embed(self.codes[:1]).shape[1]
        self.directions: Tensor | None = None  # [E, D], where a table is given
        if config.directions:
            models.file(config.directions)
            channels, directions = published.direction_table(
                Path(config.directions), self.generator.layers, self.dimension
            )
            self.directions = directions.to(models.device)
        else:
            channels = editable_channels(self.generator.layers, config.max_resolution)
        if not len(channels):
            raise UserError(
                f"styleclip: max_resolution is {config.max_resolution}, {config.generator} has no layer that small: "
                f"raise it"
            )
        self.channels = channels.to(models.device)

    def _sample(self, config: Config) -> tuple[Tensor, Tensor, Tensor]:
        """Mean [C] and deviation [C] of all channels, and codes [N, C], of a file's sample or of one drawn here."""
        device, layout = self.generator.const.device, self.generator.config
        psi, cutoff, count = config.truncation_psi, config.statistics_cutoff, config.statistics_samples
        if config.codes and not published.is_latents(Path(config.codes)):
            s = published.style_codes(Path(config.codes), self.generator.layers).to(device)
            deviation, mean = torch.std_mean(s.double(), dim=0, correction=0)
            return mean.float(), deviation.float(), s[: config.images]
        if config.codes:  # truncated when it was written
            w, psi, cutoff = published.mapped_latents(Path(config.codes), layout.w_dim).to(device), 1.0, None
            count = len(w)
        else:
            w = sampled_w(self.generator, range(max(count, config.images)))
        mean, sigma = style_statistics(self.generator, w[:count], psi, cutoff)
        with torch.no_grad():
            return mean, sigma, self.generator.style(self.generator.truncate(w[: config.images], psi, cutoff))

    def embed(self, s: Tensor) -> Tensor:
        """Unit image features [B, D] of styles [B, C], with gradients."""
        return self.clip.image_features(self.generator.synthesis(s).clamp(-1, 1))

    @torch.no_grad()
    def embed_stored(self, s: Tensor) -> Tensor:
        """The same for images as they are stored, in 8 bits. The released script measures these."""
        return self.clip.encode_images(to_uint8(self.generator.synthesis(s)))
