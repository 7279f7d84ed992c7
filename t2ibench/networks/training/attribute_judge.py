"""Training of the attribute judge: one network with a softmax for each attribute, then a temperature for each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import to_float
from t2ibench.core.ranges import Count, NotNegative, Positive
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed
from t2ibench.core.settings import configure
from t2ibench.data.split import Split
from t2ibench.networks import weights
from t2ibench.networks.attribute_judge.calibration import encode_labels, fit_temperature, report
from t2ibench.networks.attribute_judge.judge import AttributeJudge, Network
from t2ibench.networks.augment import augment
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, half, warmup_cosine
from t2ibench.networks.state import resume

PARTS = ("attribute-judge",)
SPLITS = {"attribute-judge": (("balanced-train",), "balanced-test")}


def masked_loss(logits: Tensor, labels: Tensor, attributes: Mapping[str, Sequence[str]]) -> Tensor:
    """Cross-entropy of the known labels (not -1), averaged within each attribute and summed over attributes."""
    pieces = logits.split([len(values) for values in attributes.values()], dim=1)
    losses = [
        F.cross_entropy(p, y, ignore_index=-1, reduction="sum") / (y >= 0).sum().clamp(min=1)
        for p, y in zip(pieces, labels.T, strict=True)
    ]
    return torch.stack(losses).sum()


@dataclass(frozen=True)
class Config:
    widths: tuple[Count, ...] = (32, 64, 128, 192)  # channels of each stage; each halves the side
    features: Count = 192
    batch: Count = 128
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.02
    calibration: Count = 1000  # the last images of the training split, kept out of training to fit temperatures
    bfloat16: bool = True  # multiply in bfloat16 while training: twice as fast on CPUs that have it, equally accurate


@dataclass
class JudgeRecipe:
    """Trains a judge; a `loop.Recipe`."""

    config: Config
    train: Split
    val: Split
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    attributes: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        if self.train.attributes is None:
            raise UserError(
                f"{self.train.dataset} {self.train.name} has no attributes: an attribute judge learns from labelled "
                f"images"
            )
        if len(self.train) < self.config.calibration + self.config.batch:
            needed = self.config.calibration + self.config.batch
            raise UserError(
                f"{self.train.dataset} {self.train.name} has {len(self.train)} images, the judge's recipe needs at "
                f"least {needed}"
            )
        table = self.train.attributes
        self.attributes = {name: sorted(map(str, table[name].dropna().unique())) for name in sorted(table.columns)}
        self.labels = encode_labels(self.train, self.attributes)
        self.size = self.train.images.read([0]).shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "attribute-judge", "weights"))
            self.network = Network(
                sum(map(len, self.attributes.values())), self.config.widths, self.config.features, self.size
            )
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        self.pixels = Ahead(lambda index: self.train.images.read(self.rows(index)))
        self.settings = {**asdict(self.config), "seed": self.seed, "train": self.train.digest}
        self.facts = {
            "data": {
                "dataset": self.train.dataset,
                "train": self.train.name,
                "validation": self.val.name,
                "digest": self.train.digest,
            },
            "seed": self.seed,
            "optimised_for": "scoring",
        }

    def rows(self, index: int) -> np.ndarray:
        """The images of the batch of step `index`."""
        count = len(self.train) - self.config.calibration
        return batch_rows(derive_seed(self.seed, "attribute-judge"), index, count, self.config.batch)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.network, self.network, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        rows, pixels = self.rows(index), to_float(torch.from_numpy(self.pixels(index)))
        images = augment(pixels, derive_seed(self.seed, "attribute-judge", index))
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * warmup_cosine(progress)
        self.network.train()
        with half(self.device, self.config.bfloat16):
            _, logits = self.network(images)
        loss = masked_loss(logits.float(), self.labels[torch.from_numpy(rows)].to(self.device), self.attributes)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": float(loss.detach()) / len(self.attributes)}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"network": self.network, "optimizer": self.optimizer}, state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, and a config with attributes, sizes and temperatures.

        The temperatures are fitted on images that were kept out of training.
        """
        sizes = {"widths": list(self.config.widths), "features": self.config.features, "size": self.size}
        config = {"attributes": self.attributes, "temperatures": dict.fromkeys(self.attributes, 1.0), **sizes}
        kept = np.arange(len(self.train) - self.config.calibration, len(self.train))
        judge, labels = self._judge(config), self.labels[kept]
        _, logits = judge.logits(torch.from_numpy(self.train.images.read(kept)))
        pieces = logits.split([len(values) for values in self.attributes.values()], dim=1)
        fitted = {
            n: fit_temperature(p[y >= 0], y[y >= 0]) for n, p, y in zip(self.attributes, pieces, labels.T, strict=True)
        }
        return self.network.state_dict(), {**config, "temperatures": fitted}

    def validate(self) -> dict[str, Any]:
        """`report` on the validation split, with the weights as they are shipped, in half precision."""
        judge = self._judge(self.result()[1])
        predicted = judge.predict(torch.from_numpy(self.val.images.read(np.arange(len(self.val)))))
        return report(predicted, encode_labels(self.val, self.attributes), self.attributes)

    def _judge(self, config: Mapping[str, Any]) -> AttributeJudge:
        shipped = {
            key: value.half().float() if value.is_floating_point() else value
            for key, value in self.network.state_dict().items()
        }
        return AttributeJudge(
            weights.Weights("attribute-judge", shipped, json.loads(json.dumps(config, sort_keys=True)), {}, ""),
            self.device,
        )


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> JudgeRecipe:
    """How the attribute judge is trained.

    Raises UserError for an unknown part or setting, or a split without labels.
    """
    if part not in PARTS:
        raise UserError(f"attribute_judge has no part {part!r}{did_you_mean(part, PARTS)}")
    return JudgeRecipe(configure(Config, settings, f"attribute_judge {part}"), train, val, seed, models.device)
