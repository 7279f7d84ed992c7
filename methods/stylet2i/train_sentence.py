"""Text-to-Direction: steps from captions and latents.

The training draws an image after each step; CLIP should match it with its own caption among all captions of the batch.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split
from t2ibench.methods.stylet2i.lexicon import Lexicon
from t2ibench.methods.stylet2i.losses import contrastive_loss, cosine_loss
from t2ibench.methods.stylet2i.settings import SentenceSettings
from t2ibench.methods.stylet2i.train_directions import HELD_OUT, DirectionRecipe
from t2ibench.methods.stylet2i.warm_start import sentence_start
from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models
from t2ibench.networks.schedule import batch_rows


class SentenceRecipe(DirectionRecipe):
    """The training of sentence directions: L = L_contras + lambda L_norm."""

    config: SentenceSettings

    def __init__(
        self, config: SentenceSettings, train: Split, val: Split, models: Models, seed: int, name: str
    ) -> None:
        """Raises UserError for images without captions, or fewer of them than a batch."""
        for split in (train, val):
            missing = [id for id, texts in zip(split.ids, split.captions, strict=True) if not texts]
            if missing:
                raise UserError(
                    f"{split.dataset} {split.name}: image {missing[0]} has no caption, expected at least one: write one"
                )
        if len(train) < config.batch:
            raise UserError(
                f"{train.dataset} {train.name} has {len(train)} images, a batch is {config.batch}: lower `batch`"
            )
        self.lexicon: Lexicon | None = None  # only where it decides which captions are negatives
        if config.false_negatives == "masked":
            if train.vocabulary is None or not train.vocabulary.phrases:
                raise UserError(
                    f"stylet2i {name}: {train.dataset} has no vocabulary, so nobody knows which attributes a caption "
                    f"names: leave false_negatives at kept"
                )
            self.lexicon = Lexicon.of(train.vocabulary)
        super().__init__(config, (text for texts in train.captions for text in texts), train, val, models, seed, name)
        self.scale = clip_scale(self.clip, config.contrastive_scale)

    def warm_start(self) -> None:
        captions = [texts[0] for texts in self.train.captions]
        sentence_start(
            self.network,
            self.generator,
            self.clip,
            captions,
            self.config.warm_images,
            self.config.truncation_psi,
            self.seed,
        )

    def losses(self, index: int) -> dict[str, Tensor]:
        texts, w = self._captions(index), self.latents(index, self.config.batch)
        s = self.network(texts, w)
        features = self.image_features(self.render(w, s)), self.text_features(texts)
        if self.config.loss == "contrastive":
            match = contrastive_loss(
                *features, self.scale, None if self.lexicon is None else fitting(texts, self.lexicon)
            )
        else:
            match = cosine_loss(*features)
        return {self.config.loss: match, **self.length_term(s)}

    def _captions(self, index: int) -> list[str]:
        rows = batch_rows(self.seed, index, len(self.train), self.config.batch)
        if self.config.captions == "first":
            return [self.train.captions[row][0] for row in rows]
        numbers = uniform(derive_seed(self.seed, "captions", index), len(rows))
        return [
            self.train.captions[row][int(u * len(self.train.captions[row]))]
            for row, u in zip(rows, numbers, strict=True)
        ]

    def asked(self, count: int) -> list[str]:
        return [texts[0] for texts in self.val.captions[:count]]

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """On held-out captions, under the CLIP that was optimised.

        cosine_before, cosine_after: the mean cosine between an image and its caption, before and after the step.
        nearest: how often the image after the step is nearest to its own caption.
        length: the mean length of a step.
        """
        texts = self.asked(HELD_OUT)
        w = self.latents("held out", len(texts))
        s = self.network(texts, w)
        text_features = self.text_features(texts)
        before, after = (self.image_features(self.render(w, step)) for step in (0 * s, s))
        nearest = (after @ text_features.T).argmax(1).cpu() == torch.arange(len(texts))
        cosines = {
            f"cosine_{when}": round(float((f * text_features).sum(1).mean()), 4)
            for when, f in (("before", before), ("after", after))
        }
        return {
            "n": len(texts),
            **cosines,
            "nearest": round(float(nearest.float().mean()), 4),
            "length": round(mean_length(s), 3),
        }


def fitting(texts: Sequence[str], lexicon: Lexicon) -> Tensor:
    """Which texts fit an image that fits text i, bool [B, B]: those that name no attribute beyond those of text i."""
    named = [set(lexicon.literals(text)) for text in texts]
    return torch.tensor([[other <= own for other in named] for own in named])


def clip_scale(clip: Clip, kind: str) -> float:
    """The factor on cosines in the contrastive loss.

    kind: "reference", the logarithm that the model stores (about 4.6); "paper", 1; "exp", the model's scale (100).
    """
    return {"reference": math.log(clip.logit_scale), "paper": 1.0, "exp": clip.logit_scale}[kind]


def mean_length(s: Tensor) -> float:
    return float(torch.linalg.vector_norm(s.flatten(1), dim=1).mean())
