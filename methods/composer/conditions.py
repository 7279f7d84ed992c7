"""The eight conditions of a batch, which of them are present, and the joint dropout that training draws."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from t2ibench.core.errors import UserError

LETTERS = "TEPSGDIM"  # caption, image embedding, palette, sketch, instances, depth, intensity, masked image
GLOBALS, LOCALS = "TEP", "SGDIM"
# the tensors of a letter; every other letter has one tensor, under its own name
VALUES = {"T": ("words", "word_mask", "sentence")}


@dataclass(frozen=True)
class Conditions:
    """The conditions of a batch of B samples.

    values: tensors by letter; T has three tensors, by name. A letter without values is absent from every sample.
    present: bool [B, 8], which conditions each sample has, in the order of LETTERS.

    The tensors are:
    words [B, L, D_w], word_mask bool [B, L], sentence [B, D]: the caption, T.
    E [B, D]: the image embedding.
    P [B, 156], at least 0: the palette.
    S, D [B, 1, R, R] in [0, 1]: sketch (1: stroke) and depth (1: near).
    G [B, C, R, R] in {0, 1}: the instances.
    I [B, 1, R, R] in [-1, 1]: the intensity.
    M [B, 4, R, R]: colours in [-1, 1] times k, then k (1: known).

    Dropout, tasks and guidance change `present` alone. Values of a condition that is not present are never read.
    """

    values: Mapping[str, Tensor]
    present: Tensor

    def __post_init__(self) -> None:
        """Raises ValueError where something is present without values."""
        for column, letter in enumerate(LETTERS):
            if self.present[:, column].any() and any(name not in self.values for name in VALUES.get(letter, (letter,))):
                raise ValueError(
                    f"condition {letter} is present and has no values, got {', '.join(self.values) or 'none at all'}"
                )

    def only(self, letters: str) -> "Conditions":
        """The same conditions; only those in `letters` stay present. Raises UserError for an unknown letter."""
        return replace(self, present=self.present & chosen(letters).to(self.present.device))

    def with_present(self, present: Tensor) -> "Conditions":
        return replace(self, present=present)

    def rows(self, index: Tensor) -> "Conditions":
        """The rows that an index names, in its order; a row may be named more than once."""
        return Conditions({name: value[index] for name, value in self.values.items()}, self.present[index])

    def to(self, device: torch.device) -> "Conditions":
        return Conditions({name: value.to(device) for name, value in self.values.items()}, self.present.to(device))


def chosen(letters: str) -> Tensor:
    """bool [8]: which of LETTERS are in `letters`. Raises UserError for any other letter."""
    for letter in letters:
        if letter not in LETTERS:
            raise UserError(f"composer: no condition is called {letter!r}, expected letters of {LETTERS}")
    return torch.tensor([letter in letters for letter in LETTERS])


def between(a: Conditions, b: Conditions, letters: str, share: float | Tensor) -> Conditions:
    """The conditions a, with the global conditions in `letters` moved towards those of b.

    share: how far they move, in [0, 1]; one number for all rows, or one a row, [B]. 0 gives a's and 1 gives b's values,
    bit for bit.

    Image embeddings turn (slerp); palettes and sentences are averaged. Words cannot be averaged: they are those of the
    nearer end. Raises UserError for a local condition, and ValueError if only one of a and b has a condition.
    """
    if wrong := [letter for letter in letters if letter not in GLOBALS]:
        raise UserError(f"composer: nothing lies between two conditions {wrong[0]!r}, expected letters of {GLOBALS}")
    moved = chosen(letters).to(a.present.device)
    if not torch.equal(a.present[:, moved], b.present[:, moved]):
        raise ValueError(f"between {letters}: a row has one of them at one end alone")
    shares = torch.as_tensor(share, dtype=torch.float64, device=a.present.device).expand(len(a.present))
    values = dict(a.values)
    for name in [name for letter in letters for name in VALUES.get(letter, (letter,)) if name in a.values]:
        ends, s = (a.values[name], b.values[name]), shares.view(-1, *[1] * (a.values[name].ndim - 1))
        if name in ("words", "word_mask"):
            values[name] = torch.where(s < 0.5, *ends)
        else:
            values[name] = slerp(*ends, s) if name == "E" else ((1 - s) * ends[0] + s * ends[1]).float()
    return Conditions(values, a.present)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """The point at a share [B, 1] of the arc from a to b, float32 [B, D]. a and b have equal lengths.

    Parallel vectors have no arc between them: there the point lies on the straight line.
    """
    a, b = a.double(), b.double()
    angle = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1).acos()[:, None]
    arc = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()
    return torch.where(angle.sin() > 1e-6, arc, (1 - share) * a + share * b).float()


@dataclass(frozen=True)
class Dropout:
    """Probabilities of the joint dropout.

    none: that all conditions are dropped.
    every: that all are kept.
    drop: that a condition is dropped if neither happens, one for each of LETTERS.
    """

    none: float = 0.1
    every: float = 0.1
    drop: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.5)


def joint_dropout(draws: Tensor, available: Tensor, dropout: Dropout) -> Tensor:
    """Which conditions each sample keeps, bool [B, 8].

    draws: [B, 9], uniform in [0, 1). The first number decides between none, every and a coin for each condition; the
    others are the coins.
    available: bool [B, 8], the conditions that the sample has.

    Kept embeddings are not rescaled, whatever is dropped.
    """
    branch = draws[:, :1]
    kept = draws[:, 1:] >= torch.tensor(dropout.drop, device=draws.device)
    kept = torch.where(branch < dropout.none + dropout.every, branch >= dropout.none, kept)
    return kept & available
