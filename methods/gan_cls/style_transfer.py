"""What of an image stays when it is drawn again from another caption: with its own noise, with what S reads off it,
with fresh noise.

Style is what a caption leaves open. The true noise is the ceiling: where it keeps no more than fresh noise, no style
encoder can, for the generator gives one noise another meaning under another caption. The judge's word counts for
attributes that can be seen on the source and that the second caption neither names nor decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from t2ibench.core.seeds import derive_seed, permutation, uniform
from t2ibench.data.attributes import Covers, attribute_of, visible
from t2ibench.data.split import Split, Vocabulary


@dataclass(frozen=True)
class Recaption:
    """A caption, another, and the literals that the other names."""

    before: str
    after: str
    named: frozenset[str]


def other_captions(split: Split, seed: int) -> list[Recaption]:
    """Each image's first caption, and that of another image.

    Raises ValueError for a split that does not say what its captions name.
    """
    mentions, order = _mentions(split), permutation(derive_seed(seed, "others"), len(split))
    pairs = zip(order, np.roll(order, 1), strict=True)
    return [Recaption(split.captions[i][0], split.captions[j][0], frozenset(mentions[j][0])) for i, j in pairs]


def one_said_otherwise(split: Split, seed: int) -> list[Recaption]:
    """Captions of which one literal can be said otherwise: its words are replaced by those of another value of its
    attribute.

    One an image, of those captions and literals where the words stand as the vocabulary has them. Raises ValueError as
    `other_captions`.
    """
    found = []
    for row, mentions in enumerate(_mentions(split)):
        able = [
            Recaption(caption, text, frozenset(set(said) - {literal} | {other}))
            for caption, said in zip(split.captions[row], mentions, strict=True)
            for literal in said
            for other, text in reworded(caption, literal, split.vocabulary)  # type: ignore[arg-type]
        ]
        if able:
            found.append(able[int(uniform(derive_seed(seed, "otherwise", row), 1)[0] * len(able))])
    return found


def reworded(caption: str, literal: str, vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """Every other value of a literal's attribute that fits in the place of its words: (literal, caption)."""
    attribute, _, value = literal.partition("=")
    said = vocabulary.phrases[attribute]
    words = sorted(
        (text, kind) for kind, text in said.get(value, ()) if f" {text} " in f" {caption.replace(',', ' ')} "
    )
    if not words:
        return []
    text, kind = max(words, key=lambda word: len(word[0]))
    others = ((other, text) for other, ways in said.items() if other != value for way, text in ways[:1] if way == kind)
    return [(f"{attribute}={other}", caption.replace(text, instead)) for other, instead in others]


def kept(before: pd.DataFrame, after: pd.DataFrame, recaptions: Sequence[Recaption], covered_by: Covers) -> np.ndarray:
    """For each image the share of attributes that stay as they were, of judged values [N, A]; NaN where none counts.

    One counts that can be seen before, that the second caption does not name, and that nothing it names covers.
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
    """Mean grey-level difference of each two images, uint8 [N, 3, H, W]: float64 [N]."""
    return (before.short() - after.short()).abs().double().mean(dim=(1, 2, 3)).numpy()


def _mentions(split: Split) -> Sequence[Sequence[Sequence[str]]]:
    if split.mentions is None or split.vocabulary is None:
        raise ValueError(
            f"{split.dataset} {split.name} does not say what its captions name: style is what they leave open"
        )
    return split.mentions
