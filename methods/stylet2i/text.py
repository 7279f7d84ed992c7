"""The text encoders: the released one, and the guide CLIP's (ours).

The released encoder has word vectors, one layer of a bidirectional GRU, and the mean of its two final states. The
vectors are GloVe's, frozen. Without a file of them, vectors are learned for the words of the training's captions. In
both cases an unknown word is a vector of zeros.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from t2ibench.core.errors import UserError
from t2ibench.methods.stylet2i.lexicon import words
from t2ibench.networks.clip import Clip


class TextEncoder(nn.Module):
    """Maps texts to sentence vectors [B, hidden].

    known: the known words.
    vectors: the vector of each known word, [V, D].
    hidden: the width of a sentence vector.
    learned: whether the word vectors are trained.

    Packing sorts a batch by length and restores its order afterwards.
    """

    vectors: Tensor

    def __init__(self, known: Sequence[str], vectors: Tensor, hidden: int, learned: bool) -> None:
        super().__init__()
        self.known, self.hidden = {word: row for row, word in enumerate(known, 1)}, hidden
        if learned:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
        self.gru = nn.GRU(vectors.shape[1], hidden, batch_first=True, bidirectional=True)

    def forward(self, texts: Sequence[str]) -> Tensor:
        rows = [[self.known.get(word, 0) for word in words(text)] or [0] for text in texts]  # no word: one unknown
        lengths = torch.tensor([len(row) for row in rows])
        numbers = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64, device=self.vectors.device)
        for number, row in zip(numbers, rows, strict=True):
            number[: len(row)] = torch.tensor(row)
        table = torch.cat([self.vectors.new_zeros(1, self.vectors.shape[1]), self.vectors])  # row 0: unknown
        _, final = self.gru(pack_padded_sequence(table[numbers], lengths, batch_first=True, enforce_sorted=False))
        return final.mean(0)

    def facts(self) -> dict[str, Any]:
        """The part of a card's config that describes the encoder."""
        return {"words": list(self.known)}

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Sentence vectors [B, hidden]; each is computed alone, so that other texts do not change a bit of it."""
        vectors = {text: self([text]) for text in dict.fromkeys(texts)}
        return torch.cat([vectors[text] for text in texts])


class ClipText(nn.Module):
    """The guide's text features as sentence vectors [B, D], of mean square 1 (ours).

    It has no tensors that are trained or kept with the weights.
    """

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, texts: Sequence[str]) -> Tensor:
        return self.scaled(self.clip.encode_texts(texts).to(self.clip.device))

    embed = forward  # row i depends on text i alone

    @staticmethod
    def scaled(features: Tensor) -> Tensor:
        """Unit features [B, D] as vectors of mean square 1."""
        return math.sqrt(features.shape[1]) * features

    def facts(self) -> dict[str, Any]:
        """The part of a card's config that describes the encoder."""
        return {"clip": self.clip.name, "clip_sha256": self.clip.sha256}


def known_words(texts: Iterable[str]) -> list[str]:
    """The distinct words of texts, in alphabetical order."""
    return sorted({word for text in texts for word in words(text)})


def learned_vectors(known: Sequence[str], size: int) -> Tensor:
    """Random word vectors for the start of a training, [V, size]."""
    return 0.3 * torch.randn(len(known), size)  # about the spread of GloVe's entries


def check_vectors(path: Path, size: int) -> None:
    """Raises UserError for a file that is missing, or whose first line is no word and so many numbers."""
    try:
        with path.open(encoding="utf-8") as lines:
            _numbers(lines.readline().rstrip("\n").split(" ")[1:], f"{path}: line 1", size)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no file of word vectors ({error}): lines of a word and {size} numbers") from error


def file_vectors(known: Sequence[str], path: Path, size: int, needed: bool = True) -> tuple[list[str], Tensor]:
    """The words that a file in GloVe's text format has, of the known ones, and their vectors [V, size].

    Raises UserError for a missing file, a line that is not numbers, or, if any is `needed`, a file with none of the
    words at this size.
    """
    wanted, vectors = set(known), dict[str, list[float]]()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.rstrip("\n").split(" ")
                word = " ".join(fields[:-size])  # a few of GloVe's words hold spaces
                if word in wanted:
                    vectors[word] = _numbers(fields[-size:], f"{path}: line {number}")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing, expected word vectors: lines of a word and {size} numbers") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text, expected word vectors: lines of a word and {size} numbers") from error
    if needed and not vectors:
        raise UserError(
            f"{path} has vectors of {size} numbers for none of the {len(known)} words of the captions: give another "
            f"file"
        )
    return sorted(vectors), torch.tensor([vectors[word] for word in sorted(vectors)]).view(-1, size)


def _numbers(fields: Sequence[str], where: str, size: int | None = None) -> list[float]:
    try:
        if size not in (None, len(fields)):
            raise ValueError(f"it has {len(fields)}")
        return [float(field) for field in fields]
    except ValueError as error:
        raise UserError(
            f"{where} is not a word and {size or len(fields)} numbers ({error}): give a file in GloVe's format"
        ) from error
