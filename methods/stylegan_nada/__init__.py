"""StyleGAN-NADA (Gal et al., SIGGRAPH 2022): a text moves a whole generator to a domain of which it has seen no image.

Two copies of a StyleGAN2, one frozen and one learning, draw the same latents. The learning one is trained until, in
CLIP's space, its images differ from the frozen one's as the target text differs from the source text. Each source and
target text need a training of their own, of a few hundred steps. For changes of shape a latent mapper can follow, which
moves codes to where the adapted generator shows the target (mining.py). A few images may stand in place of the target
text (images.py). Not here: the generators of StyleGAN3 and StyleGAN-XL.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import latents
from t2ibench.core.settings import configure, with_preset
from t2ibench.data.split import Split
from t2ibench.methods.stylegan_nada.adaptations import Adaptations
from t2ibench.methods.stylegan_nada.losses import weighted
from t2ibench.methods.stylegan_nada.mining import Mining
from t2ibench.methods.stylegan_nada.settings import PRESETS, Config, Training
from t2ibench.methods.stylegan_nada.training import AdaptationRecipe
from t2ibench.networks.clip.model import InTemplates
from t2ibench.networks.clip.templates import TEMPLATES
from t2ibench.networks.guides import check_domain
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.weights import seen_by
from t2ibench.networks.zoo import trained_name
from t2ibench.tracks.contract import Adapt, TextToImage

__all__ = ["PARTS", "PRESETS", "Config", "Method", "recipe"]
PARTS = ("stylegan_nada",)


class Method:
    """Draws a seed's latent with the generator that was adapted from one text to another, or with its parent."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or do not fit each other."""
        self.config, self.models = config, models
        self.parent, self.adaptations = models.stylegan2(config.generator), Adaptations(config, models)
        self.mining = Mining(config, models) if config.mining_steps else None
        clips = weighted(config) if config.prompts == "every" else {}  # else a prompt only names a known domain
        self.reads = {name: InTemplates(models.clip(name), TEMPLATES[config.templates]) for name in clips}
        self.trained_on = seen_by(models.used[config.generator])

    @property
    def cost(self) -> dict[str, float]:
        """What training has cost so far, with mining, for the record."""
        cost = dict(self.adaptations.cost)
        if cost and self.mining is not None:
            cost["training_seconds"] += sum(self.mining.seconds.values())
            cost["training_seconds_per_prompt"] = cost["training_seconds"] / cost["prompts_trained"]
            cost["spent_seconds"] += self.mining.spent
        return cost

    def adapt(self, requests: Sequence[Adapt]) -> Tensor:
        """Images of the target domain, uint8 [B, 3, H, W] on the CPU. Raises ValueError for no request.

        Raises UserError for texts without a direction between them.
        """
        return self._images(
            [(request.source, request.target) for request in requests], [request.seed for request in requests]
        )

    def unadapted(self, requests: Sequence[Adapt]) -> Tensor:
        """The parent's images of the same latents, uint8 [B, 3, H, W] on the CPU; they depend on the seeds alone."""
        return self._images([None] * len(requests), [request.seed for request in requests])

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """Images of the domain that each prompt names, or of the parent if it names none.

        If the setting `prompts` is "every", each prompt is a target, for which a generator is trained. Returns uint8
        [B, 3, H, W] on the CPU.
        """
        targets = [
            request.prompt if self.config.prompts == "every" else self.adaptations.named(request.prompt)
            for request in requests
        ]
        texts = [None if target is None else (self.config.source, target) for target in targets]
        return self._images(texts, [request.seed for request in requests])

    def _images(self, texts: Sequence[tuple[str, str] | None], seeds: Sequence[int]) -> Tensor:
        """The image of each seed by the generator of its texts, or by the parent if they are None."""
        if not texts:
            raise ValueError("stylegan_nada needs at least one request")
        images: dict[int, Tensor] = {}
        for text_pair in dict.fromkeys(texts):
            rows = [row for row, of in enumerate(texts) if of == text_pair]
            images |= zip(rows, self._drawn(text_pair, [seeds[row] for row in rows]), strict=True)
        return torch.stack([images[row] for row in range(len(texts))])

    @torch.no_grad()
    def _drawn(self, texts: tuple[str, str] | None, seeds: Sequence[int]) -> Tensor:
        """Images of seeds with fixed noise: uint8 [B, 3, H, W].

        The parent maps and truncates for every generator, so that its images and theirs have the same latents.
        """
        generator = self.parent if texts is None else self.adaptations.generator(*texts)
        z = latents(seeds, self.parent.config.z_dim).to(self.models.device)
        w_plus = self.parent.truncate(in_passes(self.parent.mapping, z), self.config.truncation_psi)
        if texts is not None and self.mining is not None:
            w_plus = self.mining.mined(w_plus, generator, texts, self.adaptations.facts(*texts))
        return to_uint8(in_passes(lambda rows: generator.synthesis(generator.style(rows)), w_plus)).cpu()


def recipe(
    part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int
) -> AdaptationRecipe:
    """The adaptation to the setting `target`. It reads no image of a data set. Raises UserError for an unknown key."""
    if part not in PARTS:
        raise UserError(f"stylegan_nada has no part {part!r}{did_you_mean(part, PARTS)}")
    guides = {"clips": [trained_name(part, train.dataset) for part in ("clip-guide", "clip-guide-styles")]}
    where = f"stylegan_nada {part}"
    of_preset = with_preset(PRESETS, settings, where)
    config = configure(Training, {**guides, **of_preset, "seed": settings.get("seed", seed)}, where)
    if "clips" not in settings:
        check_domain(config.generator, config.clips, where, "clips")
    return AdaptationRecipe(config, config.source, config.target, models)
