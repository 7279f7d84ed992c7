"""What the conditions become before the trunk sees them (section "composition" of the paper).

Caption, image embedding and palette are added to the timestep embedding and are tokens of the cross-attention; sketch,
instances, depth, intensity and masked image have a stack of convolutions each, whose outputs are summed. A condition
that is dropped adds nothing at all: its embedding is left out, rather than computed from zeros, and its tokens are
masked.
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
    """Embeddings of every condition, by letter, before it is decided which are used.

    vectors [B, 4C]; tokens [B, n, ctx]; word_mask bool [B, L]; maps [B, C_l, R, R]. They depend on neither t nor x_t,
    so one encoding serves all steps of sampling and both sets of conditions of guidance.
    """

    vectors: Mapping[str, Tensor]
    tokens: Mapping[str, Tensor]
    word_mask: Tensor | None
    maps: Mapping[str, Tensor]


@dataclass(frozen=True)
class Context:
    """What the trunk reads beside x_t and t: vector [B, 4C], tokens [B, N, ctx], local [B, C_l, R, R].

    mask: bool [B, N], False where a token is not seen.
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
        """Embeddings of all conditions that have values. What is not present may hold anything, also NaN."""
        values, seen = conditions.values, dict(zip(LETTERS, conditions.present.unbind(1), strict=True))
        vectors, tokens, word_mask = {}, {}, None
        for letter in GLOBALS:
            name = "sentence" if letter == "T" else letter
            if name not in values:
                continue
            value = hidden(values[name], seen[letter])
            value = (
                math.sqrt(self.shape.palette) * value.sqrt() if letter == "P" else value
            )  # unit mean square, as the embeddings
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
        """What is left of the embeddings where bool [B, 8] says which conditions are used."""
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
            part = blank(rows, count, shape.ctx_dim)
            mask = torch.zeros(rows, count, dtype=torch.bool, device=present.device)
            if letter in encoded.tokens:
                found = hidden(encoded.tokens[letter], seen[letter])
                part[:, : found.shape[1]] = found
                mask[:, : found.shape[1]] = seen[letter][:, None]
            if letter == "T" and encoded.word_mask is not None:
                mask[:, : encoded.word_mask.shape[1]] &= encoded.word_mask
            tokens.append(part)
            masks.append(mask)
        return Context(vector, torch.cat(tokens, 1), torch.cat(masks, 1), local)

    def forward(self, conditions: Conditions) -> Context:
        return self.context(self.encode(conditions), conditions.present)


def hidden(values: Tensor, present: Tensor) -> Tensor:
    """Zeros in the rows that are not present, whatever they hold: a product would keep NaN. present: bool [B]."""
    return torch.where(present.view(-1, *[1] * (values.ndim - 1)), values, 0.0)


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def local_stack(channels: int, shape: Shape) -> nn.Sequential:
    """Three convolutions, [B, channels, R_c, R_c] to [B, C_l, R, R]; the last two halve the sides where maps are four
    times as large.
    """
    stride = 2 if shape.cond_size > shape.image_size else 1
    layers = [nn.Conv2d(channels, shape.local_hidden, 3, padding=1), nn.SiLU()]
    layers += [nn.Conv2d(shape.local_hidden, shape.local_hidden, 3, stride, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(shape.local_hidden, shape.local_channels, 3, stride, padding=1))
