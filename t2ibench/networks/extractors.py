"""The networks whose features metrics compare, by name: an attribute judge, Inception, DINOv2, ArcFace, or a CLIP."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.cache import Pieces
from t2ibench.core.images import to_float
from t2ibench.core.progress import track
from t2ibench.core.readers import Ahead
from t2ibench.data.stores import SeveralSizes
from t2ibench.networks.models import Models, builds
from t2ibench.networks.precision import full_float32
from t2ibench.networks.side_by_side import at_once, side_by_side

Pixels = np.ndarray | Sequence[np.ndarray]  # uint8 [B, 3, H, W], or each [3, H, W] of its own size
BATCH = 64  # the activations of more leave the processor's cache
FEW = 32  # batches of fewer images are not halved: kernels for very few round differently


@dataclass(frozen=True)
class Extractor:
    """A network that turns images into features. The images, `sha256`, `resize` and `output` determine the result.

    name: as in `find`.
    sha256: of the weights.
    resize: how an image is brought to the network's size.
    network: from uint8 [B, 3, H, W] to float32 [B, D].
    output: which of its outputs the network returns, if it has several; empty for features.
    features: how many of the D numbers are features; None: all of them.
    short: its name in the ids of metrics, such as `dinov2_vitl14` in `fd_dinov2_vitl14`; made of `name` unless given.
    reads_files: whether it was published with a protocol that reads the file of a real image and resizes that. It gets
        the file then, and not what a data set makes of it.
    """

    name: str
    sha256: str
    resize: str
    network: Callable[[Tensor], Tensor]
    output: str = ""
    features: int | None = None
    short: str = ""
    reads_files: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "short", self.short or short_of(self.name))

    @property
    def protocol(self) -> dict[str, Any]:
        return {"extractor": self.name, "sha256": self.sha256, "resize": self.resize} | (
            {"output": self.output} if self.output else {}
        )


@builds
def find(models: Models, name: str) -> Extractor:
    """An extractor by its name.

    name: `inception…`, an attribute judge, `dino:FILE`, `dinov2:FILE`, `dreamsim:FOLDER`, `arcface:FILE`, a
        CLIP of the zoo, or `model:tag` of open_clip; `letterbox:` before a CLIP lets it see the whole image, in a black
        square.

    An attribute judge returns its features and its probabilities side by side, [B, features + values of all
    attributes], so that one pass gives both.
    """
    if name.startswith("inception-torchvision"):
        return _torchvision(models, name)
    if name.startswith("inception"):
        from t2ibench.networks.inception import Inception

        inception = Inception(models.device, name)
        models.used[name] = {"sha256": inception.sha256, "data": "ImageNet", "optimised_for": None}
        return Extractor(
            name, inception.sha256, inception.resize, inception.features, inception.output, reads_files=True
        )
    if models.is_judge(name):
        return _judge(models, name)
    if name.startswith("dinov2:"):
        return _dinov2(models, Path(name.removeprefix("dinov2:")))
    if name.startswith("dino:"):
        return _dino(models, Path(name.removeprefix("dino:")))
    if name.startswith("dreamsim:"):
        return _dreamsim(models, Path(name.removeprefix("dreamsim:")))
    if name.startswith("arcface:"):
        return _arcface(models, Path(name.removeprefix("arcface:")))
    if name.startswith("letterbox:"):
        clip = models.clip(name.removeprefix("letterbox:"))
        resize = f"{clip.preprocess.size}-bicubic-antialias-float-letterbox"
        return Extractor(name, clip.sha256, resize, clip.encode_whole_images, reads_files=True)
    clip = models.clip(name)
    return Extractor(name, clip.sha256, clip.preprocess.id, clip.encode_images, reads_files=":" in name)


def short_of(name: str) -> str:
    """A name as one word: `dinov2_vitl14`, `clip_vit_b_32_quickgelu_openai` for ViT-B-32-quickgelu:openai."""
    architecture, colon, source = name.partition(":")
    return re.sub(r"\W+", "_", f"clip-{architecture}-{Path(source).stem}".lower() if colon else name)


def _judge(models: Models, name: str) -> Extractor:
    judge = models.judge(name)

    def read(images: Tensor) -> Tensor:
        features, probabilities = judge.read(images)
        return torch.cat([features, *probabilities.values()], dim=1)

    short = short_of(name.removeprefix("attribute-judge-"))
    return Extractor(name, judge.sha256, f"none{judge.size}", read, features=judge.dimension, short=short)


def _torchvision(models: Models, name: str) -> Extractor:
    from t2ibench.networks.torchvision_inception import TorchvisionInception

    network = TorchvisionInception(models.device, name)
    models.used[name] = {"sha256": network.sha256, "data": "ImageNet", "optimised_for": None}
    return Extractor(name, network.sha256, network.resize, network.features, reads_files=True)


def _dinov2(models: Models, path: Path) -> Extractor:
    from t2ibench.networks.dinov2 import DINOv2

    network = DINOv2.from_file(path, models.device)
    models.used[network.name] = {"sha256": network.sha256, "data": "LVD-142M", "optimised_for": None}
    return Extractor(network.name, network.sha256, network.resize, network.features, reads_files=True)


def _dino(models: Models, path: Path) -> Extractor:
    from t2ibench.networks.dino import DINO

    network = DINO.from_file(path, models.device)
    models.used[network.name] = {"sha256": network.sha256, "data": "ImageNet", "optimised_for": None}
    return Extractor(network.name, network.sha256, network.resize, network.features, reads_files=True)


def _dreamsim(models: Models, folder: Path) -> Extractor:
    from t2ibench.networks.dreamsim import DreamSim

    network = DreamSim(folder, models.device)
    name = f"dreamsim-{network.kind}"
    models.used[name] = {"sha256": network.sha256, "data": "NIGHTS", "optimised_for": None}
    return Extractor(name, network.sha256, network.resize, network.features, reads_files=True)


def _arcface(models: Models, path: Path) -> Extractor:
    from t2ibench.networks.arcface import ArcFace, face_crop

    network = ArcFace.from_file(path).to(models.device)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    models.used["arcface"] = {"sha256": sha256, "data": path.name, "optimised_for": None}

    @full_float32()
    def features(images: Tensor) -> Tensor:
        return network(face_crop(to_float(images.to(models.device))))

    return Extractor("arcface", sha256, "face_crop112", features)


def extract(
    network: Callable[[Tensor], Tensor],
    read: Callable[[Any], np.ndarray],
    rows: Sequence[int] | np.ndarray,
    what: str,
    batch: int = BATCH,
    parts: Pieces | None = None,
) -> np.ndarray:
    """The output of a network for each image, float32 [N, …].

    network: from uint8 [B, 3, H, W] to floats [B, …].
    read: from rows to their images.
    rows: of the N images.
    what: what the progress bar says.
    batch: the largest number of images in a batch.
    parts: the outputs of batches that other processes have made (`extract_part`).

    Two batches are worked on at once (`side_by_side`), or the next is read meanwhile (`Ahead`). They are of equal size
    as far as possible: a small last batch would run other kernels, which round differently.
    Images of several sizes are looked at as they are, those of one size together: each is resized alone, as clean-fid
    does it.
    """
    result: np.ndarray | None = None  # one array, filled in place: joining batches would take twice the memory
    spans = _spans(len(rows), batch)

    def made_or_read(number: int) -> tuple[np.ndarray | None, Pixels]:
        known = None if parts is None else parts.read(spans[number])
        return known, _images_of(read, rows[slice(*spans[number])]) if known is None else []

    shares = at_once(len(spans))
    # of two batches one is read while the other is in the network: a third thread would only take their processors
    images_at = made_or_read if shares > 1 else Ahead(made_or_read, len(spans))

    def outputs_of(number: int) -> np.ndarray:
        known, images = images_at(number)
        if known is not None:
            return known
        # two batches at once are looked at in halves, and take the memory of one; small ones stay whole
        share = -(-len(images) // shares) if len(images) >= FEW else len(images)
        return np.concatenate(
            [_outputs_of(network, images[start : start + share]) for start in range(0, len(images), share)]
        )

    passes = track(side_by_side(outputs_of, range(len(spans))), what, len(spans))
    for (start, end), outputs in zip(spans, passes, strict=True):
        if result is None:
            result = np.empty((len(rows), *outputs.shape[1:]), np.float32)
        result[start:end] = outputs
    if result is None:
        raise ValueError(f"{what}: there is no image to look at")
    return result


def extract_part(
    network: Callable[[Tensor], Tensor],
    read: Callable[[Any], np.ndarray],
    rows: Sequence[int] | np.ndarray,
    parts: Pieces,
    part: int,
    of: int,
    batch: int = BATCH,
) -> None:
    """Have every `of`-th batch of `extract` made and kept, from number `part` on. Who makes a batch changes nothing."""
    with torch.no_grad():
        for span in _spans(len(rows), batch)[part::of]:
            if parts.read(span) is None:
                parts.write(span, _outputs_of(network, _images_of(read, rows[slice(*span)])))


def _spans(count: int, batch: int) -> list[tuple[int, int]]:
    """The first and the end of every batch."""
    batches = -(-count // batch)
    return list(pairwise([count * index // batches for index in range(batches + 1)] if batches else [0]))


def _images_of(read: Callable[[Any], np.ndarray], rows: Sequence[int] | np.ndarray) -> Pixels:
    try:
        return read(rows)
    except SeveralSizes as error:
        return list(error.images)


def _outputs_of(network: Callable[[Tensor], Tensor], images: Pixels) -> np.ndarray:
    return _outputs(network, images) if isinstance(images, np.ndarray) else _outputs_by_size(network, images)


def _outputs(network: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(np.ascontiguousarray(images))).float().cpu().numpy()


def _outputs_by_size(network: Callable[[Tensor], Tensor], images: Sequence[np.ndarray]) -> np.ndarray:
    """The output of a network for each image, in their order, whatever their sizes."""
    parts: dict[int, np.ndarray] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        rows = [row for row, image in enumerate(images) if image.shape == shape]
        parts |= dict(zip(rows, _outputs(network, np.stack([images[row] for row in rows])), strict=True))
    return np.stack([parts[row] for row in range(len(images))])
