"""StyleCLIP (Patashnik et al., ICCV 2021): a text moves the latent code of a frozen StyleGAN2 under a frozen CLIP.

Three variants: `optimization` descends on one code, `mapper` trains a small network for each prompt, `global` moves
along a direction in style space that is the same for all images. The source of a sample is the image of its seed; from
a prompt alone the edit goes from `neutral` to the prompt.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from t2ibench.core.images import to_uint8
from t2ibench.methods.styleclip.editor import Editor
from t2ibench.methods.styleclip.settings import PRESETS, Config
from t2ibench.methods.styleclip.sources import Sources
from t2ibench.networks.clip.model import InTemplates
from t2ibench.networks.clip.templates import PLAIN, TEMPLATES
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.weights import seen_by
from t2ibench.tracks.contract import Edit, TextToImage

__all__ = ["PRESETS", "Config", "Method"]


class Method:
    """Edits the image of a seed, or a real one, from a neutral text towards another."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or do not fit their config."""
        self.config = config
        self.generator, self.sources, self.editor = (
            models.stylegan2(config.generator),
            Sources(config, models),
            _editor(config, models),
        )
        phrases = TEMPLATES[config.templates] if config.variant == "global" else PLAIN
        self.reads = {config.clip: InTemplates(models.clip(config.clip), phrases)}
        self.trained_on = seen_by(models.used[config.generator])

    @property
    def cost(self) -> dict[str, float]:
        """What training and tables have cost so far, for the record."""
        return self.editor.cost

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """The seed's image, edited towards the prompt: uint8 [B, 3, H, W] on the CPU.

        Raises ValueError for no request.
        """
        return self.edit([Edit(self.config.neutral, request.prompt, request.seed) for request in requests])

    def edit(self, requests: Sequence[Edit]) -> Tensor:
        """The source of each request after its edit: uint8 [B, 3, H, W] on the CPU.

        Raises ValueError for no request.
        """
        w_plus = self._latents(requests)
        return self._images(self.editor.edited(w_plus, [r.neutral for r in requests], [r.target for r in requests]))

    @torch.no_grad()
    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        """The source of each request, from which the edit starts: uint8 [B, 3, H, W] on the CPU."""
        return self._images(in_passes(self.generator.style, self._latents(requests)))

    def _latents(self, requests: Sequence[Edit]) -> Tensor:
        """w_plus [B, L, w_dim] of the sources, whether of seeds or of real images, in the order of the requests."""
        if not requests:
            raise ValueError("styleclip needs at least one request")
        real = [request.image for request in requests if request.image is not None]
        seeds = [request.seed for request in requests if request.image is None]
        codes = [self.sources.of_seeds(seeds)] if seeds else []
        codes += [self.sources.of_images(real)] if real else []
        order = sorted(range(len(requests)), key=lambda i: requests[i].image is not None)
        return torch.cat(codes)[torch.tensor(order).argsort().to(codes[0].device)]

    @torch.no_grad()
    def _images(self, s: Tensor) -> Tensor:
        return to_uint8(in_passes(self.generator.synthesis, s)).cpu()


def _editor(config: Config, models: Models) -> Editor:
    if config.variant == "optimization":
        from t2ibench.methods.styleclip.optimization import Optimization

        return Optimization(config, models)
    if config.variant == "mapper":
        from t2ibench.methods.styleclip.mapper import Mapper

        return Mapper(config, models)
    from t2ibench.methods.styleclip.global_directions import GlobalDirections

    return GlobalDirections(config, models)
