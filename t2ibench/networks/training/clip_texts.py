"""The texts that a CLIP is trained on: captions, short texts about attributes, and the names of their values."""

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split
from t2ibench.networks.clip.network import tokens_of
from t2ibench.networks.clip.zero_shot import labels_of, single_texts, value_texts

OTHER_COLOURS = "in other colours, "  # before the captions of images whose colours were changed


class Texts:
    """All texts of a split as tokens: its captions, and short texts about visible attributes.

    coloured: make a second version of each text, for images whose colours were changed.
    """

    def __init__(self, split: Split, context_length: int, coloured: bool = False) -> None:
        self.index: dict[str, int] = {}
        self.captions = [[self._number(text) for text in captions] for captions in split.captions]
        self.short = [[self._number(text) for text in texts] for texts in _short_texts(split)]
        self.tokens = tokens_of(self.index, context_length)  # [distinct texts, L]
        self.coloured = (
            tokens_of([OTHER_COLOURS + text for text in self.index], context_length) if coloured else self.tokens
        )

    def _number(self, text: str) -> int:
        return self.index.setdefault(text, len(self.index))

    def draw(self, rows: np.ndarray, seed: int, short: float, coloured: Tensor | None = None) -> Tensor:
        """Tokens of one text for each image, int64 [B, L].

        rows: the images.
        short: the probability that a text is a short one.
        coloured: which texts say that colours were changed, bool [B]; None for no text.
        """
        numbers = uniform(seed, 2 * len(rows)).reshape(-1, 2)
        chosen = []
        for row, (kind, which) in zip(rows, numbers, strict=True):
            options = self.short[row] if kind < short and self.short[row] else self.captions[row]
            chosen.append(options[int(which * len(options))])
        return (
            self.tokens[chosen]
            if coloured is None
            else torch.where(coloured[:, None], self.coloured[chosen], self.tokens[chosen])
        )


def _short_texts(split: Split) -> list[list[str]]:
    """For each image, texts that say one or two of its visible attributes; none without a vocabulary."""
    if split.attributes is None or split.vocabulary is None:
        return [[] for _ in split.ids]
    phrases, subject = split.vocabulary.phrases, split.vocabulary.subject
    texts = []
    for number, row in enumerate(split.attributes.to_dict("records")):
        said = [phrase for name, value in row.items() for phrase in phrases.get(str(name), {}).get(value, ())]
        made = []
        for k, at in enumerate(uniform(derive_seed("short texts", number), 6 if said else 0) * len(said)):
            (verb, text), (other_verb, other) = said[int(at)], said[(int(at) + 1 + k) % len(said)]
            pair = f"{subject} {verb} {text} and {other_verb} {other}"
            made.append((*single_texts(split.vocabulary, (verb, text)), pair)[k % 3])
        texts.append(made)
    return texts


class Values:
    """The texts that name the values of each attribute, and the value that each image shows.

    labels: of images, the place of the value among those of its attribute, int64 [N, attributes]; -1 for unknown.
    said: the same for the text of each value, [values, attributes]; -1 for all attributes but its own.

    It is empty for a split without labels or a vocabulary, and unless it is `wanted`.
    """

    def __init__(self, split: Split, context_length: int, wanted: bool = True) -> None:
        texts = (
            value_texts(split.vocabulary)
            if split.vocabulary is not None and split.attributes is not None and wanted
            else {}
        )
        self.names = {name: list(values) for name, values in texts.items()}
        self.tokens = [tokens_of(said, context_length) for values in texts.values() for said in values.values()]
        columns = [labels_of(split, name, values) for name, values in self.names.items()]
        self.labels = torch.stack(columns, 1) if columns else torch.empty(len(split), 0, dtype=torch.int64)
        self.said = torch.full((len(self.tokens), len(self.names)), -1)
        said = [(k, place) for k, values in enumerate(self.names.values()) for place in range(len(values))]
        for row, (k, place) in enumerate(said):
            self.said[row, k] = place

    def draw(self, seed: int) -> Tensor:
        """One wording of each value, int64 [values, L]."""
        numbers = uniform(seed, len(self.tokens))
        return torch.stack(
            [tokens[int(number * len(tokens))] for tokens, number in zip(self.tokens, numbers, strict=True)]
        )
