"""The network of Text-to-Direction and Attribute-to-Direction: it maps a text and a latent to a step in W+.

It has three linear layers with ReLUs between them, in the released code all as wide as the output. There is no
normalisation, and no activation at the end. The setting `inputs` can bring sentence vectors and w to one scale, because
a small generator's w varies far more than sentence vectors do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.methods.stylet2i.text import ClipText, TextEncoder
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.state import rebuilt
from t2ibench.networks.weights import Weights


@dataclass(frozen=True)
class Shape:
    """The sizes of a network. rows, w_dim: those of the generator's W+. The defaults are the released code's."""

    rows: int = 14
    w_dim: int = 512
    word_size: int = 300
    text_width: int = 512  # of the sentence vector
    width: int = 0  # of the two hidden layers; 0: that of the output
    space: Literal["w_plus", "w"] = "w_plus"  # w: one step for all rows
    learned_words: bool = False
    inputs: Literal["reference", "normalized"] = "reference"  # normalized: text and w each to mean 0, deviation 1
    text: Literal["words", "clip"] = "words"  # clip: the sentence vector is the guide's (ours)

    @property
    def out(self) -> int:
        return self.rows * self.w_dim if self.space == "w_plus" else self.w_dim


class DirectionNetwork(nn.Module):
    """s = MLP(sentence vector, w): steps [B, L, w_dim] from texts and latents w [B, w_dim]."""

    def __init__(self, shape: Shape, text: TextEncoder | ClipText) -> None:
        super().__init__()
        self.shape, self.text = shape, text
        sizes = [shape.text_width + shape.w_dim, shape.width or shape.out, shape.width or shape.out, shape.out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, texts: Sequence[str], w: Tensor) -> Tensor:
        return self.step(self.inputs(self.text(texts), w))

    def inputs(self, text: Tensor, w: Tensor) -> Tensor:
        """The input of the layers: sentence vectors [B, text_width] and w [B, w_dim], side by side."""
        if self.shape.inputs == "normalized":
            text, w = F.layer_norm(text, text.shape[1:]), F.layer_norm(w, w.shape[1:])
        return torch.cat([text, w], dim=1)

    def step(self, x: Tensor) -> Tensor:
        """[B, text_width + w_dim] to steps [B, L, w_dim]."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        rows = self.layers[-1](x).unflatten(1, (-1, self.shape.w_dim))
        return rows.expand(-1, self.shape.rows, -1)

    @torch.no_grad()
    def apart(self, texts: Sequence[str], w: Tensor) -> Tensor:
        """`forward` without gradients, in passes of one size; row i depends on row i alone."""
        return in_passes(self.step, self.inputs(self.text.embed(texts), w))

    def facts(self) -> dict[str, Any]:
        """The part of a card's config from which `load` builds the network."""
        return {"shape": asdict(self.shape), **self.text.facts()}


def load(weights: Weights, models: Models) -> DirectionNetwork:
    """A frozen network from weights.

    Raises UserError if the tensors or the CLIP that is installed do not fit the config of the card.
    """

    def build(config: Mapping[str, Any]) -> DirectionNetwork:
        shape = Shape(**config["shape"])
        if shape.text == "clip":
            clip = models.clip(config["clip"])
            if clip.sha256 != config["clip_sha256"]:
                raise UserError(
                    f"{weights.name} was trained with another {config['clip']} than the one here: train it again"
                )
            return DirectionNetwork(shape, ClipText(clip))
        words = config["words"]
        table = torch.zeros(len(words), shape.word_size)
        return DirectionNetwork(shape, TextEncoder(words, table, shape.text_width, shape.learned_words))

    return rebuilt(weights, build).to(models.device)
