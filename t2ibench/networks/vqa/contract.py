"""What a model must do that answers questions about images, and the rules by which its answer becomes a number.

A model gives every token, or every answer that it knows, a probability. An answer set holds the spellings of one answer
("Yes", "yes"); P(answer) is the sum over them. The number that a metric reads is P(answer) by itself, not divided by
P(yes) + P(no): a model that would rather say something else has not said yes.

An answer that is in none of the sets is malformed, and a question on which the model broke down has failed. Both are
outcomes that are counted. Neither is a 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

MALFORMED, FAILED = -1, -2  # in place of the number of an answer set
Sets = Sequence[Sequence[str]]  # the spellings of each answer
YES: tuple[str, ...] = ("Yes", "yes", " Yes", " yes")
NO: tuple[str, ...] = ("No", "no", " No", " no")


@dataclass(frozen=True)
class Answers:
    """What a model says to N questions with A answer sets each.

    probabilities: P(answer) of each set, float32 [N, A]; 0 where the question failed.
    chosen: the set with the likeliest answer of all, int64 [N]; MALFORMED if it is in none, FAILED if there is none.
    free: the likeliest answer of all, whatever the sets; "" where the question failed.
    reasons: why questions failed, each once.
    """

    probabilities: np.ndarray
    chosen: np.ndarray
    free: Sequence[str]
    reasons: Sequence[str] = ()


class VQA(Protocol):
    """A model that answers questions about images.

    name: as a user names it.
    sha256: of everything that is read from its files.
    """

    name: str
    sha256: str

    def protocol(self, sets: Sets) -> dict[str, Any]:
        """What decides its answers besides the question: weights, tokens of the answers, decoding, backend.

        Raises UserError if an answer has no spelling that the model can give.
        """
        ...

    def answers(
        self, images: Sequence[np.ndarray], rows: Sequence[int], questions: Sequence[str], sets: Sets
    ) -> Answers:
        """Answers to N questions. Question i is about the image `rows[i]`, and its answer depends on nothing else.

        images: uint8 [3, H, W], each of its own size.
        """
        ...


def of_mass(probability: np.ndarray, members: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """P(answer) of each set [N, A], and the set that is chosen [N], from probabilities of all tokens [N, V].

    members: the tokens of each set. A token may be in several sets; the first of them is chosen.
    """
    mass = np.stack([probability[:, list(tokens)].sum(1) for tokens in members], 1)
    likeliest = probability.argmax(1)
    chosen = np.full(len(probability), MALFORMED)
    for number, tokens in reversed(list(enumerate(members))):
        chosen[np.isin(likeliest, list(tokens))] = number
    return mass, chosen


def of_answer_tokens(logits: ArrayLike, labels: Sequence[int]) -> float:
    """VQAScore of t2v_metrics 3.0 (Lin et al., ECCV 2024): exp of minus the mean cross-entropy of all answer tokens.

    The end token is one of them, so with one token "Yes" it is sqrt(P(Yes) P(end given Yes)), and not P(Yes).

    logits: at the positions that predict the answer, [T, V].
    labels: the tokens of the answer, [T].
    """
    rows = np.asarray(logits, np.float64)
    top = rows.max(1, keepdims=True)
    log_probability = rows - top - np.log(np.exp(rows - top).sum(1, keepdims=True))
    return float(np.exp(log_probability[np.arange(len(rows)), list(labels)].mean()))


def counted(chosen: np.ndarray) -> Mapping[str, int]:
    """How many questions were answered, malformed and failed."""
    return {
        "answered": int((chosen >= 0).sum()),
        "malformed": int((chosen == MALFORMED).sum()),
        "failed": int((chosen == FAILED).sum()),
    }
