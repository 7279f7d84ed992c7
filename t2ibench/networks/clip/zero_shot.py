"""What a CLIP sees in an image: zero-shot classification (Radford et al., ICML 2021) of every attribute."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split, Vocabulary
from t2ibench.networks.clip.model import Clip

FLOOR = 0.95  # of the accuracy of every attribute: an edit or a score of what a CLIP does not see means nothing


def single_texts(vocabulary: Vocabulary, phrase: tuple[str, str]) -> tuple[str, str]:
    """A phrase as a sentence and as a title: "this person wears glasses", "a photo of a person with glasses"."""
    verb, text = phrase
    return (
        f"{vocabulary.subject} {verb} {text}",
        f"a photo of a {vocabulary.noun} {'who is' if verb == 'is' else 'with'} {text}",
    )


def value_texts(vocabulary: Vocabulary) -> dict[str, dict[str, list[str]]]:
    """The texts that say each nameable value of the attributes that have more than one of them."""
    named = {name: values for name, values in vocabulary.phrases.items() if len(values) > 1}
    return {
        name: {
            value: [text for phrase in phrases for text in single_texts(vocabulary, phrase)]
            for value, phrases in values.items()
        }
        for name, values in named.items()
    }


def zero_shot(clip: Clip, split: Split) -> dict[str, float]:
    """For each attribute the share of images whose value's texts lie nearest, by the cosine with their mean direction.

    Only images that show the attribute with a nameable value are counted. Raises UserError for a split without labels.
    """
    if split.attributes is None or split.vocabulary is None:
        raise UserError(
            f"{split.dataset} {split.name} has no labelled attributes, so there are no values to tell apart: "
            "use another split"
        )
    images = clip.encode_images(torch.from_numpy(split.images.read(np.arange(len(split)))))
    accuracy = {}
    for name, values in value_texts(split.vocabulary).items():
        texts = F.normalize(torch.stack([clip.encode_texts(texts).mean(0) for texts in values.values()]), dim=1)
        labels = labels_of(split, name, list(values))
        shown = labels >= 0
        if shown.any():
            accuracy[name] = round(float(((images[shown] @ texts.T).argmax(1) == labels[shown]).double().mean()), 4)
    return accuracy


def labels_of(split: Split, name: str, values: list[str]) -> Tensor:
    """The place of each image's value among `values`, int64 [N]; -1 where it cannot be seen or is not among them."""
    assert split.attributes is not None
    return torch.tensor([values.index(value) if value in values else -1 for value in split.attributes[name]])


def unseen(accuracy: dict[str, float]) -> dict[str, float]:
    """The attributes that lie below the floor, worst first."""
    return dict(sorted(((name, share) for name, share in accuracy.items() if share < FLOOR), key=lambda item: item[1]))
