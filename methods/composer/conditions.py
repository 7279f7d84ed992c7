"""The eight conditions of a batch, which of them are present, and the joint dropout that training draws."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from t2ibench.core.errors import UserError

LETTERS = "TEPSGDIM"  # caption, image embedding, palette, sketch, instances, depth, intensity, masked image
GLOBALS, LOCALS = "TEP", "SGDIM"
VALUES = {
    "T": ("words", "word_mask", "sentence")
}  # what a letter holds; the others are one tensor under their own name


@dataclass(frozen=True)
class Conditions:
    """values: tensors by letter, those of T by name; a letter without values is absent everywhere. present: bool [B,
    8], as LETTERS.

    words [B, L, D_w], word_mask bool [B, L], sentence [B, D]; E [B, D]; P [B, 156] >= 0; S, D [B, 1, R, R] in [0, 1]
    (1: stroke, near); G [B, C, R, R] in {0, 1}; I [B, 1, R, R] in [-1, 1]; M [B, 4, R, R]: colours in [-1, 1] times k,
    and k (1: known). `present` is the only thing that dropout, tasks and guidance change; values of what is not
    present are never looked at.
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
        """The same with those of `letters` alone, as far as they were present.

        Raises UserError for what is no letter.
        """
        return replace(self, present=self.present & chosen(letters).to(self.present.device))

    def with_present(self, present: Tensor) -> "Conditions":
        return replace(self, present=present)

    def rows(self, index: Tensor) -> "Conditions":
        """The rows of an index, in its order; one that stands there twice is there twice."""
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
    """a, with the global conditions of `letters` the given share of the way to those of b: 0 is a's and 1 is b's, bit
    for bit.

    share: in [0, 1], one for all or one a row, [B]. Image embeddings turn (slerp), palettes and sentences are averaged;
    words, which cannot be, are those of the nearer end. Raises UserError for a local condition, ValueError where only
    one of the two has a letter.
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
    """On the arc from a to b, float32 [B, D], both of one length; share [B, 1]. Straight where they are parallel."""
    a, b = a.double(), b.double()
    angle = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1).acos()[:, None]
    arc = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()
    return torch.where(angle.sin() > 1e-6, arc, (1 - share) * a + share * b).float()


@dataclass(frozen=True)
class Dropout:
    """Probabilities of the joint dropout: of dropping all, of keeping all, and of dropping each where neither
    happens.
    """

    none: float = 0.1
    every: float = 0.1
    drop: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.5)  # as LETTERS


def joint_dropout(draws: Tensor, available: Tensor, dropout: Dropout) -> Tensor:
    """Which conditions each sample keeps, bool [B, 8].

    draws: [B, 9], uniform in [0, 1): the first decides between none, every and a coin for each, the others are the
    coins. available: bool [B, 8]. Kept embeddings are not rescaled, whatever is dropped.
    """
    branch = draws[:, :1]
    kept = draws[:, 1:] >= torch.tensor(dropout.drop, device=draws.device)
    kept = torch.where(branch < dropout.none + dropout.every, branch >= dropout.none, kept)
    return kept & available
