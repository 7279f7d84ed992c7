"""Training of the zoo's CLIPs by symmetric InfoNCE (Radford et al., ICML 2021).

A batch holds images and one caption for each. The guide and the judge differ in architecture, initial weights and order
of the data, so an image that the guide scores highly need not get a high score from the judge. Equal texts of a batch
are all right answers for each other's images, and share the target evenly.

If a data set labels its images, a second loss is added: which of the texts that name the values of an attribute fits
the image? Small parts such as a mouth hardly help to tell the captions of a batch apart, and would be learned last.

Both losses stop short where neither tower knows an attribute: equal texts teach the image tower nothing, and equal
images teach the text tower nothing. So a third loss is added, of linear heads that name the values of each attribute.
The same heads read the features of images and of texts, so a value gets one direction for both. The heads are used in
training only.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import to_float
from t2ibench.core.ranges import Count, NotNegative, Positive, Share
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed
from t2ibench.core.settings import configure
from t2ibench.data.split import Split
from t2ibench.networks import weights
from t2ibench.networks.augment import augment, cropped, recoloured
from t2ibench.networks.clip.model import Clip
from t2ibench.networks.clip.network import build
from t2ibench.networks.clip.preprocess import Preprocess
from t2ibench.networks.clip.zero_shot import FLOOR, unseen, zero_shot
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, half, warmup_cosine
from t2ibench.networks.state import resume
from t2ibench.networks.training.attribute_judge import masked_loss
from t2ibench.networks.training.clip_texts import Texts, Values
from t2ibench.networks.training.clip_validation import retrieval_numbers

log = logging.getLogger(__name__)

PARTS = ("guide", "judge", "guide-styles")
NAMES = {part: f"clip-{part}" for part in PARTS}  # of the weights, before "-<data set>"
SPLITS = {part: (("train", "balanced-train", "domains-train"), "test") for part in PARTS} | {
    "guide-styles": (("styles-train",), "styles-val"),
}
END = 49407  # the end token of the standard tokeniser, the largest of all, so open_clip finds it by argmax
START = 49406


@dataclass(frozen=True)
class Config:
    # blocks of each stage of open_clip's ModifiedResNet, on 1/4, 1/8, 1/16 and 1/32 of the side
    layers: tuple[Count, ...] = (2, 2, 2, 1)
    width: Count = 16  # its narrowest channels; the last stage has 32 times as many
    image_size: Count = 64  # pixels a side
    embedding: Count = 128
    text_width: Count = 128
    text_layers: Count = 2
    context_length: Count = 40
    batch: Count = 128
    learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 0.05
    attributes: NotNegative = 3.0  # weight of the loss over the values of each attribute, beside that over captions
    # weight of the loss of the heads that name the values, summed over attributes and both towers
    heads: NotNegative = 1.0
    # share of captions replaced by texts about one or two attributes, as prompts for edits and pairs are
    short: Share = 0.15
    unknown: Share = 0.02  # share of tokens replaced by the unknown word, so that it comes to mean nothing
    crops: Share = 0.0  # share of images of which a part is seen, scaled up
    recoloured: Share = 0.0  # share of images whose colours are changed, which their captions say
    # images are learned a second time after a step of this length [-1, 1] up the loss; 0: they are not
    adversarial: NotNegative = 0.0
    bfloat16: bool = True  # multiply in bfloat16 while training


DEFAULTS: Mapping[str, Config] = {
    "guide": Config(),
    "judge": Config(layers=(2, 3, 2, 1), embedding=160),
    "guide-styles": Config(
        layers=(2, 2, 1, 1),
        learning_rate=1.5e-3,
        attributes=0.0,
        heads=0.0,
        crops=0.3,
        recoloured=0.3,
        adversarial=5.0,
    ),
}


def encode_texts(model: CLIP, tokens: Tensor, parts: int = 3) -> Tensor:
    """Text features [B, D], equal to those of `model.encode_text`, at about half the cost.

    Texts are grouped by length and their padding is cut. Attention is causal and features are read at the end token, so
    what follows it has no effect.
    """
    lengths = (tokens == END).int().argmax(1) + 1
    order = lengths.argsort(stable=True)
    features = []
    for rows in order.tensor_split(parts):
        length = int(lengths[rows].max())
        x = model.token_embedding(tokens[rows, :length]) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        features.append(x[torch.arange(len(rows), device=x.device), lengths[rows] - 1] @ model.text_projection)
    return torch.cat(features)[order.argsort()]


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit features [B, D] and their scale; `same` [B, B] is true where image i may as well have
    text j.
    """
    logits = scale * images @ texts.T
    target = same.float() / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class ClipRecipe:
    """Trains one CLIP; a `loop.Recipe`."""

    def __init__(self, part: str, config: Config, train: Split, val: Split, seed: int, device: torch.device) -> None:
        if len(train) < config.batch:
            raise UserError(
                f"{train.dataset} {train.name} has {len(train)} images, a batch of CLIP's recipe is {config.batch}: "
                f"lower `batch`"
            )
        self.part, self.config, self.train, self.val, self.seed = (
            part,
            config,
            train,
            val,
            derive_seed(seed, "clip", part),
        )
        self.texts = Texts(train, config.context_length, config.recoloured > 0)
        vision = {
            "layers": list(config.layers),
            "width": config.width,
            "head_width": 64,
            "image_size": config.image_size,
        }
        text = {
            "context_length": config.context_length,
            "width": config.text_width,
            "heads": 4,
            "layers": config.text_layers,
        }
        self.values = Values(train, config.context_length, config.attributes > 0)
        self.preprocess = Preprocess(config.image_size)
        self.network = {
            "embed_dim": config.embedding,
            "vision_cfg": vision,
            "text_cfg": text,
            "preprocess": self.preprocess.facts(),
        }
        said = torch.cat([self.texts.tokens, self.texts.coloured, *self.values.tokens])
        known = sorted(set(said.unique().tolist()) - {0})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.model = build(self.network, known)
            self.heads = nn.Embedding(len(self.values.tokens), config.embedding)  # a direction for each value
        self.device = device
        self.model.to(device)
        self.heads.to(device)
        self.model.visual.to(memory_format=torch.channels_last)
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        others = [p for name, p in self.model.named_parameters() if p.ndim < 2 and name != "logit_scale"]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay, "share": 1.0},
            {"params": others, "weight_decay": 0.0, "share": 1.0},
            {"params": [self.model.logit_scale], "weight_decay": 0.0, "share": 10.0},  # it has far to go, and few steps
        ]
        if config.heads and self.values.names:
            groups.append({"params": [self.heads.weight], "weight_decay": 0.0, "share": 10.0})  # its entries are large
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))
        self.pixels = Ahead(lambda index: self.train.images.read(self.rows(index)))
        self.settings = {**asdict(config), "part": part, "seed": seed, "train": train.digest}
        self.facts = {
            "data": {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest},
            "seed": seed,
            "optimised_for": {"guide": "guiding", "judge": "scoring", "guide-styles": "guiding"}[part],
        }

    def rows(self, index: int) -> np.ndarray:
        """The images of the batch of step `index`."""
        return batch_rows(self.seed, index, len(self.train), self.config.batch)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.model.visual, self.model.visual, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        rows = self.rows(index)
        config, images = self.config, to_float(torch.from_numpy(self.pixels(index)))
        parts: Tensor | None = None
        coloured: Tensor | None = None
        if config.crops:
            images, parts = cropped(images, derive_seed(self.seed, "crops", index), config.crops)
        if config.recoloured:
            images, coloured = recoloured(images, derive_seed(self.seed, "colours", index), config.recoloured)
        images = augment(images, derive_seed(self.seed, "images", index)).to(self.device)
        tokens = self.texts.draw(rows, derive_seed(self.seed, "texts", index), config.short, coloured)
        same = (tokens[:, None] == tokens[None]).all(2)
        if self.values.names:
            tokens = torch.cat([tokens, self.values.draw(derive_seed(self.seed, "values", index))])
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "unknown", index))
        forgotten = (torch.rand(tokens.shape, generator=stream) < self.config.unknown) & (tokens < START)
        tokens, same = tokens.masked_fill(forgotten, -1).to(self.device), same.to(self.device)
        labels: Tensor | None = None
        if self.values.names:
            labels = self.values.labels[torch.from_numpy(rows)]
            for hidden in (parts, coloured):  # neither shows all that the whole does
                if hidden is not None:
                    labels = labels.masked_fill(hidden[:, None], -1)
            labels = labels.to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * config.learning_rate * warmup_cosine(progress)
        self.model.train()
        losses, gradient = self._learn(images, tokens, same, labels)
        if config.adversarial:
            step = config.adversarial * F.normalize(gradient.flatten(1), dim=1).view_as(images)
            harder, _ = self._learn((images + step).clamp(-1, 1), tokens[: len(rows)], same, None)
            losses |= {"adversarial": harder["loss"], "adversarial_accuracy": harder["accuracy"]}
        return losses

    def _learn(
        self, images: Tensor, tokens: Tensor, same: Tensor, labels: Tensor | None
    ) -> tuple[dict[str, float], Tensor]:
        """One optimiser step; returns its losses, and the gradient of the loss for the images.

        images: floats [B, 3, H, W].
        tokens: of one text per image, [B, L]; if there are labels, followed by the tokens of the attribute values.
        same: which texts are equal, bool [B, B].
        labels: the value of each attribute, int64 [B, attributes], -1 for unknown; None leaves out that loss.
        The gradient is computed only for adversarial training; otherwise it is 0.
        """
        count, images = len(images), images.detach().requires_grad_(self.config.adversarial > 0)
        seen = self.preprocess.normalise(self.preprocess.resize((images + 1) / 2)).contiguous(
            memory_format=torch.channels_last
        )
        # the flash kernel is slower than plain matrix products on sequences this short: a fifth of a step on CPUs
        with half(self.device, self.config.bfloat16), sdpa_kernel(SDPBackend.MATH):
            image_features, text_features = self.model.visual(seen), encode_texts(self.model, tokens)
        image_features, text_features = (
            F.normalize(image_features.float(), dim=1),
            F.normalize(text_features.float(), dim=1),
        )
        value_features, text_features = text_features[count:], text_features[:count]
        scale = self.model.logit_scale.exp()
        losses = {"loss": contrastive_loss(image_features, text_features, scale, same)}
        if labels is not None:
            summed = masked_loss(scale * image_features @ value_features.T, labels, self.values.names)
            losses["attributes"] = summed / len(self.values.names)
            if self.config.heads:
                said = self.values.said.to(labels.device)
                losses["image_heads"] = masked_loss(image_features @ self.heads.weight.T, labels, self.values.names)
                losses["text_heads"] = masked_loss(value_features @ self.heads.weight.T, said, self.values.names)
        loss = losses["loss"] + self.config.attributes * losses.get("attributes", 0.0)
        loss = loss + self.config.heads * (losses.get("image_heads", 0.0) + losses.get("text_heads", 0.0))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
            right = (
                same[torch.arange(count, device=self.device), (image_features @ text_features.T).argmax(1)]
                .float()
                .mean()
            )
        numbers = {
            **{key: float(value.detach()) for key, value in losses.items()},
            "accuracy": float(right),
            "scale": float(self.model.logit_scale.detach().exp()),
        }
        return numbers, torch.zeros_like(images) if images.grad is None else images.grad

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"model": self.model, "heads": self.heads, "optimizer": self.optimizer}, state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.model.state_dict(), self.network

    def validate(self) -> dict[str, Any]:
        """Retrieval numbers on the validation split, with the weights as they are shipped, in half precision."""
        tensors, config = self.result()
        shipped = {key: value.half().float() if value.is_floating_point() else value for key, value in tensors.items()}
        config = json.loads(json.dumps(config, sort_keys=True))  # as the card gives it back
        clip = Clip.from_zoo(weights.Weights(f"clip {self.part}", shipped, config, {}, ""), self.device)
        numbers = retrieval_numbers(clip, self.val)
        if not self.values.names or self.val.attributes is None or self.val.vocabulary is None:
            return numbers
        accuracy = zero_shot(clip, self.val)
        if blind := unseen(accuracy):
            said = ", ".join(f"{name} in {share:.3f}" for name, share in blind.items())
            log.warning("%s tells too few images apart, expected %g: %s: train longer", clip.name, FLOOR, said)
        return {**numbers, "zero_shot": accuracy}


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> ClipRecipe:
    """The training recipe of a CLIP. The part decides the defaults of the settings.

    Raises UserError for an unknown part or setting, or too few images.
    """
    if part not in PARTS:
        raise UserError(f"clip has no part {part!r}{did_you_mean(part, PARTS)}")
    return ClipRecipe(
        part, configure(Config, {**asdict(DEFAULTS[part]), **settings}, f"clip {part}"), train, val, seed, models.device
    )
