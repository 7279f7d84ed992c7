"""The eight conditions of a batch, which of them are present, and the joint dropout that training draws."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from t2ibench.errors import UserError

LETTERS = "TEPSGDIM"  # caption, image embedding, palette, sketch, instances, depth, intensity, masked image
GLOBALS, LOCALS = "TEP", "SGDIM"
VALUES = {"T": ("words", "word_mask", "sentence")}  # what a letter holds; the others are one tensor under their own name


@dataclass(frozen=True)
class Conditions:
    """values: tensors by letter, those of T by name; a letter without values is absent everywhere. present: bool [B, 8], as LETTERS.

    words [B, L, D_w], word_mask bool [B, L], sentence [B, D]; E [B, D]; P [B, 156] >= 0; S, D [B, 1, R, R] in [0, 1] (1: stroke, near);
    G [B, C, R, R] in {0, 1}; I [B, 1, R, R] in [-1, 1]; M [B, 4, R, R]: colours in [-1, 1] times k, and k (1: known).
    `present` is the only thing that dropout, recipes and guidance change; values of what is not present are never looked at.
    """

    values: Mapping[str, Tensor]
    present: Tensor

    def __post_init__(self) -> None:
        """Raises ValueError where something is present without values."""
        for column, letter in enumerate(LETTERS):
            if self.present[:, column].any() and any(name not in self.values for name in VALUES.get(letter, (letter,))):
                raise ValueError(f"condition {letter} is present and has no values, got {', '.join(self.values) or 'none at all'}")

    def only(self, letters: str) -> "Conditions":
        """The same with those of `letters` alone, as far as they were present. Raises UserError for what is no letter."""
        return replace(self, present=self.present & chosen(letters).to(self.present.device))

    def with_present(self, present: Tensor) -> "Conditions":
        return replace(self, present=present)

    def to(self, device: torch.device) -> "Conditions":
        return Conditions({name: value.to(device) for name, value in self.values.items()}, self.present.to(device))


def chosen(letters: str) -> Tensor:
    """bool [8]: which of LETTERS are in `letters`. Raises UserError for any other letter."""
    for letter in letters:
        if letter not in LETTERS:
            raise UserError(f"composer: no condition is called {letter!r}, expected letters of {LETTERS}")
    return torch.tensor([letter in letters for letter in LETTERS])


def of_captions(words: Tensor, word_mask: Tensor, sentence: Tensor) -> Conditions:
    """Captions and nothing else."""
    values = {"words": words, "word_mask": word_mask, "sentence": sentence}
    return Conditions(values, chosen("T").expand(len(words), -1))


@dataclass(frozen=True)
class Dropout:
    """Probabilities of the joint dropout: of dropping all, of keeping all, and of dropping each where neither happens."""

    none: float = 0.1
    every: float = 0.1
    drop: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.5)  # as LETTERS


def joint_dropout(draws: Tensor, available: Tensor, dropout: Dropout) -> Tensor:
    """Which conditions each sample keeps, bool [B, 8].

    draws: [B, 9], uniform in [0, 1): the first decides between none, every and a coin for each, the others are the coins.
    available: bool [B, 8]. Kept embeddings are not rescaled, whatever is dropped.
    """
    branch = draws[:, :1]
    kept = draws[:, 1:] >= torch.tensor(dropout.drop, device=draws.device)
    kept = torch.where(branch < dropout.none + dropout.every, branch >= dropout.none, kept)
    return kept & available
