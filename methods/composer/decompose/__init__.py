"""Decomposition: eight representations of an image.

Each is made by the paper's extractor if its weights are given, and by a kept library otherwise. Palette, sketch,
instances, depth and image embedding take time, so they are extracted once per split and cached. Captions are embedded
for every batch, and grey weights and holes are drawn anew. Maps have 8 bits, whether they come from the cache or not,
so that both are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.cache import cached
from t2ibench.core.errors import UserError
from t2ibench.core.files import in_weight_folders
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
from t2ibench.methods.composer.decompose.files import file_facts, placed
from t2ibench.methods.composer.decompose.semantics import image_embeddings, text_embeddings
from t2ibench.networks.models import Models

VERSION = 2  # of the cached content
KEPT = ("canny", "boundaries", "parts", "silhouette", "layers", "proxy")  # extractors that need no file
BLOCK = 100  # images extracted at once


@dataclass(frozen=True)
class Extractors:
    """Which extractor makes each representation that has more than one.

    clip: a CLIP of the zoo, or of open_clip ("ViT-L-14-336:openai", the paper's).
    sketch: "canny"; "boundaries" (of exact parts); or the files of PiDiNet and of the network that simplifies sketches,
    "table5_pidinet.pth+model_gan.t7".
    instances: "parts" (exact ones, of the data set); "silhouette"; or a file of Mask R-CNN.
    depth: "layers" (the order in which parts are painted); "proxy"; or a file of MiDaS 3.
    palette: how colours are counted.
    """

    clip: str = "clip-guide-avatars"
    sketch: str = "canny"
    instances: str = "parts"
    depth: str = "layers"
    palette: Palette = PALETTE


@dataclass(frozen=True)
class Extracted:
    """The representations of N images that are extracted once.

    palette: float32 [N, K].
    embedding: float32 [N, D].
    maps: uint8 [N, 3, R, R]: sketch, labels, depth.
    """

    palette: Tensor
    embedding: Tensor
    maps: Tensor


class Decomposition:
    """Extracts the representations of images. side: R, the side of the maps in pixels."""

    def __init__(self, extractors: Extractors, models: Models, side: int) -> None:
        """Raises UserError for weights that are missing or broken, and for extractors that do not fit together."""
        self.extractors, self.side, self.cache, device = extractors, side, models.cache, models.device
        self.clip = models.clip(in_weight_folders(extractors.clip))
        edges, _, simplify = extractors.sketch.partition("+")
        if extractors.sketch not in KEPT and not simplify:
            raise UserError(
                f"composer: sketch is {extractors.sketch!r}, expected canny, boundaries, or the files of PiDiNet and "
                f"of the network that simplifies sketches, table5_pidinet.pth+model_gan.t7"
            )
        self._strokes: Callable[[Tensor], Tensor] | None = None
        if extractors.sketch == "canny":
            self._strokes = canny
        elif extractors.sketch != "boundaries":
            self._strokes = sketch.Simplified(placed(edges), placed(simplify), device)
        self._labels: Callable[[Tensor], Tensor] | None = None
        if extractors.instances != "parts":
            silhouette = extractors.instances == "silhouette"
            self._labels = silhouettes if silhouette else instances.MaskRCNN(placed(extractors.instances), device)
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
            None if extractors.depth in ("layers", "proxy") else depth.Monocular(placed(extractors.depth), device)
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What made each representation, for cards and records."""
        clip, palette = f"{self.clip.name} {self.clip.sha256[:16]}", self.extractors.palette
        names = {"S": self.extractors.sketch, "G": self.extractors.instances, "D": self.extractors.depth}
        maps = {
            letter: name if name in KEPT else file_facts(*map(placed, name.split("+")))
            for letter, name in names.items()
        }
        codes = (
            f"CIELab, {palette.saturations} saturations, {palette.lights} darker rows, sigma {palette.sigma:g}, "
            f"{palette.norm}"
        )
        return {
            "T": clip,
            "E": clip,
            "P": codes,
            **maps,
            "I": f"{len(WEIGHTS)} triples",
            "M": "strokes, rectangles, half-planes",
        }

    def extract(self, images: Tensor, labels: Tensor | None = None, parts: int = 0) -> Extracted:
        """The representations of uint8 images [B, 3, H, W].

        labels: exact parts, uint8 [B, H, W], numbered from the farthest.
        parts: how many parts there are in all.

        Raises UserError if the extractors need exact parts and `labels` is None.
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
        """Whether instances are exact parts, which an image alone does not have."""
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
        """S in 8 bits, [B, 1, R, R]. labels: exact parts, for strokes that are their boundaries."""
        if self._strokes is not None:
            return self.in_bytes(self._strokes(images))
        return self.in_bytes(instances.boundaries(self.labels(images, labels, 0)[0])[:, None].float())

    def depth(self, images: Tensor, labels: Tensor, parts: int) -> Tensor:
        """D in 8 bits, [B, 1, R, R], of images and their labels and parts as `labels` returns them."""
        if self.extractors.depth == "layers":
            return self.in_bytes(depth.layers(labels, parts))
        return self.in_bytes(proxy(labels) if self._depth is None else self._depth(images))

    def in_bytes(self, maps: Tensor) -> Tensor:
        """Maps in [0, 1], [B, 1, H, W], at R pixels in 8 bits; values between 0 and 1 stay."""
        small = F.interpolate(maps, (self.side, self.side), mode="area")
        return (small * 255).round().to(torch.uint8)

    def of_split(self, split: Split) -> Extracted:
        """The representations of all images of a split, from the cache if they were extracted before.

        Raises UserError as `extract` does.
        """
        from t2ibench.core.progress import track

        kind = {"version": VERSION, "facts": self.facts, "side": self.side, "images": split.digest}
        extracted: list[Extracted] = []

        def once() -> Extracted:
            if not extracted:
                starts = range(0, len(split), BLOCK)
                blocks = [np.arange(start, min(start + BLOCK, len(split))) for start in starts]
                done = [
                    self.extract(*read_with_parts(split, rows))
                    for rows in track(blocks, f"take apart {len(split):,} images")
                ]
                extracted.append(
                    Extracted(
                        *(
                            torch.cat([getattr(block, name) for block in done])
                            for name in ("palette", "embedding", "maps")
                        )
                    )
                )
            return extracted[0]

        palette = cached(self.cache, ["composer palette", kind], lambda: once().palette.numpy())
        embedding = cached(self.cache, ["composer embedding", kind], lambda: once().embedding.numpy())
        maps = cached(self.cache, ["composer maps", kind], lambda: once().maps.numpy())
        return Extracted(*(torch.from_numpy(array) for array in (palette, embedding, maps.astype(np.uint8))))

    def conditions(
        self,
        images: Tensor,
        extracted: Extracted,
        texts: Sequence[str | None],
        seeds: Sequence[int] | None,
        seg_channels: int,
    ) -> Conditions:
        """All eight conditions of uint8 images [B, 3, R, R].

        extracted: the representations of these images.
        texts: their captions, [B]; None for an image without one.
        seeds: one a row, for the grey weights and the hole. None: Rec. 601, and a hole in the middle.
        seg_channels: the channels of G.

        Raises UserError for labels that the channels of G cannot hold.
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
    """The row of WEIGHTS that a seed draws."""
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
