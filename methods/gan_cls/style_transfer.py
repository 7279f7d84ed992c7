"""What of an image stays when it is drawn again from another caption: with its own noise, with the noise that S reads
off it, or with fresh noise.

Style is what a caption leaves open. The true noise is the ceiling: if it keeps no more than fresh noise does, no style
encoder can keep more, because the generator gives one noise another meaning under another caption. The judge decides
what stays. An attribute counts if it can be seen in the source and if the second caption neither names nor decides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.data.attributes import Covers, attribute_of, visible
from t2ibench.data.split import Split, Vocabulary


@dataclass(frozen=True)
class Recaption:
    """Two captions for one image.

    before: the caption of the source.
    after: the caption from which the image is drawn again.
    named: the literals `attribute=value` that `after` names.
    """

    before: str
    after: str
    named: frozenset[str]


def other_captions(split: Split, seed: int) -> list[Recaption]:
    """Each image's first caption, exchanged for the first caption of another image.

    Raises ValueError for a split that does not say what its captions name.
    """
    mentions, order = mentions_of(split), permutation(derive_seed(seed, "others"), len(split))
    pairs = zip(order, np.roll(order, 1), strict=True)
    return [Recaption(split.captions[i][0], split.captions[j][0], frozenset(mentions[j][0])) for i, j in pairs]


def reworded(caption: str, literal: str, vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """Captions in which the words of one literal are exchanged for another value of its attribute: (literal, caption).

    There is one for every other value whose wording fits in the same place.
    """
    attribute, _, value = literal.partition("=")
    wordings = vocabulary.phrases[attribute]
    words = sorted(
        (text, kind) for kind, text in wordings.get(value, ()) if f" {text} " in f" {caption.replace(',', ' ')} "
    )
    if not words:
        return []
    text, kind = max(words, key=lambda word: len(word[0]))
    others = (
        (other, text) for other, ways in wordings.items() if other != value for way, text in ways[:1] if way == kind
    )
    return [(f"{attribute}={other}", caption.replace(text, instead)) for other, instead in others]


def kept(before: pd.DataFrame, after: pd.DataFrame, recaptions: Sequence[Recaption], covered_by: Covers) -> np.ndarray:
    """For each image the share of counted attributes that stay as they were, [N]; NaN for an image where none counts.

    before, after: the judged values of the two images, [N, A].
    recaptions: the captions of the two images, [N].
    covered_by: for an attribute, the literals that hide it.

    An attribute counts if it can be seen before, if the second caption does not name it, and if nothing that this
    caption names covers it.
    """
    before, after = before.reset_index(drop=True), after.reset_index(drop=True)
    counted = visible(before, covered_by)
    for row, recaption in enumerate(recaptions):
        for place, name in enumerate(map(str, before)):
            if name in map(attribute_of, recaption.named) or covered_by.get(name, frozenset()) & recaption.named:
                counted.iat[row, place] = False
    same = (before == after) & visible(after, covered_by)
    return same.where(counted).astype(float).mean(axis=1).to_numpy()


def change(before: Tensor, after: Tensor) -> np.ndarray:
    """Mean grey-level difference between the two images of each row, uint8 [N, 3, H, W]: float64 [N]."""
    return (before.short() - after.short()).abs().double().mean(dim=(1, 2, 3)).numpy()


def mentions_of(split: Split) -> Sequence[Sequence[Sequence[str]]]:
    """The literals that each caption of each image names. Raises ValueError for a split that does not say it."""
    if split.mentions is None or split.vocabulary is None:
        raise ValueError(
            f"{split.dataset} {split.name} does not say what its captions name: style is what they leave open"
        )
    return split.mentions
