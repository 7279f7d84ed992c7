"""StyleT2I (Li et al., CVPR 2022): a sentence becomes a step in the latent space of a frozen StyleGAN2.

Text-to-Direction maps a sentence and the seed's latent to a step s in W+; Attribute-to-Direction does so for one
attribute. At inference Compositional Attribute Adjustment adds the attributes of the sentence that s points away from.
The first is as the authors released it. The other two were not released and follow a summary of the paper. Not here:
StyleT2I-XD as a variant (it is another `generator`), and the file names that the released sampler exchanges.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import latents
from t2ibench.methods.stylet2i import published
from t2ibench.methods.stylet2i.adjustment import adjust
from t2ibench.methods.stylet2i.directions import DirectionNetwork, load
from t2ibench.methods.stylet2i.lexicon import Lexicon
from t2ibench.methods.stylet2i.recipe import PARTS, recipe
from t2ibench.methods.stylet2i.settings import PRESETS, Config
from t2ibench.methods.stylet2i.text import ClipText
from t2ibench.methods.stylet2i.train_attribute import attribute_text
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.tracks.contract import TextToImage

__all__ = ["PARTS", "PRESETS", "Config", "Method", "recipe"]


class Method:
    """Draws a sentence from the latent of the request's seed."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or trained for another generator or truncation."""
        self.config, self.models = config, models
        self.generator = models.stylegan2(config.generator)
        self.sentence, self.psi = self._released() if config.released else self._network(config.sentence)
        if config.caa:
            self.attribute, psi = self._network(config.attribute)
            if psi != self.psi:
                other = f"{config.sentence} at {self.psi}"
                raise UserError(
                    f"{config.attribute} was trained at truncation_psi {psi}, {other}: train one of them again"
                )
            stored = models.weights(config.attribute).config
            self.lexicon, self.phrase = Lexicon.from_config(stored["vocabulary"]), str(stored["phrase"])
        text = self.sentence.text  # the words of the other encoder are read to their end
        self.reads = {text.clip.name: text.clip} if isinstance(text, ClipText) else {}
        self.trained_on = [Path(config.sentence).name]
        if not config.released:
            data = models.weights(config.sentence).card["data"]
            self.trained_on = [" ".join(data[key] for key in ("dataset", "train"))]

    @torch.no_grad()
    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, H, W] on the CPU: row i depends on requests[i] alone.

        Raises ValueError for no request.
        """
        if not requests:
            raise ValueError("text_to_image needs at least one request")
        w = self.latents([request.seed for request in requests])
        return self.drawn(w, self.steps([request.prompt for request in requests], w))

    @torch.no_grad()
    def drawn(self, w: Tensor, s: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W], on the CPU, of w [B, w_dim] in every row plus steps [B, L, w_dim]."""
        styles = in_passes(self.generator.style, w[:, None] + s)
        return to_uint8(in_passes(self.generator.synthesis, styles)).cpu()

    @torch.no_grad()
    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Truncated w [B, w_dim] of each seed's z."""
        z = latents(seeds, self.generator.config.z_dim).to(self.models.device)
        return self.generator.mapping.w_avg.lerp(in_passes(self.generator.mapping, z), self.psi)

    def steps(self, prompts: Sequence[str], w: Tensor) -> Tensor:
        """The steps [B, L, w_dim] of sentences from latents w [B, w_dim]; adjusted, if the setting `caa` is on."""
        s = self.sentence.apart(prompts, w)
        if not self.config.caa:
            return s
        named = [self.lexicon.literals(prompt) for prompt in prompts]
        owner = [row for row, literals in enumerate(named) for _ in literals]
        if not owner:
            return s
        directions = self.directions([literal for literals in named for literal in literals], w[owner])
        rows = [[directions[k] for k, of in enumerate(owner) if of == row] for row in range(len(prompts))]
        return torch.stack(
            [adjust(step, of, self.config.caa_scale, self.config.caa_space) for step, of in zip(s, rows, strict=True)]
        )

    def directions(self, literals: Sequence[str], w: Tensor) -> Tensor:
        """The step of one literal `attribute=value` from each latent w [B, w_dim]: [B, L, w_dim]."""
        return self.attribute.apart([attribute_text(self.lexicon, literal, 0, self.phrase) for literal in literals], w)

    def _released(self) -> tuple[DirectionNetwork, float]:
        """The network of a file of the released code, and the truncation that the settings say."""
        for path in (self.config.sentence, self.config.vectors):
            self.models.file(path)
        network = published.read(Path(self.config.sentence), Path(self.config.vectors), self.generator.config)
        return network.to(self.models.device), self.config.truncation_psi

    def _network(self, name: str) -> tuple[DirectionNetwork, float]:
        """The network of weights, and the truncation that it was trained at."""
        weights, generator = self.models.weights(name), self.models.used[self.config.generator]["sha256"]
        network = load(weights, self.models)
        if weights.config["generator_sha256"] != generator:
            trained_for = f"{weights.config['generator']} with sha256 {weights.config['generator_sha256'][:12]}…"
            raise UserError(
                f"{name} was trained for {trained_for}, {self.config.generator} has {generator[:12]}…: train it again"
            )
        return network, float(weights.config["truncation_psi"])
