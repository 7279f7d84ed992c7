"""StyleT2I (Li et al., CVPR 2022): a sentence becomes a step in the latent space of a frozen StyleGAN2.

Text-to-Direction maps a sentence and the seed's latent to a step s in W+; Attribute-to-Direction does so for one
attribute. At inference Compositional Attribute Adjustment adds the attributes of the sentence that s points away from.
The directions of attributes alone edit an image: those that the target names are added to its latent.
The first is as the authors released it. The other two were not released and follow a summary of the paper. Not here:
StyleT2I-XD as a variant (it is another `generator`), and the file names that the released sampler exchanges.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float, to_uint8
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
from t2ibench.networks.stylegan2.inversion import project
from t2ibench.networks.weights import seen_by
from t2ibench.tracks.contract import Edit, TextToImage

__all__ = ["PARTS", "PRESETS", "Config", "Method", "recipe"]


class Method:
    """Draws a sentence from the latent of the request's seed."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or trained for another generator or truncation."""
        self.config, self.models = config, models
        self._of_image: dict[bytes, Tensor] = {}  # w_plus [L, w_dim] of each real image
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
            self.trained_on = seen_by(models.weights(config.sentence).card)

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
    def edit(self, requests: Sequence[Edit]) -> Tensor:
        """The source of each request, moved by the directions of the attributes that its target names and its neutral
        text does not: uint8 [B, 3, H, W] on the CPU.

        Raises UserError where attributes have no directions, and ValueError for a target that names no new attribute.
        """
        if not self.config.caa:
            raise UserError("stylet2i: an edit goes along the directions of attributes: leave caa on")
        w_plus, owner, literals = self._sources(requests), [], []
        for row, request in enumerate(requests):
            before = self.lexicon.literals(request.neutral)
            new = [literal for literal in self.lexicon.literals(request.target) if literal not in before]
            if not new:
                raise ValueError(f"{request.target!r} names no attribute that {request.neutral!r} does not")
            owner += [row] * len(new)
            literals += new
        d = self.directions(literals, w_plus[owner].mean(1))
        return self._images(w_plus.index_add(0, torch.tensor(owner, device=d.device), self.config.edit_strength * d))

    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        """The source of each request, from which the edit starts: uint8 [B, 3, H, W] on the CPU."""
        return self._images(self._sources(requests))

    def _sources(self, requests: Sequence[Edit]) -> Tensor:
        """w_plus [B, L, w_dim]: a seed's w in every row, or what a descent finds for a real image."""
        if not requests:
            raise ValueError("stylet2i needs at least one request")
        w_plus = self.latents([request.seed for request in requests])[:, None].repeat(1, self.generator.config.rows, 1)
        for row, request in enumerate(requests):
            if request.image is not None:
                key = request.image.tobytes()  # an image comes back with every text
                if key not in self._of_image:
                    self._of_image[key] = self._inverted(request.image)
                w_plus[row] = self._of_image[key]
        return w_plus

    def _inverted(self, image: np.ndarray) -> Tensor:
        """The w_plus [L, w_dim] of a real image, uint8 [3, H, W], from the mean w by descent under the guide."""
        side, text = self.generator.config.resolution, self.sentence.text
        if image.shape != (3, side, side):
            raise UserError(f"stylet2i: an image is {image.shape}, expected (3, {side}, {side}): scale it first")
        if not isinstance(text, ClipText):
            raise UserError(
                "stylet2i: the released code has no way from a real image to its latent: edit a seed's image"
            )
        start = self.generator.mapping.w_avg.expand(1, self.generator.config.rows, -1)
        pixels = to_float(torch.from_numpy(image)[None]).to(self.models.device)
        return project(self.generator, text.clip, pixels, start, steps=self.config.projection_steps)[0]

    @torch.no_grad()
    def _images(self, w_plus: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W], on the CPU, of w_plus [B, L, w_dim]."""
        return to_uint8(in_passes(self.generator.synthesis, in_passes(self.generator.style, w_plus))).cpu()

    def drawn(self, w: Tensor, s: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W], on the CPU, of w [B, w_dim] in every row plus steps [B, L, w_dim]."""
        return self._images(w[:, None] + s)

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
        adjusted = functools.partial(
            adjust,
            scale=self.config.caa_scale,
            space=self.config.caa_space,
            threshold=self.config.caa_threshold,
            unit=self.config.caa_unit,
        )
        return torch.stack([adjusted(step, of) for step, of in zip(s, rows, strict=True)])

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
