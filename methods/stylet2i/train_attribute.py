"""Attribute-to-Direction: a step forward must show an attribute, a step back must not, and little else may change.

L = L_sem + L_spa + L_norm with I_pos = G(w + d), I_neg = G(w - d). This part was not released and follows a summary of
the paper. Attributes are drawn uniformly from the vocabulary, rare ones as often as common ones.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split
from t2ibench.methods.stylet2i import lexicon
from t2ibench.methods.stylet2i.lexicon import Lexicon
from t2ibench.methods.stylet2i.losses import difference, semantic_loss, spatial_loss
from t2ibench.methods.stylet2i.segmentation import Segmenter, segmenter
from t2ibench.methods.stylet2i.settings import AttributeSettings
from t2ibench.methods.stylet2i.train_directions import DirectionRecipe
from t2ibench.methods.stylet2i.train_sentence import mean_length
from t2ibench.methods.stylet2i.warm_start import attribute_start
from t2ibench.networks.models import Models
from t2ibench.networks.zoo import trained_name


class AttributeRecipe(DirectionRecipe):
    """The training of attribute directions. The segmenter is loaded only if the spatial constraint is on."""

    config: AttributeSettings

    def __init__(
        self, config: AttributeSettings, train: Split, val: Split, models: Models, seed: int, name: str
    ) -> None:
        """Raises UserError for a data set without a vocabulary."""
        if train.vocabulary is None or not train.vocabulary.phrases:
            raise UserError(
                f"stylet2i {name}: {train.dataset} has no vocabulary, so its attributes cannot be said: use another "
                f"data set"
            )
        self.vocabulary, self.lexicon = train.vocabulary, Lexicon.of(train.vocabulary)
        self.literals = list(self.lexicon.said)
        self.texts = [
            attribute_text(self.lexicon, literal, k, config.phrase)
            for literal in self.literals
            for k in range(self._wordings(literal))
        ]
        super().__init__(config, self.texts, train, val, models, seed, name)
        self.segmenter: Segmenter | None = None
        if config.lambda_spatial:
            where = config.segmenter or trained_name("stylet2i-parts", train.dataset)
            self.segmenter, segmenter_facts = segmenter(where, train.dataset, models)
            self.settings = {**self.settings, "segmenter": segmenter_facts}

    def warm_start(self) -> None:
        settings = self.config.warm_images, self.config.truncation_psi, self.config.theta, self.seed
        attribute_start(self.network, self.generator, self.clip, self.texts, *settings)

    def losses(self, index: int) -> dict[str, Tensor]:
        literals, texts = self._draw(index)
        w = self.latents(index, len(texts))
        d = self.network(texts, w)
        positive, negative = self.render(w, d), self.render(w, -d)
        return {
            **self._semantic(index, literals, texts, positive, negative),
            **self._spatial(literals, positive, negative),
            **self.length_term(d),
        }

    def _semantic(
        self, index: int, literals: Sequence[str], texts: Sequence[str], positive: Tensor, negative: Tensor
    ) -> dict[str, Tensor]:
        text_features, forward = self.text_features(texts), self.image_features(positive)
        if self.config.negative == "text":
            unwanted = (forward * self.text_features(self._others(index, literals))).sum(1)
        else:
            unwanted = (self.image_features(negative) * text_features).sum(1)
        return {
            "semantic": self.config.lambda_semantic
            * semantic_loss((forward * text_features).sum(1), unwanted, self.config.margin)
        }

    def _spatial(self, literals: Sequence[str], positive: Tensor, negative: Tensor) -> dict[str, Tensor]:
        if self.segmenter is None:
            return {}
        return {
            "spatial": self.config.lambda_spatial
            * spatial_loss(positive, negative, self.masks(literals, positive, negative))
        }

    def masks(self, literals: Sequence[str], positive: Tensor, negative: Tensor) -> Tensor:
        """The pixels where the attributes may show, bool [B, H, W]. No gradient passes through them."""
        assert self.segmenter is not None  # else there is no spatial constraint
        names = [literal.partition("=")[0] for literal in literals]
        masks = self.segmenter(positive.detach(), names)
        return masks if self.config.masks == "positive" else masks | self.segmenter(negative.detach(), names)

    def _wordings(self, literal: str) -> int:
        return len(self.lexicon.said[literal])

    def _draw(self, index: int) -> tuple[list[str], list[str]]:
        """The literals of a step, and a text with one wording of each."""
        numbers = uniform(derive_seed(self.seed, "attributes", index), 2 * self.config.batch).reshape(-1, 2)
        literals = [self.literals[int(u * len(self.literals))] for u in numbers[:, 0]]
        wordings = [int(u * self._wordings(literal)) for u, literal in zip(numbers[:, 1], literals, strict=True)]
        return literals, [
            attribute_text(self.lexicon, lit, k, self.config.phrase) for lit, k in zip(literals, wordings, strict=True)
        ]

    def _others(self, index: int, literals: Sequence[str]) -> list[str]:
        """For each literal the text of another value of its attribute, or of any other literal if there is no other."""
        texts = []
        for literal, u in zip(literals, uniform(derive_seed(self.seed, "others", index), len(literals)), strict=True):
            rest = [other for other in self.literals if other != literal]
            near = [other for other in rest if other.partition("=")[0] == literal.partition("=")[0]] or rest
            texts.append(attribute_text(self.lexicon, near[int(u * len(near))], 0, self.config.phrase))
        return texts

    def asked(self, count: int) -> list[str]:
        step = max(1, len(self.literals) // count)
        return [
            attribute_text(self.lexicon, literal, 0, self.config.phrase) for literal in self.literals[::step][:count]
        ]

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, config = super().result()
        return tensors, {**config, "phrase": self.config.phrase, "vocabulary": lexicon.facts(self.vocabulary)}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Means over all literals, under the CLIP that was optimised.

        cosine_gap: the text's cosine with the image a step forward, minus that with the image a step back.
        length: of a direction.
        change_inside, mask (with a segmenter): the share of the change that lies in the mask, and the mask's share of
        the image.
        """
        texts = [attribute_text(self.lexicon, literal, 0, self.config.phrase) for literal in self.literals]
        w = self.latents("held out", len(texts))
        d, text_features = self.network(texts, w), self.text_features(texts)
        positive, negative = self.render(w, d), self.render(w, -d)
        gap = ((self.image_features(positive) - self.image_features(negative)) * text_features).sum(1)
        numbers = {"n": len(texts), "cosine_gap": round(float(gap.mean()), 4), "length": round(mean_length(d), 3)}
        if self.segmenter is not None:
            change, masks = difference(positive, negative), self.masks(self.literals, positive, negative).float()
            inside = (change * masks).sum() / change.sum().clamp_min(1e-8)
            numbers |= {"change_inside": round(float(inside), 4), "mask": round(float(masks.mean()), 4)}
        return numbers


def attribute_text(lexicon: Lexicon, literal: str, wording: int, phrase: str) -> str:
    """A literal's phrase ("long hair"), or a sentence of it ("this person has long hair")."""
    kind, text = lexicon.said[literal][wording]
    return text if phrase == "plain" else f"{lexicon.subject} {kind} {text}"
