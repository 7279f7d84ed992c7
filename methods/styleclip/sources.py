"""What an edit starts from: the latent of a seed, a row of a file, or what the encoder finds for a real image."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.core.seeds import latents
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.lpips import Lpips
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.state import fill
from t2ibench.networks.stylegan2 import latents as stored_latents
from t2ibench.networks.stylegan2 import published_encoders
from t2ibench.networks.stylegan2.inversion import Encoder, encode, project
from t2ibench.networks.stylegan2.published_encoders import PublishedEncoder


class Sources:
    """Latents w_plus [B, L, w_dim]; row i depends on request i alone."""

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.models = config, models
        self.generator = models.stylegan2(config.generator)
        self.stored: Tensor | None = None  # [N, L, w_dim], of the file that the settings name
        if config.latents:
            models.file(config.latents)
            self.stored = stored_latents.read(Path(config.latents), self.generator.config).to(models.device)
        self._of_image: dict[bytes, Tensor] = {}  # [L, w_dim] of each real image, which comes back with every text

    @torch.no_grad()
    def of_seeds(self, seeds: Sequence[int]) -> Tensor:
        """The truncated w of each seed's z, in every row; or row `seed` modulo N of the file of N latents."""
        if self.stored is not None:
            return self.stored[torch.tensor([seed % len(self.stored) for seed in seeds], device=self.stored.device)]
        z = latents(seeds, self.generator.config.z_dim).to(self.models.device)
        return self.generator.truncate(in_passes(self.generator.mapping, z), self.config.truncation_psi)

    def of_images(self, images: Sequence[np.ndarray]) -> Tensor:
        """The latents of real images, uint8 [3, H, W].

        Each starts from the encoder's answer, or from the mean w without an encoder, and is improved by descent.
        Raises UserError for images of another size than the generator's.
        """
        side = self.generator.config.resolution
        wrong = [image.shape for image in images if image.shape != (3, side, side)]
        if wrong:
            raise UserError(
                f"styleclip: an image is {wrong[0]}, {self.config.generator} draws (3, {side}, {side}): scale it first"
            )
        new = [image for image in images if image.tobytes() not in self._of_image]
        if new:
            codes = in_passes(self._inverted, to_float(torch.from_numpy(np.stack(new))).to(self.models.device))
            self._of_image |= {image.tobytes(): w_plus for image, w_plus in zip(new, codes, strict=True)}
        return torch.stack([self._of_image[image.tobytes()] for image in images])

    def _inverted(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            if isinstance(self._encoder, PublishedEncoder):
                start = self._encoder.encode(self.generator, images)
            elif self._encoder is not None:
                start = encode(self._encoder, self.generator, images)
            else:
                start = self.generator.truncate(self.generator.mapping.w_avg.expand(len(images), -1))
        if not self.config.projection_steps:
            return start
        clip = self.models.clip(self.config.clip)
        return project(self.generator, clip, images, start, steps=self.config.projection_steps, lpips=self._lpips)

    @cached_property
    def _lpips(self) -> Lpips | None:
        if not self.config.lpips:
            return None
        for path in (self.config.lpips, self.config.lpips_trunk):
            self.models.file(path)
        return Lpips.from_files(Path(self.config.lpips), Path(self.config.lpips_trunk)).to(self.models.device)

    @cached_property
    def _encoder(self) -> Encoder | PublishedEncoder | None:
        if not self.config.encoder:
            return None
        path = Path(self.config.encoder)
        if path.is_file() or path.suffix in (".pt", ".pth"):
            self.models.file(str(path))
            published = published_encoders.read(path, self.generator)
            published.network.to(self.models.device)
            return published
        weights = self.models.weights(self.config.encoder)
        learned_for = weights.card.get("recipe", {}).get("generator")
        if learned_for not in (None, self.models.used[self.config.generator]["sha256"]):
            raise UserError(
                f"{weights.name} is an encoder for another generator than {self.config.generator}: train one for it"
            )
        expected = f"an encoder for {self.config.generator}"
        encoder = fill(Encoder(self.generator.config), weights.tensors, weights.name, expected, "train one for it")
        return encoder.eval().requires_grad_(False).to(self.models.device)
