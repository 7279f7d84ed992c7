"""Labels of the attribute judge, its temperatures, and the numbers of its gate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split


def encode_labels(split: Split, attributes: Mapping[str, Sequence[str]]) -> Tensor:
    """The label of each image and attribute, int64 [N, A]: the index of its value, or -1 if it cannot be seen.

    Raises UserError if the split lacks one of the attributes, and if it has a value that the judge does not know.
    """
    if split.attributes is None or (missing := [name for name in attributes if name not in split.attributes]):
        what = "no attributes" if split.attributes is None else f"no attribute {missing[0]!r}"
        raise UserError(f"{split.dataset} {split.name} has {what}: an attribute judge learns from labelled images")
    columns = []
    for name, values in attributes.items():
        column = split.attributes[name]
        if unknown := set(column.dropna().unique()) - set(values):
            raise UserError(
                f"{split.dataset} {split.name}: {name}={sorted(unknown)[0]} is not among the judge's values "
                f"{', '.join(values)}"
            )
        position = {value: index for index, value in enumerate(values)}
        columns.append([-1 if hidden else position[value] for value, hidden in zip(column, column.isna(), strict=True)])
    return torch.tensor(columns).T.contiguous()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T that minimises the cross-entropy of logits [N, V] / T (Guo et al., ICML 2017).

    The minimum is found by a golden-section search on log T. Targets are smoothed as by Platt (1999): two counts are
    shared among all values. Without this a judge that makes no mistake would get T = 0.
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
    """Expected calibration error: mean |accuracy - confidence| over bins of equal size, weighted by size; in [0, 1]."""
    order = confidence.argsort(stable=True)
    gaps = [
        len(c) * abs(float(c.double().mean() - r.double().mean()))
        for c, r in zip(confidence[order].tensor_split(bins), correct[order].tensor_split(bins), strict=True)
        if len(c)
    ]
    return sum(gaps) / len(confidence)


def report(predicted: Mapping[str, Tensor], labels: Tensor, attributes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The validation numbers of each attribute.

    n: images in which it can be seen.
    balanced_accuracy: mean recall of the values that occur.
    ece: expected calibration error.
    recall, counts: of each value.
    """
    numbers: dict[str, Any] = {}
    for column, (name, values) in enumerate(attributes.items()):
        seen = labels[:, column] >= 0
        truth, given = labels[seen, column], predicted[name][seen]
        confidence, choice = given.max(1)
        counts = {value: int((truth == index).sum()) for index, value in enumerate(values)}
        recall = {
            v: float((choice[truth == index] == index).double().mean()) for index, v in enumerate(values) if counts[v]
        }
        numbers[name] = {
            "n": int(seen.sum()),
            "balanced_accuracy": round(sum(recall.values()) / len(recall), 4),
            "ece": round(calibration_error(confidence, choice == truth), 4),
            "recall": {value: round(rate, 4) for value, rate in recall.items()},
            "counts": counts,
        }
    return numbers
