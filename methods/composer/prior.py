"""The prior: a small diffusion model from the embedding of a caption to an image embedding E.

Tasks that have only a caption use it. As in unCLIP and the lab's earlier model there are four tokens (sentence, time,
noisy E, and one whose output is read), attention is causal, and the network predicts x_0 itself. The paper gives only
its size, its steps and its guidance.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.cache import cached
from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed, latents, uniform
from t2ibench.data.split import Split
from t2ibench.methods.composer import diffusion
from t2ibench.methods.composer.decompose.semantics import unit_rms
from t2ibench.methods.composer.learner import Learner, card_facts
from t2ibench.methods.composer.network import guide
from t2ibench.methods.composer.settings import PRIORS, PriorShape, PriorTraining
from t2ibench.networks import extractors
from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, warmup_cosine

CHECKED, STEPS, SCALES = 500, 25, (1.0, 3.0)  # held-out images on the card; steps and guidance of their embeddings


class Prior(nn.Module):
    """Predicts E from a noisy E and a sentence. Zeros stand for no sentence: no embedding is zero."""

    def __init__(self, shape: PriorShape) -> None:
        from diffusers import PriorTransformer

        super().__init__()
        self.shape = shape
        self.trunk: Any = PriorTransformer(
            num_attention_heads=shape.heads,
            attention_head_dim=shape.head_channels,
            num_layers=shape.layers,
            embedding_dim=shape.embed_dim,
            num_embeddings=0,  # words; the four others are additional
            additional_embeddings=4,
            encoder_hid_proj_type=None,
        )
        trunk: Any = self.trunk
        for parameter in (trunk.positional_embedding, trunk.prd_embedding):
            nn.init.normal_(parameter, std=0.02)  # diffusers starts both at zero
        nn.init.normal_(trunk.proj_to_clip_embeddings.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def forward(self, x: Tensor, t: Tensor, sentences: Tensor) -> Tensor:
        """The predicted E [B, D], from x_t [B, D] at integer times [B] and sentences [B, D] of unit RMS."""
        no_words = x.new_ones(len(x), 0)  # given a mask, diffusers also makes the attention causal
        return self.trunk(x, t, proj_embedding=sentences, attention_mask=no_words).predicted_image_embedding

    def sampled(self, noise: Tensor, sentences: Tensor, steps: int, scale: float) -> Tensor:
        """E of sentences, guided away from the E of no sentence: [B, D] of unit RMS."""

        def predict(x: Tensor, t: Tensor) -> Tensor:
            wanted = self(x, t, sentences)
            return wanted if scale == 1 else guide(self(x, t, torch.zeros_like(sentences)), wanted, scale)

        return unit_rms(diffusion.sample(predict, noise, diffusion.sampler("dpmpp2m", steps, 0, "sample")))


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a split, of unit RMS.

    images: [N, D].
    sentences: [U, D], one for every distinct caption.
    captions: for each image, the rows of its captions in `sentences`.
    """

    images: Tensor
    sentences: Tensor
    captions: Sequence[Sequence[int]]


def embedded(clip: Clip, split: Split, folder: Path) -> Embedded:
    """The embeddings of a split under a CLIP, computed once and kept in the cache, which is `folder`.

    Raises UserError for an image without a caption.
    """
    if bare := [name for name, captions in zip(split.ids, split.captions, strict=True) if not captions]:
        raise UserError(
            f"composer prior: image {bare[0]} of {split.dataset} {split.name} has no caption: leave such images out"
        )
    texts = sorted({text for captions in split.captions for text in captions})
    rows = {text: row for row, text in enumerate(texts)}
    key = [clip.sha256, clip.preprocess.id]
    images = cached(
        folder,
        ["clip images", key, split.digest],
        lambda: extractors.extract(
            clip.encode_images, split.images.read, np.arange(len(split)), f"embed {len(split):,} images"
        ),
    )
    sentences = cached(folder, ["clip texts", key, texts], lambda: clip.encode_texts(texts).numpy())
    captions = [[rows[text] for text in captions] for captions in split.captions]
    return Embedded(unit_rms(torch.from_numpy(images)), unit_rms(torch.from_numpy(sentences)), captions)


class PriorRecipe:
    """The training of one prior; `t2ibench.networks.training.loop.fit` drives it."""

    name = "composer-prior"

    def __init__(self, config: PriorTraining, train: Split, val: Split, models: Models) -> None:
        """Embeds images and captions.

        Raises UserError for an image without a caption, or if CLIP's embeddings do not have the network's size.
        """
        self.config, self.device, self.steps = config, models.device, config.steps
        self.splits = train.take(range(config.images or len(train))), val.take(range(min(CHECKED, len(val))))
        self.digest, clip = train.digest, models.clip(config.clip)
        self.train, self.val = (embedded(clip, split, models.cache) for split in self.splits)
        self.shape = PriorShape(**{"embed_dim": self.train.images.shape[1], **PRIORS[config.size]})
        if self.shape.embed_dim != self.train.images.shape[1]:
            size = f"{self.train.images.shape[1]} numbers, size {config.size!r} is for {self.shape.embed_dim}"
            raise UserError(f"composer prior: {config.clip} embeds in {size}: use another CLIP or size")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.seed, "weights"))
            self.model = Prior(self.shape).to(self.device)
        self.learner, self.abar = Learner(self.model, config), diffusion.alphas_bar()

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**dataclasses.asdict(self.config), "shape": dataclasses.asdict(self.shape), "data": self.digest}

    @property
    def facts(self) -> dict[str, Any]:
        return card_facts(*self.splits, self.digest, self.config.seed)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.model, self.model, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        seed, count = derive_seed(self.config.seed, "step", index), len(self.train.images)
        rows = batch_rows(derive_seed(self.config.seed, "rows"), index, count, self.config.batch)
        picks, drops = uniform(seed, 2 * len(rows)).reshape(2, -1)
        captions = [self.train.captions[row] for row in rows]
        chosen = [choices[int(pick * len(choices))] for choices, pick in zip(captions, picks, strict=True)]
        sentences = self.train.sentences[chosen]
        sentences = torch.where(torch.from_numpy(drops < self.config.p_drop)[:, None], 0.0, sentences).to(self.device)
        x0 = self.train.images[torch.from_numpy(rows)].to(self.device)
        noise, t = diffusion.draws(derive_seed(seed, "noise"), x0)
        return self.learner.step(
            index,
            seed,
            lambda: F.mse_loss(self.model(diffusion.noised(x0, noise, t, self.abar), t, sentences), x0),
            warmup_cosine(progress),
        )

    def state(self) -> dict[str, Any]:
        return self.learner.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.learner.load_state(state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        config = {**dataclasses.asdict(self.shape), "clip": self.config.clip}
        return {name: value.clone() for name, value in self.learner.averaged().state_dict().items()}, config

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Mean cosines with the embeddings of held-out images.

        They are taken of what the prior makes from an image's caption and from another image's caption, of the
        caption's own embedding, and of the mean embedding of the training images.
        """
        x0, sentences = self.val.images, self.val.sentences[[rows[0] for rows in self.val.captions]]
        noise = latents(
            [derive_seed(self.config.seed, "validate", row) for row in range(len(x0))], self.shape.embed_dim
        )
        model = self.learner.averaged()
        numbers: dict[str, Any] = {"images": len(x0), "steps": STEPS}
        for scale in SCALES:
            sampled = model.sampled(noise.to(self.device), sentences.to(self.device), STEPS, scale).cpu()
            for name, other in (("", sampled), ("_other_caption", sampled.roll(1, 0))):
                numbers[f"cosine_w{scale:g}{name}"] = cosine(other, x0)
        mean = self.train.images.mean(0, keepdim=True)
        return {**numbers, "cosine_caption": cosine(sentences, x0), "cosine_mean": cosine(mean, x0)}


def cosine(a: Tensor, b: Tensor) -> float:
    return round(F.cosine_similarity(a, b, dim=1).mean().item(), 4)
