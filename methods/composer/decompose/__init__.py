"""Decomposition: eight representations of an image, each by the paper's extractor where its weights are given, by a
kept library otherwise.

What costs time is extracted once per split and cached: palette, sketch, instances, depth, image embedding. Captions are
read, grey weights and holes are drawn anew for every batch. Maps are kept in 8 bits, cached or not, so that both are
the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core import cache
from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.representations.depth import proxy
from t2ibench.data.representations.instances import silhouettes
from t2ibench.data.representations.intensity import REC601, WEIGHTS, intensity
from t2ibench.data.representations.masks import known_parts, masked, middle
from t2ibench.data.representations.palette import PALETTE, Palette, palettes
from t2ibench.data.representations.sketch import canny
from t2ibench.data.split import Split
from t2ibench.methods.composer.conditions import LETTERS, Conditions
from t2ibench.methods.composer.decompose import depth, instances, sketch
from t2ibench.methods.composer.decompose.scripted import file_facts
from t2ibench.methods.composer.decompose.semantics import image_embeddings, text_embeddings
from t2ibench.networks.models import Models

VERSION = 2  # of what is cached
KEPT = ("canny", "boundaries", "parts", "silhouette", "layers", "proxy")  # extractors that need no file
BLOCK = 100


@dataclass(frozen=True)
class Extractors:
    """Which extractor makes each representation that has a choice.

    clip: of the zoo, or of open_clip ("ViT-L-14-336:openai", the paper's). sketch: "canny", "boundaries" (of exact
    parts), or the TorchScript files of an edge detector and a simplifier, "edges.pt+simplify.pt". instances: "parts"
    (exact, of the data set), "silhouette", or a file of Mask R-CNN. depth: "layers" (the order of painting of parts),
    "proxy", or a TorchScript file of DPT.
    """

    clip: str = "clip-guide-avatars"
    sketch: str = "canny"
    instances: str = "parts"
    depth: str = "layers"
    palette: Palette = PALETTE


@dataclass(frozen=True)
class Extracted:
    """What is extracted once: palette float32 [N, K], embedding float32 [N, D], maps uint8 [N, 3, R, R] (sketch,
    labels, depth).
    """

    palette: Tensor
    embedding: Tensor
    maps: Tensor


class Decomposition:
    """Takes images apart. side: R, pixels of the maps."""

    def __init__(self, extractors: Extractors, models: Models, side: int) -> None:
        """Raises UserError for weights that are not there or cannot be read."""
        self.extractors, self.side, device = extractors, side, models.device
        self.clip = models.clip(extractors.clip)
        edges, _, simplify = extractors.sketch.partition("+")
        self._strokes: Callable[[Tensor], Tensor] | None = None
        if extractors.sketch == "canny":
            self._strokes = canny
        elif extractors.sketch != "boundaries":
            self._strokes = sketch.Simplified(Path(edges), Path(simplify), device)
        self._labels: Callable[[Tensor], Tensor] | None = None
        if extractors.instances != "parts":
            silhouette = extractors.instances == "silhouette"
            self._labels = silhouettes if silhouette else instances.MaskRCNN(Path(extractors.instances), device)
        elif extractors.depth == "proxy":
            raise UserError(
                "composer: depth 'proxy' is made of a silhouette, but instances are 'parts': use depth 'layers'"
            )
        if self._labels is not None and extractors.depth == "layers":
            raise UserError(
                "composer: depth 'layers' is the order of exact parts, but instances are found otherwise: use depth "
                "'proxy'"
            )
        self._depth = (
            None if extractors.depth in ("layers", "proxy") else depth.Monocular(Path(extractors.depth), device)
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What made each representation, for cards and records."""
        clip, palette = f"{self.clip.name} {self.clip.sha256[:16]}", self.extractors.palette
        names = {"S": self.extractors.sketch, "G": self.extractors.instances, "D": self.extractors.depth}
        made = {
            letter: name if name in KEPT else file_facts(*map(Path, name.split("+"))) for letter, name in names.items()
        }
        codes = (
            f"CIELab, {palette.saturations} saturations, {palette.lights} darker rows, sigma {palette.sigma:g}, "
            f"{palette.norm}"
        )
        return {
            "T": clip,
            "E": clip,
            "P": codes,
            **made,
            "I": f"{len(WEIGHTS)} triples",
            "M": "strokes, rectangles, half-planes",
        }

    def extract(self, images: Tensor, labels: Tensor | None = None, parts: int = 0) -> Extracted:
        """Of uint8 images [B, 3, H, W]. labels: exact parts uint8 [B, H, W], counted from the farthest, of `parts` in
        all.

        Raises UserError where exact parts are asked for and there are none.
        """
        labels, parts = self.labels(images, labels, parts)
        maps = [
            self.sketch(images, labels),
            instances.shrink(labels, self.side)[:, None],
            self.depth(images, labels, parts),
        ]
        return Extracted(
            palettes(images, self.extractors.palette), image_embeddings(self.clip, images), torch.cat(maps, 1)
        )

    @property
    def exact(self) -> bool:
        """Whether instances are exact parts, which no image has by itself."""
        return self._labels is None

    def labels(self, images: Tensor, labels: Tensor | None, parts: int) -> tuple[Tensor, int]:
        """Which part each pixel shows, uint8 [B, H, W], and how many parts there are.

        Raises UserError as `extract` does.
        """
        if self._labels is not None:
            return self._labels(images), 2
        if labels is None:
            raise UserError(
                "composer: instances are 'parts', but these images have no exact part masks: use instances "
                "'silhouette' or a file"
            )
        return labels, parts

    def sketch(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """S in 8 bits, [B, 1, R, R]. labels: for strokes that are boundaries of parts."""
        if self._strokes is not None:
            return self.in_bytes(self._strokes(images))
        return self.in_bytes(instances.boundaries(self.labels(images, labels, 0)[0])[:, None].float())

    def depth(self, images: Tensor, labels: Tensor, parts: int) -> Tensor:
        """D in 8 bits, [B, 1, R, R], of images and what `labels` found in them."""
        if self.extractors.depth == "layers":
            return self.in_bytes(depth.layers(labels, parts))
        return self.in_bytes(proxy(labels) if self._depth is None else self._depth(images))

    def in_bytes(self, maps: Tensor) -> Tensor:
        """Maps in [0, 1], [B, 1, H, W], at R pixels in 8 bits; soft values stay."""
        small = F.interpolate(maps, (self.side, self.side), mode="area")
        return (small * 255).round().to(torch.uint8)

    def of_split(self, split: Split) -> Extracted:
        """Of all images of a split, from the cache where they were taken apart before.

        Raises UserError as `extract` does.
        """
        from t2ibench.core.progress import track

        kind = {"version": VERSION, "facts": self.facts, "side": self.side, "images": split.digest}
        found: list[Extracted] = []

        def made() -> Extracted:
            if not found:
                starts = range(0, len(split), BLOCK)
                blocks = [np.arange(start, min(start + BLOCK, len(split))) for start in starts]
                done = [
                    self.extract(*read_with_parts(split, rows))
                    for rows in track(blocks, f"take apart {len(split):,} images")
                ]
                found.append(
                    Extracted(
                        *(
                            torch.cat([getattr(block, name) for block in done])
                            for name in ("palette", "embedding", "maps")
                        )
                    )
                )
            return found[0]

        palette = cache.cached(["composer palette", kind], lambda: made().palette.numpy())
        embedding = cache.cached(["composer embedding", kind], lambda: made().embedding.numpy())
        maps = cache.cached(["composer maps", kind], lambda: made().maps.numpy())
        return Extracted(*(torch.from_numpy(array) for array in (palette, embedding, maps.astype(np.uint8))))

    def conditions(
        self,
        images: Tensor,
        extracted: Extracted,
        texts: Sequence[str | None],
        seeds: Sequence[int] | None,
        seg_channels: int,
    ) -> Conditions:
        """All eight of uint8 images [B, 3, R, R] and what was extracted from them; a text of None is absent.

        seeds: one a row, for the grey weights and the hole; None: Rec. 601, and the middle is the hole. Raises
        UserError for labels that the channels of G cannot hold.
        """
        pixels, maps = to_float(images), extracted.maps
        if seg_channels > 1 and int(maps[:, 1].max()) >= seg_channels - 1:
            raise UserError(
                f"composer: part {int(maps[:, 1].max())} is in an image, the network knows {seg_channels - 1} parts: "
                f"train one for it"
            )
        which = torch.full((len(images),), REC601) if seeds is None else torch.tensor([pick(seed) for seed in seeds])
        known = middle(len(images), images.shape[-1]) if seeds is None else known_parts([*seeds], images.shape[-1])
        words, word_mask, sentence = text_embeddings(self.clip, [text or "" for text in texts])
        values = {
            "words": words,
            "word_mask": word_mask,
            "sentence": sentence,
            "E": extracted.embedding,
            "P": extracted.palette,
        }
        values |= {
            "S": maps[:, :1].float() / 255,
            "G": instances.planes(maps[:, 1], seg_channels),
            "D": maps[:, 2:].float() / 255,
        }
        values |= {"I": intensity(pixels, which), "M": masked(pixels, known)}
        present = torch.ones(len(images), len(LETTERS), dtype=torch.bool)
        present[:, 0] = torch.tensor([text is not None for text in texts])
        return Conditions(values, present)


def pick(seed: int) -> int:
    """Which row of WEIGHTS a seed draws."""
    return int(uniform(derive_seed(seed, "grey"), 1)[0] * len(WEIGHTS))


def read_with_parts(split: Split, rows: np.ndarray) -> tuple[Tensor, Tensor | None, int]:
    """Images uint8 [B, 3, H, W] of a split, their exact parts uint8 [B, H, W] (or None), and how many parts there
    are.
    """
    images = torch.from_numpy(np.ascontiguousarray(split.images.read(rows)))
    if split.masks is None:
        return images, None, 0
    return images, torch.from_numpy(split.masks.read(rows)), len(split.masks.parts)


def resized(images: Tensor, side: int) -> Tensor:
    """uint8 [B, 3, H, W] at another side, antialiased, rounded as Pillow does."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bicubic", antialias=True)
