"""What a data set is, whichever file it comes from: images, captions and attributes of one split, in one fixed order."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd


class ImageStore(Protocol):
    """Pixels that are read when they are asked for: a memory-mapped array, or files on disk."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at `indices`: uint8 [B, 3, H, W]. Raises UserError naming the file that cannot be read."""
        ...

    def digests(self) -> Sequence[str]:
        """One content hash an image (of its pixels or of its file), in order; computed without decoding where possible."""
        ...


@dataclass(frozen=True)
class Subset:
    """Some rows of another store, in an order of their own."""

    store: ImageStore
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.store.read([self.rows[index] for index in indices])

    def digests(self) -> Sequence[str]:
        whole = self.store.digests()
        return [whole[row] for row in self.rows]


@dataclass(frozen=True)
class Joined:
    """Several stores of images of one size, one behind the other."""

    stores: Sequence[ImageStore]

    def __len__(self) -> int:
        return sum(map(len, self.stores))

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        ends = np.cumsum([len(store) for store in self.stores])
        rows = np.asarray(indices)
        if len(rows) and not 0 <= rows.min() <= rows.max() < ends[-1]:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {ends[-1]} images")
        which = np.searchsorted(ends, rows, side="right")
        parts = [(np.flatnonzero(which == k), rows[which == k] - (ends[k] - len(store))) for k, store in enumerate(self.stores)]
        read = [(places, store.read(inside)) for (places, inside), store in zip(parts, self.stores, strict=True) if len(places)]
        images = np.empty((len(rows), *read[0][1].shape[1:]), np.uint8)
        for places, pixels in read:
            images[places] = pixels
        return images

    def digests(self) -> Sequence[str]:
        return [digest for store in self.stores for digest in store.digests()]


@dataclass(frozen=True)
class Vocabulary:
    """How a data set's attributes are said: the texts of prompts about attributes come from here.

    `phrases[attribute][value]` holds two paraphrases of a nameable literal, each a (kind, text) pair: kind "is", "has" or "wears"
    (`("has", "long hair")`). A value that could only be said with a negation is absent. `excluded` holds pairs of
    literals `attribute=value` that are impossible or near-synonyms; `complements` maps a literal to its nameable opposite.
    For reading texts: `also` holds further phrases of literals, and `qualifies` maps an attribute to the one whose words its values may
    stand before (`{"hair_colour": "hair"}`: "a blond bob").
    """

    phrases: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]]
    excluded: frozenset[frozenset[str]] = frozenset()
    complements: Mapping[str, str] = field(default_factory=dict)
    subject: str = "this person"
    noun: str = "person"
    also: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    qualifies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Networks:
    """The networks that a data set brings to score images of its own kind, by the names of their weights; None where it has none.

    judge: reads the attributes of an image, and its features are what `fd_…` compares. clip: scores images against texts.
    """

    judge: str | None = None
    clip: str | None = None


class PartMasks(Protocol):
    """Which part of its image each pixel shows, where a data set knows. parts: their names. of: the parts each attribute shows in."""

    @property
    def parts(self) -> Sequence[str]: ...

    @property
    def of(self) -> Mapping[str, Sequence[str]]: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Positions in `parts`, uint8 [B, H, W]."""
        ...


@dataclass(frozen=True)
class SubsetMasks:
    """Some rows of other masks, in an order of their own."""

    masks: PartMasks
    rows: Sequence[int]

    @property
    def parts(self) -> Sequence[str]:
        return self.masks.parts

    @property
    def of(self) -> Mapping[str, Sequence[str]]:
        return self.masks.of

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.masks.read([self.rows[index] for index in indices])


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    attributes: categorical columns, one row an image, None where a value cannot be seen; or None for a data set without any.
    mentions: for every caption the literals `attribute=value` that it names, where that is known exactly.
    masks: the part each pixel shows, where that is known; several splits joined have none.
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
        """The same split with these rows only, in this order; no pixel is read."""
        rows = [int(row) for row in rows]
        table = None if self.attributes is None else self.attributes.iloc[rows].reset_index(drop=True)
        ids, captions = [self.ids[row] for row in rows], [self.captions[row] for row in rows]
        mentions = None if self.mentions is None else [self.mentions[row] for row in rows]
        images, masks = Subset(self.images, rows), None if self.masks is None else SubsetMasks(self.masks, rows)
        return replace(self, ids=ids, images=images, captions=captions, attributes=table, mentions=mentions, masks=masks)

    @cached_property
    def digest(self) -> str:
        """sha256 over ids, pixels, captions and attributes: two splits of one digest are the same data."""
        table = None if self.attributes is None else self.attributes.to_dict("list")
        content = [self.dataset, self.name, list(self.ids), list(self.images.digests()), [list(c) for c in self.captions], table]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def join(splits: Sequence[Split]) -> Split:
    """Several splits as one, in order; one split stays itself.

    Rows of a split without attributes get None everywhere. Mentions are kept where every split knows them.
    """
    if len(splits) == 1:
        return splits[0]
    columns = list(dict.fromkeys(name for split in splits if split.attributes is not None for name in split.attributes))
    tables = [pd.DataFrame(index=range(len(s)), columns=columns, dtype=object) if s.attributes is None else s.attributes for s in splits]
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
