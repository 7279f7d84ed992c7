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
class Vocabulary:
    """How a data set's attributes are said: the texts of prompts about attributes come from here.

    `phrases[attribute][value]` holds two paraphrases of a nameable literal, each a (kind, text) pair: kind "is", "has" or "wears"
    (`("has", "long hair")`). A value that could only be said with a negation is absent. `excluded` holds pairs of
    literals `attribute=value` that are impossible or near-synonyms; `complements` maps a literal to its nameable opposite.
    """

    phrases: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]]
    excluded: frozenset[frozenset[str]] = frozenset()
    complements: Mapping[str, str] = field(default_factory=dict)
    subject: str = "this person"
    noun: str = "person"


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    attributes: categorical columns, one row an image, None where a value cannot be seen; or None for a data set without any.
    mentions: for every caption the literals `attribute=value` that it names, where that is known exactly.
    """

    dataset: str
    name: str
    ids: Sequence[str]
    images: ImageStore
    captions: Sequence[tuple[str, ...]]
    attributes: pd.DataFrame | None = None
    vocabulary: Vocabulary | None = None
    mentions: Sequence[Sequence[Sequence[str]]] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Split":
        """The same split with these rows only, in this order; no pixel is read."""
        rows = [int(row) for row in rows]
        table = None if self.attributes is None else self.attributes.iloc[rows].reset_index(drop=True)
        ids, captions = [self.ids[row] for row in rows], [self.captions[row] for row in rows]
        return replace(self, ids=ids, images=Subset(self.images, rows), captions=captions, attributes=table)

    @cached_property
    def digest(self) -> str:
        """sha256 over ids, pixels, captions and attributes: two splits of one digest are the same data."""
        table = None if self.attributes is None else self.attributes.to_dict("list")
        content = [self.dataset, self.name, list(self.ids), list(self.images.digests()), [list(c) for c in self.captions], table]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
