"""StyleCLIP (Patashnik et al., ICCV 2021): a text moves the latent code of a frozen StyleGAN2 under a frozen CLIP.

Three variants: `optimization` descends on one code, `mapper` trains a small network for each prompt, `global` moves along a direction in
style space that is the same for all images. The source of a sample is the image of its seed; from a prompt alone the edit goes
from `neutral` to the prompt.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from t2ibench.images import to_uint8
from t2ibench.methods.styleclip.editor import Editor
from t2ibench.methods.styleclip.settings import Config
from t2ibench.models import Models
from t2ibench.seeds import latents
from t2ibench.tracks import TextToImage

if TYPE_CHECKING:
    from t2ibench.tracks import Edit

__all__ = ["Config", "Method"]
BATCH = 16  # every pass has this many rows, so that an image never depends on how many were asked for


class Method:
    """Edits the image of a seed, from a neutral text towards another."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or do not fit their config."""
        self.config, self.device = config, models.device
        self.generator = models.stylegan2(config.generator)
        self.editor = _editor(config, models)
        data = (models.used[config.generator].get("data") or {}) if config.generator in models.used else {}
        self.trained_on = [" ".join(data[key] for key in ("dataset", "train"))] if isinstance(data, dict) and data else []

    @property
    def cost(self) -> dict[str, float]:
        """What was spent so far on training and tables, for the record."""
        return self.editor.cost

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """The seed's image, edited towards the prompt: uint8 [B, 3, H, W] on the CPU. Raises ValueError for no request."""
        neutral, target = [self.config.neutral] * len(requests), [request.prompt for request in requests]
        return self._edited([request.seed for request in requests], neutral, target)

    def edit(self, requests: Sequence["Edit"]) -> Tensor:
        """The source of each request after its edit: uint8 [B, 3, H, W] on the CPU. Raises ValueError for no request."""
        return self._edited([r.seed for r in requests], [r.neutral for r in requests], [r.target for r in requests])

    @torch.no_grad()
    def unedited(self, requests: Sequence["Edit"]) -> Tensor:
        """The source of each request, what an edit starts from: uint8 [B, 3, H, W] on the CPU."""
        return self._images(self.generator.style(self.sources([request.seed for request in requests])))

    @torch.no_grad()
    def sources(self, seeds: Sequence[int]) -> Tensor:
        """w_plus [B, L, w_dim] of seeds: the truncated w of the seed's z in every row."""
        if not seeds:
            raise ValueError("styleclip needs at least one request")
        z = latents(seeds, self.generator.config.z_dim).to(self.device)
        w = torch.cat([self.generator.mapping(_filled(part))[: len(part)] for part in z.split(BATCH)])
        return self.generator.truncate(w, self.config.truncation_psi)

    def _edited(self, seeds: Sequence[int], neutral: Sequence[str], target: Sequence[str]) -> Tensor:
        return self._images(self.editor.edited(self.sources(seeds), neutral, target))

    @torch.no_grad()
    def _images(self, s: Tensor) -> Tensor:
        """Styles [B, C] to uint8 [B, 3, H, W] on the CPU, in passes of one size."""
        return torch.cat([to_uint8(self.generator.synthesis(_filled(part))[: len(part)]).cpu() for part in s.split(BATCH)])


def _filled(rows: Tensor) -> Tensor:
    """At most BATCH rows as exactly BATCH: the last one is repeated."""
    return torch.cat([rows, rows[-1:].expand(BATCH - len(rows), *rows.shape[1:])])


def _editor(config: Config, models: Models) -> Editor:
    if config.variant == "optimization":
        from t2ibench.methods.styleclip.optimization import Optimization

        return Optimization(config, models)
    if config.variant == "mapper":
        from t2ibench.methods.styleclip.mapper import Mapper

        return Mapper(config, models)
    from t2ibench.methods.styleclip.global_directions import GlobalDirections

    return GlobalDirections(config, models)
