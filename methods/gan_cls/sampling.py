"""Minibatches of the GAN-CLS family: real images, mismatched images, and the texts of both, as a function of one seed.

A mismatched image comes from another *group*, so that two images of one group are never called a mismatch. A group is
a class if the data has classes (CUB, Flowers: classes are drawn uniformly, then an image of each); a single image if it
has none (COCO); or all images with equal attributes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.nn.functional import interpolate as resize

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import to_float
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split
from t2ibench.data.stores import ImageStore

Augment = Literal["reference", "clean", "none"]
ENLARGED, SIDE = 76, 64  # pixels before and after the random crop


@dataclass(frozen=True)
class Batch:
    """One minibatch.

    real, wrong: images in [-1, 1], [B, 3, 64, 64]; `wrong` is None if mismatched images are not used.
    text, wrong_text: embeddings of the captions of the real and of the mismatched images, [B, T].
    """

    real: Tensor
    wrong: Tensor | None
    text: Tensor
    wrong_text: Tensor


@dataclass(frozen=True)
class Groups:
    """The groups of N images; two images of one group are no mismatch.

    order: images sorted by group, [N].
    of_image: the group of each image, [N].
    starts, counts: where each group begins in `order`, and its size.
    """

    order: np.ndarray
    of_image: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> "Groups":
        """Groups of images with equal labels, [N]. Raises UserError if all are equal: then there is no mismatch."""
        names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(names) < 2:
            raise UserError(
                f"mismatched pairs need two classes (or two different images), all {len(labels)} images are of one"
            )
        return cls(np.argsort(codes, kind="stable"), codes, np.cumsum(counts) - counts, counts)

    def pairs_by_class(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws two distinct groups uniformly, whatever their sizes, then an image of each.

        u: [4, B] in [0, 1). Returns indices [B] and [B].
        """
        n = len(self.counts)
        real = (u[0] * n).astype(int)
        wrong = (real + 1 + (u[1] * (n - 1)).astype(int)) % n
        return self._member(real, u[2]), self._member(wrong, u[3])

    def pairs_by_image(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws an image uniformly, then a second one uniformly from all other groups.

        u: [2, B] in [0, 1). Returns indices [B] and [B].
        """
        real = (u[0] * len(self.order)).astype(int)
        start, count = self.starts[self.of_image[real]], self.counts[self.of_image[real]]
        rank = (u[1] * (len(self.order) - count)).astype(int)
        return real, self.order[np.where(rank < start, rank, rank + count)]

    def distinct(self, u: np.ndarray, batch: int) -> np.ndarray:
        """Draws `batch` distinct groups and an image of each: indices [batch]. u: [groups + batch] in [0, 1)."""
        if batch > len(self.counts):
            raise UserError(f"a batch of {batch} takes as many classes, the data has {len(self.counts)}: lower `batch`")
        return self._member(np.argsort(u[: len(self.counts)], kind="stable")[:batch], u[len(self.counts) :])

    def _member(self, group: np.ndarray, u: np.ndarray) -> np.ndarray:
        return self.order[self.starts[group] + (u * self.counts[group]).astype(int)]


def labels_of(split: Split, class_column: str = "") -> np.ndarray:
    """One label an image: its class if `class_column` names one, else all its attributes, else its position.

    Raises UserError if the split has no such column.
    """
    if class_column and (split.attributes is None or class_column not in split.attributes):
        known = [] if split.attributes is None else list(split.attributes)
        raise UserError(
            f"{split.dataset}: no attribute column is called {class_column!r}{did_you_mean(class_column, known)}"
        )
    if split.attributes is None:
        return np.arange(len(split))
    columns = [class_column] if class_column else list(split.attributes)
    return split.attributes[columns].fillna("").astype(str).agg("\x1f".join, axis=1).to_numpy(dtype=str)


def caption_picks(u: np.ndarray, available: int, replace: bool) -> np.ndarray:
    """The captions of each image that are averaged: indices [k, B] below `available`. u: [k, B] in [0, 1).

    They are drawn with replacement, as in main_cls_int, or without, as in the COCO script; then k may not exceed
    `available`.
    """
    if replace:
        return (u * available).astype(int)
    if len(u) > available:
        raise UserError(
            f"{len(u)} captions an image are averaged without replacement, the data has {available}: lower `captions`"
        )
    picks = np.zeros(u.shape, int)
    for column in range(u.shape[1]):
        left = list(range(available))
        for row in range(len(u)):
            picks[row, column] = left.pop(int(u[row, column] * len(left)))
    return picks


def crop_offsets(u: np.ndarray, augment: Augment) -> np.ndarray:
    """Offsets of a crop from 76 to 64 pixels. reference: ceil(U(0.01, 12)), so 1..12 and never 0; clean: 0..12."""
    return np.ceil(0.01 + u * 11.99).astype(int) if augment == "reference" else (u * (ENLARGED - SIDE + 1)).astype(int)


def prepare(images: np.ndarray, augment: Augment, u: np.ndarray | None = None) -> Tensor:
    """Images uint8 [B, 3, H, W] as floats in [-1, 1], [B, 3, 64, 64].

    augment: how they are cropped and flipped; `none` does neither. (Upstream's `no_aug` also forgets to map [0, 1] to
    [-1, 1]; that is not reproduced.)
    u: [3, B] in [0, 1), for the two crop offsets and the flip.
    """
    floats = to_float(torch.from_numpy(images))
    side = SIDE if augment == "none" else ENLARGED
    if floats.shape[-2:] != (side, side):
        floats = resize(floats, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    if augment == "none" or u is None:
        return floats
    rows, columns, flips = crop_offsets(u[0], augment), crop_offsets(u[1], augment), u[2] < 0.5
    crops = [image[:, y : y + SIDE, x : x + SIDE] for image, y, x in zip(floats, rows, columns, strict=True)]
    return torch.stack([crop.flip(-1) if flip else crop for crop, flip in zip(crops, flips, strict=True)])


class Sampler:
    """Draws batches of a split whose captions are already embedded."""

    def __init__(
        self,
        images: ImageStore,
        embeddings: Tensor,  # [N, K, T]: K captions an image
        labels: np.ndarray,  # [N]; two images of one label are no mismatch
        *,
        batch: int,
        by_class: bool = False,
        captions: int = 4,
        replace: bool = True,
        augment: Augment = "reference",
        wrong_images: bool = True,
        nearest_of: int = 1,
    ) -> None:
        """nearest_of: a mismatched image is, of so many that are drawn, the one whose text is most like the own."""
        self.images, self.embeddings, self.groups = images, embeddings, Groups.of(labels)
        self.batch, self.by_class, self.captions, self.replace = batch, by_class, captions, replace
        self.augment, self.wrong_images, self.nearest_of = augment, wrong_images, nearest_of

    def draw(self, seed: int) -> Batch:
        """The batch of a seed, always the same. `wrong` is read only if `wrong_images` is set."""
        u = self._uniform(seed)
        real, _ = self._pairs(u)
        text = self._text(real, u[10 : 10 + self.captions])
        wrong, wrong_text = self._mismatch(seed, u, text)
        return Batch(
            self._read(real, u[4:7]), self._read(wrong, u[7:10]) if self.wrong_images else None, text, wrong_text
        )

    def _mismatch(self, seed: int, u: np.ndarray, text: Tensor) -> tuple[np.ndarray, Tensor]:
        """The mismatched images [B] of a batch and their texts [B, T]. text: those of the real images."""
        drawn = []
        for number in range(self.nearest_of):
            other = self._uniform(derive_seed(seed, "mismatch", number)) if number else u
            [_, wrong] = self._pairs(np.stack([u[0], other[1], u[2], other[3]]))
            drawn.append((torch.from_numpy(wrong), self._text(wrong, other[10 + self.captions :])))
        images, texts = (torch.stack(column) for column in zip(*drawn, strict=True))  # [K, B], [K, B, T]
        nearest = cosine_similarity(texts, text[None], dim=2).argmax(0)
        rows = torch.arange(len(text))
        return images[nearest, rows].numpy(), texts[nearest, rows]

    def draw_text(self, seed: int) -> Tensor:
        """The texts of the batch of a seed, [B, T], without reading an image."""
        u = self._uniform(seed)
        return self._text(self._pairs(u)[0], u[10 : 10 + self.captions])

    def _uniform(self, seed: int) -> np.ndarray:
        return uniform(derive_seed(seed, "batch"), (10 + 2 * self.captions) * self.batch).reshape(-1, self.batch)

    def _pairs(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.groups.pairs_by_class(u[:4]) if self.by_class else self.groups.pairs_by_image(u[:2])

    def _read(self, indices: np.ndarray, u: np.ndarray) -> Tensor:
        return prepare(self.images.read(indices), self.augment, u)

    def _text(self, indices: np.ndarray, u: np.ndarray) -> Tensor:
        picks = caption_picks(u, self.embeddings.shape[1], self.replace)  # [k, B]
        return self.embeddings[torch.from_numpy(indices)[None], torch.from_numpy(picks)].float().mean(dim=0)
