"""Turns the sources of a request into the conditions that the network reads."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.data.representations.intensity import REC601, intensity
from t2ibench.data.representations.masks import masked
from t2ibench.data.representations.palette import palettes
from t2ibench.methods.composer.conditions import GLOBALS, LETTERS, LOCALS, Conditions, between, chosen
from t2ibench.methods.composer.decompose import Decomposition, resized
from t2ibench.methods.composer.decompose.instances import planes, shrink
from t2ibench.methods.composer.decompose.semantics import image_embeddings, text_embeddings
from t2ibench.tracks.compose_tasks import Task
from t2ibench.tracks.contract import Compose, Source


class Reader:
    """Reads sources for one network.

    side: side in pixels at which images are taken apart; that of the images the network was trained on.
    ignores: letters of conditions that no task gets.
    """

    def __init__(self, decomposition: Decomposition, side: int, seg_channels: int, ignores: str = "") -> None:
        """Raises UserError for an unknown letter."""
        self.decomposition, self.side, self.seg_channels, self.ignored = (
            decomposition,
            side,
            seg_channels,
            chosen(ignores),
        )

    def conditions(self, sets: Mapping[str, str], requests: Sequence[Compose]) -> Conditions:
        """The conditions that one task takes from the sources of requests.

        sets: the task's c1 or c2; the letters that are taken, by name of the source.

        Raises UserError for a source that lacks what is taken from it.
        """

        def of(name: str, letters: str) -> Conditions:
            known = holes(requests, self.decomposition.side) if "M" in letters else None
            return self.taken(name, letters, [request.sources[name] for request in requests], known)

        def of_both(letters: str) -> Conditions:
            return between(
                of("A", letters), of("B", letters), letters, torch.tensor([request.position for request in requests])
            )

        taken = [of_both(letters) if name == "between" else of(name, letters) for name, letters in sets.items()]
        whole = united(taken, len(requests))
        return whole.with_present(whole.present & ~self.ignored)

    def taken(self, name: str, letters: str, sources: Sequence[Source], known: Tensor | None = None) -> Conditions:
        """The conditions in `letters`, taken from sources.

        name: the name of the sources, for error lines.
        known: the known pixels of M, [B, 1, R, R].

        If a source has no caption, T is absent; if it has no exact parts and the network reads them, G and D are.
        """
        values: dict[str, Tensor] = {}
        present = chosen(letters).repeat(len(sources), 1)
        if "T" in letters:
            embedded = text_embeddings(self.decomposition.clip, [source.caption or "" for source in sources])
            values |= dict(zip(("words", "word_mask", "sentence"), embedded, strict=True))
            present[:, 0] = torch.tensor([source.caption is not None for source in sources])
        if "E" in letters:
            values["E"] = image_embeddings(self.decomposition.clip, self.images(name, sources))
        if "P" in letters:
            values["P"] = palettes(self.images(name, sources), self.decomposition.extractors.palette)
        if "S" in letters:
            values["S"] = self.strokes(name, sources).float() / 255
        if set("GD") & set(letters):
            values |= self.parts(name, letters, sources)
            if self.decomposition.exact:
                has_parts = torch.tensor([source.parts is not None for source in sources])
                present[:, [LETTERS.index("G"), LETTERS.index("D")]] &= has_parts[:, None]
        if set("IM") & set(letters):
            small = to_float(resized(self.images(name, sources), self.decomposition.side))
            values["I"] = intensity(small, torch.full((len(small),), REC601))
            if known is not None:
                values["M"] = masked(small, known)
        return Conditions(values, present)

    def captions(self, texts: Sequence[str]) -> Conditions:
        """Conditions that hold texts alone."""
        return self.taken("the text", "T", [Source(caption=text) for text in texts])

    def images(self, name: str, sources: Sequence[Source]) -> Tensor:
        """The images of sources, uint8 [B, 3, side, side]. Raises UserError for a source without an image."""
        images = []
        for source in sources:
            if source.image is None:
                raise UserError(f"composer: {name} has no image, and a condition is to be taken from it: give one")
            images.append(resized(torch.from_numpy(np.ascontiguousarray(source.image))[None], self.side))
        return torch.cat(images)

    def strokes(self, name: str, sources: Sequence[Source]) -> Tensor:
        """S in 8 bits, [B, 1, R, R]: a source's own strokes if it has them, otherwise those of its image."""
        sketches = []
        for source in sources:
            if source.strokes is not None:
                sketches.append(
                    self.decomposition.in_bytes(
                        torch.from_numpy(np.ascontiguousarray(source.strokes))[None, None].float()
                    )
                )
            else:
                labels = None if source.parts is None else torch.from_numpy(source.parts)[None]
                sketches.append(self.decomposition.sketch(self.images(name, [source]), labels))
        return torch.cat(sketches)

    def parts(self, name: str, letters: str, sources: Sequence[Source]) -> dict[str, Tensor]:
        """G and D, those of them that are in `letters`. Raises UserError for parts that the network does not know."""
        labels = torch.cat([self.labels(name, source) for source in sources])
        if self.seg_channels > 1 and int(labels.max()) >= self.seg_channels - 1:
            raise UserError(
                f"composer: part {int(labels.max())} is in a source, the network knows {self.seg_channels - 1}: train "
                f"one for it"
            )
        values = {"G": planes(shrink(labels, self.decomposition.side), self.seg_channels)} if "G" in letters else {}
        if "D" in letters:
            values["D"] = (
                self.decomposition.depth(self.images(name, sources), labels, self.seg_channels - 1).float() / 255
            )
        return values

    def labels(self, name: str, source: Source) -> Tensor:
        """Which part each pixel shows, uint8 [1, side, side].

        If the network reads exact parts and the source has none, every pixel is background.
        """
        if self.decomposition.exact:
            pixels = np.zeros((self.side, self.side), np.uint8) if source.parts is None else source.parts
        elif source.silhouette is not None:
            pixels = source.silhouette
        else:
            return self.decomposition.labels(self.images(name, [source]), None, 0)[0]
        labels = torch.from_numpy(np.ascontiguousarray(pixels))[None]
        return labels if labels.shape[1] == self.side else shrink(labels, self.side)


def holes(requests: Sequence[Compose], side: int) -> Tensor:
    """Where the source A of each request is known, float32 [B, 1, side, side] in {0, 1}.

    A pixel is known if all pixels of the mask that it covers are. Raises UserError for a request without a mask.
    """
    masks = []
    for request in requests:
        if request.known is None:
            raise UserError(
                "composer: the task has a masked image, and the request says nothing of what is known: give a mask"
            )
        masks.append(F.interpolate(torch.from_numpy(request.known)[None, None].float(), (side, side), mode="area") == 1)
    return torch.cat(masks).float()


def united(conditions: Sequence[Conditions], count: int) -> Conditions:
    """Several sets of conditions of `count` rows as one set. No sets give a set in which nothing is present."""
    values = {name: value for one in conditions for name, value in one.values.items()}
    present = (
        torch.stack([one.present for one in conditions]).any(0)
        if conditions
        else torch.zeros(count, len(LETTERS), dtype=torch.bool)
    )
    return Conditions(values, present)


def against(task: Task, c2: Conditions) -> Conditions:
    """The conditions that sampling under c2 is guided away from.

    They are the local conditions of c2, which then weigh 1, if the task has both local and global ones. Otherwise no
    condition is present.
    """
    return c2.only(LOCALS if set(task.given) & set(LOCALS) and set(task.given) & set(GLOBALS) else "")
