"""The segmenter of parts: learned from the masks that a split hands out, on images that are shifted as a generator
might draw them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split
from t2ibench.methods.stylet2i.segmentation import PartNetwork
from t2ibench.methods.stylet2i.settings import PartsSettings
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, warmup_cosine
from t2ibench.networks.state import resume

SHIFT = 3  # pixels, each way
CHUNK = 50  # masks that are read between two steps of the progress bar


class PartsRecipe:
    """Trains the segmenter by the cross-entropy of every pixel's part; a `loop.Recipe`."""

    def __init__(self, config: PartsSettings, train: Split, val: Split, models: Models, seed: int, name: str) -> None:
        """Raises UserError for splits without masks, and for images whose sides are not multiples of 4."""
        if train.masks is None or val.masks is None:
            split = train if train.masks is None else val
            raise UserError(
                f"stylet2i parts: {split.dataset} {split.name} has no part masks: name another `segmenter` in the "
                f"settings"
            )
        self.config, self.train, self.val, self.seed, self.device = (
            config,
            train,
            val,
            derive_seed("stylet2i", name, seed),
            models.device,
        )
        self.parts, self.of, self.name, self.steps = (
            list(train.masks.parts),
            train.masks.of,
            f"stylet2i-{name}",
            config.steps,
        )
        self.images, self.labels = _read(train, config.images)
        if any(size % 4 for size in self.labels.shape[1:]):
            raise UserError(
                f"stylet2i parts: images are {self.labels.shape[1]}x{self.labels.shape[2]}, expected multiples of 4: "
                f"scale them"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = PartNetwork(len(self.parts), config.width).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.settings = {**asdict(config), "seed": seed, "train": train.digest}
        data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest}
        self.facts = {"data": data, "seed": seed, "optimised_for": "part masks"}

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.network, self.network, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        rows = batch_rows(self.seed, index, len(self.images), self.config.batch)
        images, labels = self._shifted(self.images[rows], self.labels[rows], derive_seed(self.seed, "shift", index))
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate * warmup_cosine(progress)
        loss = F.cross_entropy(self.network(to_float(images.to(self.device))), labels.long().to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": float(loss.detach())}

    def _shifted(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Each image and its labels, moved by up to SHIFT pixels each way; the border is repeated."""
        height, width = labels.shape[1:]
        moves = (uniform(seed, 2 * len(images)).reshape(-1, 2) * (2 * SHIFT + 1)).astype(int) - SHIFT
        image_label_pairs = []
        for image, label, (down, right) in zip(images, labels, moves, strict=True):
            y, x = (torch.arange(size) + move for size, move in ((height, int(down)), (width, int(right))))
            y, x = y.clamp(0, height - 1)[:, None], x.clamp(0, width - 1)
            image_label_pairs.append((image[:, y, x], label[y, x]))
        moved_images, moved_labels = zip(*image_label_pairs, strict=True)
        return torch.stack(moved_images), torch.stack(moved_labels)

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"network": self.network, "optimizer": self.optimizer}, state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        of = {name: list(parts) for name, parts in self.of.items()}
        return self.network.state_dict(), {"parts": self.parts, "of": of, "width": self.config.width}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """On held-out images: the share of pixels with the right part, and the intersection over union of each part."""
        images, labels = _read(self.val, self.config.held_out)
        predicted = self.network(to_float(images.to(self.device))).argmax(1).cpu()
        overlap = {}
        for number, part in enumerate(self.parts):
            real, fake = labels == number, predicted == number
            if real.any():
                overlap[part] = round(float((real & fake).sum() / (real | fake).sum()), 4)
        return {"n": len(images), "accuracy": round(float((predicted == labels).float().mean()), 4), "iou": overlap}


def _read(split: Split, count: int) -> tuple[Tensor, Tensor]:
    """The first images and their labels, uint8 [N, 3, H, W] and [N, H, W]."""
    from t2ibench.core.progress import track

    assert split.masks is not None  # the recipe has checked
    rows = np.arange(min(count, len(split)))
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    labels = [split.masks.read(chunk) for chunk in track(chunks, f"part masks of {len(rows)} images", len(chunks))]
    return torch.from_numpy(split.images.read(rows)), torch.from_numpy(np.concatenate(labels))
