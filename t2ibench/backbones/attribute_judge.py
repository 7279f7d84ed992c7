"""The attribute judge: one small CNN that names every attribute of an image, calibrated; its features make the embedded Fréchet distance.

It is trained on real images alone, and on a split in which attributes are independent, so that it cannot lean on co-occurrence
(`compositional accuracy` needs that). A value that cannot be seen has no label and no loss; what the judge says there means nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench import plugins, zoo
from t2ibench.backbones.augment import augment
from t2ibench.data import Split
from t2ibench.errors import UserError, did_you_mean
from t2ibench.images import to_float
from t2ibench.models import Models
from t2ibench.seeds import derive_seed
from t2ibench.training import batch_rows, warmup_cosine

PARTS = ("attribute-judge",)
SPLITS = {"attribute-judge": ("balanced-train", "balanced-test")}


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, the first with `stride`."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.norm2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.skip = nn.Identity() if inside == outside and stride == 1 else nn.Sequential(pool, nn.Conv2d(inside, outside, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.skip(x))


class Network(nn.Module):
    """Floats in [-1, 1], [B, 3, size, size], to features [B, D] and one row of logits an attribute, side by side [B, sum of V].

    Pixels are first folded 2x2 into channels: nothing is lost of a mouth six pixels wide, at a quarter of the cost. The
    last map, `size / 16` a side, is read position by position rather than averaged: parts of a face have places.
    """

    def __init__(self, outputs: int, widths: Sequence[int], features: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        inside = [widths[0], *widths[:-1]]
        self.stages = nn.Sequential(*(Block(i, o, 1 if stage == 0 else 2) for stage, (i, o) in enumerate(zip(inside, widths, strict=True))))
        side = size // 2 ** len(widths)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * side * side, features), nn.BatchNorm1d(features), nn.ReLU())
        self.heads = nn.Linear(features, outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.stages(self.stem(images)))
        return features, self.heads(features)


class AttributeJudge:
    """Names attributes of images and gives the features behind the names; an answer depends on its own image alone."""

    def __init__(self, weights: zoo.Weights, device: torch.device | None = None) -> None:
        self.name, self.sha256, config = weights.name, weights.sha256, weights.config
        self.attributes: dict[str, list[str]] = dict(sorted(config["attributes"].items()))  # the order of the heads: a card keeps none
        self.temperatures: dict[str, float] = dict(config["temperatures"])
        self.size, self.dimension, self.device = int(config["size"]), int(config["features"]), device or torch.device("cpu")
        self.network = Network(sum(map(len, self.attributes.values())), config["widths"], self.dimension, self.size)
        try:
            self.network.load_state_dict(dict(weights.tensors))
        except RuntimeError as error:
            raise UserError(f"{self.name}: weights do not fit the config of their card ({str(error).splitlines()[-1].strip()})") from error
        self.network.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def logits(self, images: Tensor, batch: int = 250) -> tuple[Tensor, Tensor]:
        """Features [B, D] and the uncalibrated logits of all attributes side by side [B, sum of V], of uint8 images [B, 3, size, size].

        Raises ValueError for images that are not uint8, UserError for another size.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"{self.name} reads uint8 images [B, 3, H, W], got {images.dtype} {list(images.shape)}")
        if images.shape[2:] != (self.size, self.size):
            height, width = images.shape[2:]
            raise UserError(
                f"{self.name} reads {self.size}x{self.size} images, got {height}x{width}: scale them, or train a judge at that size"
            )
        features, logits = torch.empty(len(images), self.dimension), torch.empty(len(images), self.network.heads.out_features)
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            features[rows], logits[rows] = self.network(to_float(images[rows].to(self.device)))
        return features, logits

    def read(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features [B, D] and calibrated probabilities [B, V] by attribute, columns as in `attributes`, in one pass; see `logits`."""
        features, logits = self.logits(images)
        return features, probabilities(logits, self.attributes, self.temperatures)

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Calibrated probabilities [B, V] by attribute; see `read`."""
        return self.read(images)[1]

    def features(self, images: Tensor) -> Tensor:
        """Penultimate features [B, D], float32; see `read`."""
        return self.read(images)[0]


def probabilities(logits: Tensor, attributes: Mapping[str, Sequence[str]], temperatures: Mapping[str, float]) -> dict[str, Tensor]:
    """Logits of all attributes side by side, [B, sum of V], to one softmax an attribute, [B, V], after division by its temperature."""
    pieces = logits.split([len(values) for values in attributes.values()], dim=1)
    return {name: (piece / temperatures[name]).softmax(1) for name, piece in zip(attributes, pieces, strict=True)}


def encode_labels(split: Split, attributes: Mapping[str, Sequence[str]]) -> Tensor:
    """Positions of the values of each image, int64 [N, A]; -1 where a value cannot be seen.

    Raises UserError for a split without one of the attributes, or with a value that is not among those of its attribute.
    """
    if split.attributes is None or (missing := [name for name in attributes if name not in split.attributes]):
        what = "no attributes" if split.attributes is None else f"no attribute {missing[0]!r}"
        raise UserError(f"{split.dataset} {split.name} has {what}: an attribute judge learns from labelled images")
    columns = []
    for name, values in attributes.items():
        column = split.attributes[name]
        if unknown := set(column.dropna().unique()) - set(values):
            raise UserError(
                f"{split.dataset} {split.name}: {name}={sorted(unknown)[0]} is not among the judge's values {', '.join(values)}"
            )
        position = {value: index for index, value in enumerate(values)}
        columns.append([-1 if hidden else position[value] for value, hidden in zip(column, column.isna(), strict=True)])
    return torch.tensor(columns).T.contiguous()


def masked_loss(logits: Tensor, labels: Tensor, attributes: Mapping[str, Sequence[str]]) -> Tensor:
    """Cross-entropy over the labels that are there (not -1), averaged within each attribute, summed over attributes."""
    pieces = logits.split([len(values) for values in attributes.values()], dim=1)
    losses = [
        F.cross_entropy(p, y, ignore_index=-1, reduction="sum") / (y >= 0).sum().clamp(min=1) for p, y in zip(pieces, labels.T, strict=True)
    ]
    return torch.stack(losses).sum()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T that minimises the cross-entropy of logits [N, V] / T (Guo et al., ICML 2017), by golden section on log T.

    Targets are smoothed as Platt (1999) does, two counts shared among all values, or else a judge without a mistake would get T = 0.
    """
    count, values = logits.shape
    target = F.one_hot(labels, values).double() * (count / (count + 2)) + 2 / (count + 2) / values
    low, high, ratio = -3.0, 3.0, (5**0.5 - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        at_left, at_right = (float(F.cross_entropy(logits.double() / np.exp(t), target)) for t in (left, right))
        low, high = (low, right) if at_left < at_right else (left, high)
    return float(np.exp((low + high) / 2))


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Expected calibration error over `bins` bins of equal mass: mean |accuracy - confidence|, weighted by bin size, in [0, 1]."""
    order = confidence.argsort(stable=True)
    gaps = [
        len(c) * abs(float(c.double().mean() - r.double().mean()))
        for c, r in zip(confidence[order].tensor_split(bins), correct[order].tensor_split(bins), strict=True)
        if len(c)
    ]
    return sum(gaps) / len(confidence)


def report(predicted: Mapping[str, Tensor], labels: Tensor, attributes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """By attribute: n visible, balanced accuracy (mean recall of the values that occur), ECE, and the recall and count of each value."""
    numbers: dict[str, Any] = {}
    for column, (name, values) in enumerate(attributes.items()):
        seen = labels[:, column] >= 0
        truth, given = labels[seen, column], predicted[name][seen]
        confidence, choice = given.max(1)
        counts = {value: int((truth == index).sum()) for index, value in enumerate(values)}
        recall = {v: float((choice[truth == index] == index).double().mean()) for index, v in enumerate(values) if counts[v]}
        numbers[name] = {
            "n": int(seen.sum()),
            "balanced_accuracy": round(sum(recall.values()) / len(recall), 4),
            "ece": round(calibration_error(confidence, choice == truth), 4),
            "recall": {value: round(rate, 4) for value, rate in recall.items()},
            "counts": counts,
        }
    return numbers


@dataclass(frozen=True)
class Config:
    widths: tuple[int, ...] = (32, 64, 128, 192)  # channels of each stage; each halves the side
    features: int = 192
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    calibration: int = 1000  # the last images of the training split, kept out of training to fit temperatures
    bfloat16: bool = True  # multiply in bfloat16 while training: twice as fast on CPUs that have it, equally accurate


@dataclass
class JudgeRecipe:
    """Trains a judge; a `training.Recipe`."""

    config: Config
    train: Split
    val: Split
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    attributes: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        if self.train.attributes is None:
            raise UserError(f"{self.train.dataset} {self.train.name} has no attributes: an attribute judge learns from labelled images")
        if len(self.train) < self.config.calibration + self.config.batch:
            needed = self.config.calibration + self.config.batch
            raise UserError(
                f"{self.train.dataset} {self.train.name} has {len(self.train)} images, the judge's recipe needs at least {needed}"
            )
        table = self.train.attributes
        self.attributes = {name: sorted(map(str, table[name].dropna().unique())) for name in sorted(table.columns)}
        self.labels = encode_labels(self.train, self.attributes)
        self.size = self.train.images.read([0]).shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "attribute-judge", "weights"))
            self.network = Network(sum(map(len, self.attributes.values())), self.config.widths, self.config.features, self.size)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
        self.settings = {**asdict(self.config), "seed": self.seed, "train": self.train.digest}
        self.facts = {
            "data": {"dataset": self.train.dataset, "train": self.train.name, "validation": self.val.name, "digest": self.train.digest},
            "seed": self.seed,
            "optimised_for": "scoring",
        }

    def step(self, index: int, progress: float) -> dict[str, float]:
        rows = batch_rows(derive_seed(self.seed, "attribute-judge"), index, len(self.train) - self.config.calibration, self.config.batch)
        images = augment(to_float(torch.from_numpy(self.train.images.read(rows))), derive_seed(self.seed, "attribute-judge", index))
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * warmup_cosine(progress)
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            _, logits = self.network(images)
        loss = masked_loss(logits.float(), self.labels[torch.from_numpy(rows)].to(self.device), self.attributes)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": float(loss.detach()) / len(self.attributes)}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, and a config that holds attributes, sizes, and temperatures fitted on images that were kept out of training."""
        sizes = {"widths": list(self.config.widths), "features": self.config.features, "size": self.size}
        config = {"attributes": self.attributes, "temperatures": dict.fromkeys(self.attributes, 1.0), **sizes}
        kept = np.arange(len(self.train) - self.config.calibration, len(self.train))
        judge, labels = self._judge(config), self.labels[kept]
        _, logits = judge.logits(torch.from_numpy(self.train.images.read(kept)))
        pieces = logits.split([len(values) for values in self.attributes.values()], dim=1)
        fitted = {n: fit_temperature(p[y >= 0], y[y >= 0]) for n, p, y in zip(self.attributes, pieces, labels.T, strict=True)}
        return self.network.state_dict(), {**config, "temperatures": fitted}

    def validate(self) -> dict[str, Any]:
        """`report` on the validation split, with the weights as they are shipped, in half precision."""
        judge = self._judge(self.result()[1])
        predicted = judge.predict(torch.from_numpy(self.val.images.read(np.arange(len(self.val)))))
        return report(predicted, encode_labels(self.val, self.attributes), self.attributes)

    def _judge(self, config: Mapping[str, Any]) -> AttributeJudge:
        shipped = {key: value.half().float() if value.is_floating_point() else value for key, value in self.network.state_dict().items()}
        return AttributeJudge(zoo.Weights("attribute-judge", shipped, json.loads(json.dumps(config, sort_keys=True)), {}, ""), self.device)


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> JudgeRecipe:
    """How the attribute judge is trained. Raises UserError for an unknown part or setting, or a split without labels."""
    if part not in PARTS:
        raise UserError(f"attribute_judge has no part {part!r}{did_you_mean(part, PARTS)}")
    return JudgeRecipe(plugins.configure(Config, settings, f"attribute_judge {part}"), train, val, seed, models.device)
