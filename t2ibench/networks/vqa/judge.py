"""A small network that answers questions about the images of one data set, in the words of its captions.

A convolutional network reads the image. Two convolutions over words read the question. Every word sets a condition in
its context, a sigmoid of the inner product with the image's features; words that say nothing about an image learn a
condition that always holds. P(yes) is the product of all conditions, so a text is true if everything in it is. A second
head names the value that an open question ("What is the hair colour?") asks for. A gate, which sees the question alone,
decides which of the two answers.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.networks import weights
from t2ibench.networks.attribute_judge.judge import trunk
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import rebuilt
from t2ibench.networks.vqa.contract import FAILED, MALFORMED, Answers, Sets, of_mass

WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")
BATCH = 256
YES, NO = "yes", "no"  # the first two answers


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return WORD.findall(text.lower())


class Network(nn.Module):
    """From images and questions to the probabilities of all answers; the first two answers are yes and no."""

    def __init__(
        self, words: int, answers: int, widths: Sequence[int], features: int, size: int, embedding: int, hidden: int
    ) -> None:
        super().__init__()
        self.stem, self.stages, self.seen = trunk(widths, features, size)
        self.embed = nn.Embedding(words + 1, embedding, padding_idx=0)
        self.near = nn.Conv1d(embedding, hidden, 5, padding=2)
        self.far = nn.Conv1d(hidden, hidden, 5, padding=2)
        self.condition = nn.Linear(hidden, features + 1)
        self.topic = nn.Linear(hidden, features)
        self.open = nn.Linear(hidden, 1)
        self.value = nn.Linear(features, answers - 2)
        with torch.no_grad():
            self.condition.bias[-1] = 4.0  # at first nearly every condition holds

    def look(self, images: Tensor) -> Tensor:
        """Features [B, F] of floats in [-1, 1], [B, 3, size, size]."""
        return self.seen(self.stages(self.stem(images)))

    def read(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What questions ask, of words int64 [T, L], 0 where a question has ended.

        Returns the conditions [T, L, F + 1], the topics [T, F], and the logits [T] of being open questions.
        """
        there = (words > 0).float()[:, None]  # [T, 1, L]
        x = self.embed(words).transpose(1, 2) * there
        x = F.relu(self.near(x)) * there
        x = (x + F.relu(self.far(x))) * there
        mean = x.sum(2) / there.sum(2).clamp(min=1)
        return self.condition(x.transpose(1, 2)), self.topic(mean), self.open(mean)[:, 0]

    def log_yes(self, features: Tensor, conditions: Tensor, words: Tensor) -> Tensor:
        """log P(yes | yes or no) [B, T] of every image for every question."""
        match = torch.einsum("bf,tlf->btl", features, conditions[..., :-1]) / features.shape[1] ** 0.5
        return (F.logsigmoid(match + conditions[..., -1]) * (words > 0)).sum(2).clamp(max=-1e-6)

    def values(self, features: Tensor, topics: Tensor) -> Tensor:
        """Logits [N, answers - 2] of the values that open questions ask for, both [N, F]."""
        return self.value(features * topics)


class VqaJudge:
    """Answers questions about images; a `contract.VQA`.

    words: those that it knows. A question with another word fails.
    values: the answers to open questions.
    temperature: of the answers yes and no, for calibration.
    size: side of the images in pixels.
    """

    def __init__(self, weights: weights.Weights, device: torch.device | None = None) -> None:
        self.name, self.sha256, config = weights.name, weights.sha256, weights.config
        self.words = {str(word): number for number, word in enumerate(config["words"], 1)}
        self.values = list(map(str, config["values"]))
        self.vocabulary = [YES, NO, *self.values]
        self.temperature, self.size = float(config["temperature"]), int(config["size"])
        self.device = device or torch.device("cpu")
        self.network = rebuilt(weights, self._network).to(self.device)

    def _network(self, config: Mapping[str, Any]) -> Network:
        sizes = (config["widths"], config["features"], self.size, config["embedding"], config["hidden"])
        return Network(len(self.words), len(self.vocabulary), *sizes)

    def protocol(self, sets: Sets) -> dict[str, Any]:
        return {
            "vqa": self.name,
            "sha256": self.sha256,
            "answers": [[self.vocabulary[number] for number in members] for members in self._members(sets)],
            "tokens": "whole answers",
            "decoding": "softmax over all answers",
            "backend": "t2ibench vqa judge",
        }

    def answers(
        self, images: Sequence[np.ndarray], rows: Sequence[int], questions: Sequence[str], sets: Sets
    ) -> Answers:
        members = self._members(sets)
        if not questions:
            return Answers(np.zeros((0, len(sets)), np.float32), np.zeros(0, np.int64), [])
        unique = list(dict.fromkeys(questions))
        place = {question: number for number, question in enumerate(unique)}
        unknown = [[word for word in words_of(question) if word not in self.words] for question in unique]
        asks = np.array([place[question] for question in questions])
        probability = self.probabilities(images, np.asarray(rows), unique, asks)
        mass, chosen = of_mass(probability, members)
        bad = np.array([bool(words) or not words_of(text) for words, text in zip(unknown, unique, strict=True)])[asks]
        mass[bad], chosen[bad] = 0, FAILED
        free = ["" if failed else self.vocabulary[k] for k, failed in zip(probability.argmax(1), bad, strict=True)]
        odd = list(dict.fromkeys(word for words in unknown for word in words))
        reasons = [f"{self.name} never learned the word {word!r}" for word in odd]
        return Answers(mass.astype(np.float32), chosen, free, reasons)

    @torch.no_grad()
    @full_float32()
    def probabilities(
        self, images: Sequence[np.ndarray], rows: np.ndarray, questions: Sequence[str], asks: np.ndarray
    ) -> np.ndarray:
        """P of every answer of `vocabulary`, float64 [N, answers]: question `asks[i]` about image `rows[i]`.

        Raises UserError for images of another size.
        """
        if wrong := [image.shape for image in images if image.shape != (3, self.size, self.size)]:
            found = "x".join(map(str, wrong[0][1:]))
            raise UserError(
                f"{self.name} reads {self.size}x{self.size} images, got {found}: scale them, or train a judge at that "
                f"size"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(np.stack(list(images))))
        features = torch.cat([self.network.look(to_float(part.to(self.device))) for part in pixels.split(BATCH)])
        words = self.numbers(questions).to(self.device)
        conditions, topics, is_open = self.network.read(words)
        result = np.empty((len(rows), len(self.vocabulary)))
        for number in np.unique(asks):  # one question at a time, about all of its images
            mine = np.flatnonzero(asks == number)
            about, which = features[torch.from_numpy(rows[mine]).to(self.device)], slice(number, number + 1)
            log_yes = self.network.log_yes(about, conditions[which], words[which])[:, 0].double()
            odds = (log_yes - torch.log(-torch.expm1(log_yes))) / self.temperature
            is_value = is_open[number].double().sigmoid()
            values = self.network.values(about, topics[which]).double().softmax(1)
            closed = (1 - is_value) * torch.stack([odds.sigmoid(), (-odds).sigmoid()], 1)
            result[mine] = torch.cat([closed, is_value * values], 1).cpu().numpy()
        return result

    def numbers(self, questions: Sequence[str]) -> Tensor:
        """The words of questions, int64 [T, L]; 0 behind the last, and for a word that it does not know."""
        return numbered(questions, self.words)

    def _members(self, sets: Sets) -> list[list[int]]:
        found = []
        for spellings in sets:
            known = dict.fromkeys(word for text in spellings for word in [text.strip().lower()])
            numbers = [self.vocabulary.index(word) for word in known if word in self.vocabulary]
            if not numbers:
                raise UserError(
                    f"{self.name} cannot answer {list(spellings)}: it knows {', '.join(self.vocabulary)}; ask for one "
                    f"of them, or name another model"
                )
            found.append(numbers)
        return found


def numbered(questions: Sequence[str], words: Mapping[str, int]) -> Tensor:
    """The words of questions as numbers, int64 [T, L]; 0 behind the last, and for an unknown word."""
    rows = [[words.get(word, 0) for word in words_of(question)] for question in questions]
    length = max(1, *map(len, rows))
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


__all__ = ["FAILED", "MALFORMED", "Network", "VqaJudge", "numbered", "words_of"]
