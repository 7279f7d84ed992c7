"""Training of the base: the mean squared error of the noise, under a random subset of the conditions of each image.

It has two phases, as in the paper: first the image embedding alone, then all eight conditions with the joint dropout.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, latents, uniform
from t2ibench.data.split import Split
from t2ibench.methods.composer import diffusion
from t2ibench.methods.composer.conditions import LETTERS, Conditions, Dropout, chosen, joint_dropout
from t2ibench.methods.composer.decompose import Decomposition, Extracted, Extractors, resized
from t2ibench.methods.composer.decompose.semantics import text_embeddings
from t2ibench.methods.composer.learner import Learner, card_facts
from t2ibench.methods.composer.network import Denoiser
from t2ibench.methods.composer.sampling import Drawing
from t2ibench.methods.composer.settings import SHAPES, Config, Shape, Training
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows
from t2ibench.networks.state import fill
from t2ibench.networks.weights import seen_by

CHECKED = 128  # held-out images whose loss is on the card
SUBSETS = {"none": "", "caption": "T", "embedding": "E", "sketch": "S", "all": LETTERS}  # conditions of those losses
SHOWN, SHOWN_STEPS, SHOWN_SCALE = 8, 12, 3.0  # images of a preview, steps of their sampling, guidance of the captions


class ComposerRecipe:
    """The training of one base; `t2ibench.networks.training.loop.fit` drives it."""

    name = "composer"

    def __init__(self, config: Training, train: Split, val: Split, models: Models) -> None:
        """Extracts the representations of both splits, or reads them from the cache.

        Raises UserError for settings or data that do not fit together.
        """
        if config.images > len(train):
            raise UserError(
                f"composer: images is {config.images:,}, but {train.dataset} {train.name} has {len(train):,}: ask for "
                f"fewer"
            )
        self.config, self.device, self.steps = config, models.device, config.steps
        self.train, self.val = train.take(range(config.images or len(train))), val.take(range(min(CHECKED, len(val))))
        self.digests = {"train": train.digest, "validation": val.digest}
        self.shape = shape_for(config, train, models)
        extractors = Extractors(config.clip, config.sketch, config.instances, config.depth)
        self.decomposition = Decomposition(extractors, models, self.shape.cond_size)
        self.extracted, self.extracted_val = (self.decomposition.of_split(split) for split in (self.train, self.val))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.seed, "weights"))
            self.model = Denoiser(self.shape)
        self.begins_with = models.weights(config.start) if config.start else None
        if self.begins_with is not None:
            fill(self.model, self.begins_with.tensors, config.start, "weights of this shape", "name others as start")
        self.model.to(self.device)
        self.learner = Learner(self.model, config)
        self.abar = diffusion.alphas_bar()
        self.pixels = Ahead(lambda index: self.train.images.read(self.rows(index)))
        coins = tuple(config.p_drop_intensity if letter == "I" else config.p_drop for letter in LETTERS)
        self.dropout = Dropout(config.p_none, config.p_every, coins)
        self.dropout_phase1 = Dropout(config.p_drop_phase1, 1 - config.p_drop_phase1)

    @property
    def settings(self) -> Mapping[str, Any]:
        shape, extractors = dataclasses.asdict(self.shape), self.decomposition.facts
        given = {**dataclasses.asdict(self.config), "shape": shape, "extractors": extractors, "data": self.digests}
        return given if self.begins_with is None else {**given, "start_sha256": self.begins_with.sha256}

    @property
    def facts(self) -> dict[str, Any]:
        """What the card says of the data. `before`: the data that the weights had seen with which it begins."""
        facts = card_facts(self.train, self.val, self.digests["train"], self.config.seed)
        return facts if self.begins_with is None else {**facts, "before": seen_by(self.begins_with.card)}

    def rows(self, index: int) -> np.ndarray:
        """The images of the batch of step `index`."""
        return batch_rows(derive_seed(self.config.seed, "rows"), index, len(self.train), self.config.batch)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.model, self.model, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        seed = derive_seed(self.config.seed, "step", index)
        alone = progress < self.config.phase1_frac
        x0, conditions = self.batch(self.rows(index), seed, alone, self.pixels(index))
        noise, t = diffusion.draws(derive_seed(seed, "noise"), x0)

        def loss() -> Tensor:
            predicted = self.model(diffusion.noised(x0, noise, t, self.abar), t, conditions)
            return self.error(predicted, noise, t).mean()

        cosine = self.config.schedule == "cosine"
        return self.learner.step(index, seed, loss, (1 + math.cos(math.pi * progress)) / 2 if cosine else 1.0)

    def batch(
        self, rows: np.ndarray, seed: int, alone: bool, pixels: np.ndarray | None = None
    ) -> tuple[Tensor, Conditions]:
        """x_0 in [-1, 1], and its conditions after the dropout.

        alone: use the image embedding only.
        pixels: the images of the rows, uint8 [B, 3, H, W]; None: they are read.
        """
        images = torch.from_numpy(np.ascontiguousarray(self.train.images.read(rows) if pixels is None else pixels))
        kept = torch.from_numpy(uniform(derive_seed(seed, "dropout"), 9 * len(rows))).view(-1, 9)
        extracted = part_of(self.extracted, rows)
        if alone:
            present = joint_dropout(kept, chosen("E").expand(len(rows), -1), self.dropout_phase1)
            conditions = Conditions({"E": extracted.embedding}, present)
        else:
            seeds = [derive_seed(seed, "row", row) for row in range(len(rows))]
            texts = [caption(self.train.captions[row], row_seed) for row, row_seed in zip(rows, seeds, strict=True)]
            whole = resized(images, self.shape.cond_size)
            conditions = self.decomposition.conditions(whole, extracted, texts, seeds, self.shape.seg_channels)
            conditions = conditions.with_present(joint_dropout(kept, conditions.present, self.dropout))
        return to_float(resized(images, self.shape.image_size)).to(self.device), conditions.to(self.device)

    def error(self, predicted: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mean squared error of each sample, [B].

        It is that of the noise (eq. 1 of the paper), or of v = sqrt(abar) noise - sqrt(1 - abar) x_0 (Salimans and Ho,
        ICLR 2022). The error of v is that of the noise over abar, so at low signal it counts as an error of the image.
        """
        error = diffusion.loss(predicted, noise)
        return error if self.shape.prediction == "epsilon" else error / self.abar.to(t.device)[t]

    def state(self) -> dict[str, Any]:
        return self.learner.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.learner.load_state(state)

    def averaged(self) -> Denoiser:
        return self.learner.averaged()

    @torch.no_grad()
    def held_out(self, count: int) -> tuple[Tensor, Conditions]:
        """x_0 and all conditions of the first held-out images, with their first captions."""
        rows = np.arange(min(count, len(self.val)))
        images = torch.from_numpy(np.ascontiguousarray(self.val.images.read(rows)))
        texts = [captions[0] if captions else None for captions in self.val.captions[: len(rows)]]
        whole, extracted = resized(images, self.shape.cond_size), part_of(self.extracted_val, rows)
        conditions = self.decomposition.conditions(whole, extracted, texts, None, self.shape.seg_channels)
        return to_float(resized(images, self.shape.image_size)).to(self.device), conditions.to(self.device)

    @torch.no_grad()
    def preview(self) -> Tensor:
        """A row of held-out images, then rows drawn from all their conditions, their captions, and their sketches."""
        drawing = Drawing(self.averaged(), Config(steps=SHOWN_STEPS))
        x0, conditions = self.held_out(SHOWN)
        noise = latents([derive_seed(self.config.seed, "preview", row) for row in range(len(x0))], *x0.shape[1:]).to(
            self.device
        )
        rows = [to_uint8(x0)]
        for letters, scale in ((LETTERS, 1.0), ("T", SHOWN_SCALE), ("S", SHOWN_SCALE)):
            rows.append(to_uint8(drawing.sample(noise, conditions.only(""), conditions.only(letters), scale)))
        return torch.cat(rows).cpu()

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        extractors = {name: getattr(self.config, name) for name in ("clip", "sketch", "instances", "depth")}
        parts = [] if self.train.masks is None else list(self.train.masks.parts)
        config = {**dataclasses.asdict(self.shape), "extractors": extractors, "parts": parts}
        return {name: value.clone() for name, value in self.averaged().state_dict().items()}, config

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Held-out loss under subsets of the conditions, the same noise and evenly spread times for each."""
        model = self.averaged()
        x0, conditions = self.held_out(CHECKED)
        noise, _ = diffusion.draws(derive_seed(derive_seed(self.config.seed, "validate"), "noise"), x0)
        t = ((torch.arange(len(x0)) + 0.5) / len(x0) * diffusion.TIMES).long().to(self.device)
        x = diffusion.noised(x0, noise, t, self.abar)
        numbers: dict[str, Any] = {"images": len(x0)}
        for name, letters in SUBSETS.items():
            present = conditions.only(letters).present
            encoded = model.conditioner.encode(conditions)
            predicted = model.predict(x, t, model.conditioner.context(encoded, present))
            numbers[f"loss_{name}"] = round(self.error(predicted, noise, t).mean().item(), 5)
        return numbers


def shape_for(config: Training, train: Split, models: Models) -> Shape:
    """The declared shape, with the widths of the CLIP that is used and the parts of the data set."""
    words, _, sentences = text_embeddings(models.clip(config.clip), ["a"])
    declared = Shape(**SHAPES[config.size])
    exact = config.instances == "parts" and train.masks is not None
    return dataclasses.replace(
        declared,
        embed_dim=sentences.shape[1],
        words_dim=words.shape[2],
        max_words=min(declared.max_words, words.shape[1]),
        seg_channels=len(train.masks.parts) + 1 if exact and train.masks is not None else 1,
    )


def part_of(extracted: Extracted, rows: np.ndarray) -> Extracted:
    """What was extracted from the images of some rows."""
    return Extracted(extracted.palette[rows], extracted.embedding[rows], extracted.maps[rows])


def caption(captions: tuple[str, ...], seed: int) -> str | None:
    """One of an image's captions, or None for an image without captions."""
    return captions[int(uniform(derive_seed(seed, "caption"), 1)[0] * len(captions))] if captions else None
