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
    """Positions of the values of each image, int64 [N, A]; -1 where a value cannot be seen.

    Raises UserError for a split without one of the attributes, or with a value that is not among those of its
    attribute.
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
    """The temperature T that minimises the cross-entropy of logits [N, V] / T (Guo et al., ICML 2017), by golden
    section on log T.

    Targets are smoothed as Platt (1999) does, two counts shared among all values, or else a judge without a mistake
    would get T = 0.
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
    """Expected calibration error over `bins` bins of equal mass: mean |accuracy - confidence|, weighted by bin size, in
    [0, 1].
    """
    order = confidence.argsort(stable=True)
    gaps = [
        len(c) * abs(float(c.double().mean() - r.double().mean()))
        for c, r in zip(confidence[order].tensor_split(bins), correct[order].tensor_split(bins), strict=True)
        if len(c)
    ]
    return sum(gaps) / len(confidence)


def report(predicted: Mapping[str, Tensor], labels: Tensor, attributes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """By attribute: n visible, balanced accuracy (mean recall of the values that occur), ECE, and the recall and count
    of each value.
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
