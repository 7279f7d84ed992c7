"""What the conditions become before the trunk sees them (section "composition" of the paper).

Caption, image embedding and palette are added to the timestep embedding, and are also tokens of the cross-attention.
Sketch, instances, depth, intensity and masked image each have a stack of convolutions, and the outputs are summed. A
condition that is dropped adds nothing: its embedding is left out instead of being computed from zeros, and its tokens
are masked.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from t2ibench.methods.composer.conditions import GLOBALS, LETTERS, LOCALS, Conditions
from t2ibench.methods.composer.settings import Shape


@dataclass(frozen=True)
class Encoded:
    """Embeddings of every condition, by letter, before it is decided which conditions are used.

    vectors: [B, 4C], for the timestep embedding.
    tokens: [B, n, ctx], for the cross-attention.
    word_mask: bool [B, L], False where a token is no word; None without a caption.
    maps: [B, C_l, R, R], for the input of the trunk.

    They depend on neither t nor x_t, so one encoding serves all steps of sampling and both sets of conditions of
    guidance.
    """

    vectors: Mapping[str, Tensor]
    tokens: Mapping[str, Tensor]
    word_mask: Tensor | None
    maps: Mapping[str, Tensor]


@dataclass(frozen=True)
class Context:
    """What the trunk reads beside x_t and t.

    vector: [B, 4C], the sum of the vectors.
    tokens: [B, N, ctx], those of all global conditions.
    mask: bool [B, N], False for a token that is not to be seen.
    local: [B, C_l, R, R], the sum of the maps.
    """

    vector: Tensor
    tokens: Tensor
    mask: Tensor
    local: Tensor


class Conditioner(nn.Module):
    """The projections of the global conditions and the stacks of the local ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = 4 * shape.base_channels
        inputs = {"T": shape.embed_dim, "E": shape.embed_dim, "P": shape.palette}
        channels = {"S": 1, "G": shape.seg_channels, "D": 1, "I": 1, "M": 4}
        self.vectors = nn.ModuleDict({letter: mlp(size, width, width) for letter, size in inputs.items()})
        self.tokens = nn.ModuleDict(
            {letter: mlp(inputs[letter], width, shape.tokens * shape.ctx_dim) for letter in "EP"}
        )
        self.words = nn.Sequential(nn.Linear(shape.words_dim, shape.ctx_dim), nn.LayerNorm(shape.ctx_dim))
        self.maps = nn.ModuleDict({letter: local_stack(count, shape) for letter, count in channels.items()})

    def encode(self, conditions: Conditions) -> Encoded:
        """Embeddings of all conditions that have values. Values of an absent condition may be anything, even NaN."""
        values, seen = conditions.values, dict(zip(LETTERS, conditions.present.unbind(1), strict=True))
        vectors, tokens, word_mask = {}, {}, None
        for letter in GLOBALS:
            name = "sentence" if letter == "T" else letter
            if name not in values:
                continue
            value = hidden(values[name], seen[letter])
            if letter == "P":
                value = math.sqrt(self.shape.palette) * value.sqrt()  # unit mean square, as the embeddings have
            vectors[letter] = self.vectors[letter](value)
            if letter != "T":
                tokens[letter] = self.tokens[letter](value).unflatten(1, (self.shape.tokens, self.shape.ctx_dim))
        if "words" in values:
            length = self.shape.max_words
            tokens["T"] = self.words(hidden(values["words"][:, :length], seen["T"]))
            word_mask = values["word_mask"][:, :length]
        maps = {
            letter: self.maps[letter](hidden(values[letter], seen[letter])) for letter in LOCALS if letter in values
        }
        return Encoded(vectors, tokens, word_mask, maps)

    def context(self, encoded: Encoded, present: Tensor) -> Context:
        """The embeddings of the conditions that are used. present: bool [B, 8], which of them these are."""
        shape, rows = self.shape, len(present)
        seen = dict(zip(LETTERS, present.unbind(1), strict=True))
        blank = next(self.words.parameters()).new_zeros
        vector = blank(rows, 4 * shape.base_channels)
        for letter, value in encoded.vectors.items():
            vector = vector + hidden(value, seen[letter])
        local = blank(rows, shape.local_channels, shape.image_size, shape.image_size)
        for letter, value in encoded.maps.items():
            local = local + hidden(value, seen[letter])
        tokens, masks = [], []
        for letter, count in (("E", shape.tokens), ("P", shape.tokens), ("T", shape.max_words)):
            padded = blank(rows, count, shape.ctx_dim)
            mask = torch.zeros(rows, count, dtype=torch.bool, device=present.device)
            if letter in encoded.tokens:
                embedded = hidden(encoded.tokens[letter], seen[letter])
                padded[:, : embedded.shape[1]] = embedded
                mask[:, : embedded.shape[1]] = seen[letter][:, None]
            if letter == "T" and encoded.word_mask is not None:
                mask[:, : encoded.word_mask.shape[1]] &= encoded.word_mask
            tokens.append(padded)
            masks.append(mask)
        return Context(vector, torch.cat(tokens, 1), torch.cat(masks, 1), local)

    def forward(self, conditions: Conditions) -> Context:
        return self.context(self.encode(conditions), conditions.present)


def hidden(values: Tensor, present: Tensor) -> Tensor:
    """Values with zeros in the rows that are not present, bool [B]. A product would keep a NaN in them."""
    return torch.where(present.view(-1, *[1] * (values.ndim - 1)), values, 0.0)


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def local_stack(channels: int, shape: Shape) -> nn.Sequential:
    """Three convolutions, [B, channels, R_c, R_c] to [B, C_l, R, R].

    The last two halve the sides if the maps are four times as large as the image.
    """
    stride = 2 if shape.cond_size > shape.image_size else 1
    layers = [nn.Conv2d(channels, shape.local_hidden, 3, padding=1), nn.SiLU()]
    layers += [nn.Conv2d(shape.local_hidden, shape.local_hidden, 3, stride, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(shape.local_hidden, shape.local_channels, 3, stride, padding=1))
