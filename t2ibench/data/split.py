"""One split of a data set: its images, captions and attributes in one fixed order, whatever files they come from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from t2ibench.data.stores import ImageStore, Joined, PartMasks, Subset, SubsetMasks


@dataclass(frozen=True)
class Vocabulary:
    """How a data set's attributes are said. Prompts about attributes take their words from here.

    phrases: `phrases[attribute][value]` holds two paraphrases of a literal, each a (kind, text) pair, where kind is
        "is", "has" or "wears" (`("has", "long hair")`). A value that could only be said with a negation is absent.
    excluded: pairs of literals `attribute=value` that are impossible or near-synonyms.
    complements: for a literal, its opposite that can be named.
    subject, noun: the words for what the images show.
    also: further phrases of literals, for reading texts; prompts do not use them.
    qualifies: for an attribute, the one whose words its values may stand before (`{"hair_colour": "hair"}`: "a blond
        bob"). It is used to understand texts.
    """

    phrases: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]]
    excluded: frozenset[frozenset[str]] = frozenset()
    complements: Mapping[str, str] = field(default_factory=dict)
    subject: str = "this person"
    noun: str = "person"
    also: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    qualifies: Mapping[str, str] = field(default_factory=dict)


AUTO = "auto"  # the setting of a method or metric that stands for a network of the data set, or the published one


@dataclass(frozen=True)
class Networks:
    """The networks that a data set brings for images of its own kind, by the names of their weights.

    judge: the network that reads the attributes of an image, and whose features `fd_…` compares; None without one.
    clip: the network that scores images against texts; None without one.
    guides: CLIPs that methods may be optimised for or conditioned on, the usual one first. None of them scores.
    vqa: the network that answers questions about the images, in the words of their captions; None without one.
    """

    judge: str | None = None
    clip: str | None = None
    guides: tuple[str, ...] = ()
    vqa: str | None = None


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    dataset, name: the names of the data set and of the split.
    ids: a name for each image.
    images: the pixels.
    captions: the captions of each image.
    attributes: categorical columns, one row an image, None for a value that cannot be seen. None without attributes.
    vocabulary: how the attributes are said, if that is known.
    mentions: for each image and each of its captions, the literals `attribute=value` that it names; None if unknown.
    masks: which part of the image each pixel shows; None if unknown, and for joined splits.
    """

    dataset: str
    name: str
    ids: Sequence[str]
    images: ImageStore
    captions: Sequence[tuple[str, ...]]
    attributes: pd.DataFrame | None = None
    vocabulary: Vocabulary | None = None
    mentions: Sequence[Sequence[Sequence[str]]] | None = None
    masks: PartMasks | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Split":
        """The same split with these rows only, in this order. No pixel is read."""
        rows = [int(row) for row in rows]
        table = None if self.attributes is None else self.attributes.iloc[rows].reset_index(drop=True)
        ids, captions = [self.ids[row] for row in rows], [self.captions[row] for row in rows]
        mentions = None if self.mentions is None else [self.mentions[row] for row in rows]
        images, masks = Subset(self.images, rows), None if self.masks is None else SubsetMasks(self.masks, rows)
        return replace(
            self, ids=ids, images=images, captions=captions, attributes=table, mentions=mentions, masks=masks
        )

    @cached_property
    def digest(self) -> str:
        """sha256 of names, ids, pixels, captions and attributes. The cards of trained weights name their data by it."""
        return _sha256([self.dataset, self.name, list(self.ids), list(self.images.digests()), *self._said])

    @cached_property
    def contents(self) -> str:
        """sha256 of pixels, captions and attributes, in order. Names of files, folders and splits do not enter it.

        Records and protocols name images by it. It reads every image once.
        """
        return _sha256([list(self.images.digests()), *self._said])

    @cached_property
    def described(self) -> str:
        """sha256 of captions and attributes, in order, and of no name. No image is read."""
        return _sha256(list(self._said))

    @property
    def _said(self) -> tuple[list[list[str]], dict[str, list] | None]:
        """Captions and attributes as JSON values."""
        table = None if self.attributes is None else self.attributes.to_dict("list")
        return [list(captions) for captions in self.captions], table


def _sha256(content: list) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def join(splits: Sequence[Split]) -> Split:
    """Several splits as one, in their order. A single split is returned unchanged.

    Rows of a split without attributes get None in every column. Mentions are kept if every split has them.
    """
    if len(splits) == 1:
        return splits[0]
    columns = list(dict.fromkeys(name for split in splits if split.attributes is not None for name in split.attributes))
    tables = [
        pd.DataFrame(index=range(len(s)), columns=columns, dtype=object) if s.attributes is None else s.attributes
        for s in splits
    ]
    table = pd.concat(tables, ignore_index=True).reindex(columns=columns).astype(object)
    known = [split.mentions for split in splits if split.mentions is not None]
    return Split(
        dataset="+".join(dict.fromkeys(split.dataset for split in splits)),
        name="+".join(split.name for split in splits),
        ids=[f"{split.name}/{identity}" for split in splits for identity in split.ids],
        images=Joined([split.images for split in splits]),
        captions=[captions for split in splits for captions in split.captions],
        attributes=table.where(table.notna(), None) if columns else None,
        vocabulary=next((split.vocabulary for split in splits if split.vocabulary is not None), None),
        mentions=[row for mentions in known for row in mentions] if len(known) == len(splits) else None,
    )
