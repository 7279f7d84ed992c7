"""An attribute judge for a data set that has none: linear heads on frozen features, cross-fitted.

The errors of a judge must be counted on real images that did not train it, and a rare pair has too few images to be
split. So the images are put into five folds. Each fold is judged by heads that the other four folds trained, and the
errors are counted on these answers. Made images are judged by the mean of all five heads. Images of one group (an
identity, a species) stay in one fold.

A head is a softmax over the values of an attribute, on standardised features. It is trained with L2-regularised
cross-entropy in which every value counts the same, however rare it is. The regularisation is chosen on the first fold
by balanced accuracy, and a temperature is fitted on the answers out of fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import canonical
from t2ibench.networks.attribute_judge.calibration import fit_temperature

FOLDS = 5
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # of the penalty |W|^2 / (2 N), that is 1 / C
STEPS = 100  # of L-BFGS, at most


@dataclass(frozen=True)
class CrossFitted:
    """The heads of F folds for L literals, and their answers out of fold.

    attributes: the values of each attribute.
    out_of_fold: P(literal) of every training image, one column for each literal "attribute=value".
    heads: weights, the last row the bias, [F, D + 1, L]. Their inputs are (features - mean) / deviation.
    mean, deviation: mean and standard deviation of the features, [D].
    temperatures: by attribute; logits are divided by them.
    """

    attributes: dict[str, list[str]]
    out_of_fold: pd.DataFrame
    heads: Tensor
    mean: Tensor
    deviation: Tensor
    temperatures: dict[str, float]

    def probabilities(self, features: Tensor) -> pd.DataFrame:
        """P(literal) of new images, features [M, D]: the mean of the folds' heads."""
        logits = _logits(((features.double() - self.mean) / self.deviation), self.heads)  # [F, M, L]
        columns, start = [], 0
        for name, values in self.attributes.items():
            columns.append((logits[..., start : start + len(values)] / self.temperatures[name]).softmax(-1).mean(0))
            start += len(values)
        return pd.DataFrame(torch.cat(columns, 1).numpy(), columns=list(self.out_of_fold.columns))

    def packed(self) -> np.ndarray:
        """Everything but the answers out of fold, as one row of numbers (see `unpacked`)."""
        temperatures = torch.tensor([*self.temperatures.values()], dtype=torch.float64)
        return torch.cat([self.mean, self.deviation, temperatures, self.heads.flatten()]).numpy()


def unpacked(attributes: dict[str, list[str]], answers: np.ndarray, numbers: np.ndarray) -> CrossFitted:
    """The heads from the numbers of `packed` and the answers out of fold [N, L]."""
    literals = [f"{name}={value}" for name, known in attributes.items() for value in known]
    width = FOLDS * len(literals)
    size = (len(numbers) - len(attributes) - width) // (2 + width)
    parts = torch.from_numpy(np.array(numbers, np.float64)).split([size, size, len(attributes), (size + 1) * width])
    mean, deviation, temperatures, heads = parts
    table = pd.DataFrame(np.array(answers, np.float64), columns=literals)
    named = dict(zip(attributes, temperatures.tolist(), strict=True))
    return CrossFitted(attributes, table, heads.reshape(FOLDS, size + 1, len(literals)), mean, deviation, named)


def values_of(table: pd.DataFrame) -> dict[str, list[str]]:
    """The values of every attribute that has two or more."""
    values = canonical(table, list(map(str, table.columns)))
    return {name: sorted(values[name].dropna().unique()) for name in values if values[name].nunique() > 1}


def folds(groups: Sequence[str], count: int = FOLDS) -> np.ndarray:
    """The fold of each row, int [N]. All rows of a group are in one fold.

    Groups are taken from large to small, equal ones in the order of a hash. Each goes to the fold with the fewest rows.
    Raises UserError for fewer groups than folds.
    """
    names, index, sizes = np.unique(np.array(groups, dtype=str), return_inverse=True, return_counts=True)
    if len(names) < count:
        raise UserError(f"{count} folds need as many groups, got {len(names)}")
    filled, of_group = np.zeros(count, np.int64), np.zeros(len(names), np.int64)
    hashes = [derive_seed("fold", str(name)) for name in names]
    for group in sorted(range(len(names)), key=lambda g: (-sizes[g], hashes[g])):
        of_group[group] = int(filled.argmin())
        filled[of_group[group]] += sizes[group]
    return of_group[index]


def cross_fit(features: Tensor, table: pd.DataFrame, groups: Sequence[str]) -> CrossFitted:
    """Heads for every attribute that has two values or more.

    features: [N, D].
    table: the attributes of the same N images; an image without a value has no label.
    groups: the group of each image.

    Raises UserError if no attribute has two values, all images of a value are in one fold, or there are fewer groups
    than folds.
    """
    fold = torch.from_numpy(folds(groups))
    attributes, values = values_of(table), canonical(table, list(map(str, table.columns)))
    if not attributes:
        raise UserError("no attribute has two values: there is nothing for a judge to learn")
    mean, deviation = features.double().mean(0), features.double().std(0).clamp(min=1e-6)
    x = (features.double() - mean) / deviation
    stated, heads, temperatures = [], [], {}
    for name, known in attributes.items():
        place = {value: index for index, value in enumerate(known)}
        labels = torch.tensor([place.get(value, -1) for value in values[name]])
        for value, index in place.items():
            if len(fold[labels == index].unique()) < 2:
                raise UserError(
                    f"{name}={value}: all {int((labels == index).sum())} images of it are in one fold, none is left "
                    f"to learn from"
                )
        strength = _strength(x, labels, fold, len(known))
        folded = torch.stack(
            [fit(x[fold != f], labels[fold != f], len(known), strength) for f in range(FOLDS)]
        )  # [F, D + 1, V]
        logits = torch.zeros(len(x), len(known), dtype=torch.float64)
        for f in range(FOLDS):
            logits[fold == f] = _logits(x[fold == f], folded[f : f + 1])[0]
        temperatures[name] = fit_temperature(logits[labels >= 0], labels[labels >= 0])
        stated.append((logits / temperatures[name]).softmax(1))
        heads.append(folded)
    literals = [f"{name}={value}" for name, known in attributes.items() for value in known]
    out_of_fold = pd.DataFrame(torch.cat(stated, 1).numpy(), columns=literals)
    return CrossFitted(attributes, out_of_fold, torch.cat(heads, 2), mean, deviation, temperatures)


def fit(x: Tensor, labels: Tensor, count: int, strength: float) -> Tensor:
    """A softmax head, [D + 1, count], the last row the bias.

    x: standardised features, [N, D].
    labels: int [N]; -1 for an image without a label.
    count: number of values.
    strength: of the penalty.
    """
    x, labels = x[labels >= 0], labels[labels >= 0]
    weight = 1 / F.one_hot(labels, count).double().mean(0).clamp(min=1e-9) / count
    head = torch.zeros(x.shape[1] + 1, count, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([head], max_iter=STEPS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = _logits(x, head[None])[0]
        value = (F.cross_entropy(logits, labels, reduction="none") * weight[labels]).mean()
        value = value + strength * (head[:-1] ** 2).sum() / (2 * len(x))
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return head.detach()


def _strength(x: Tensor, labels: Tensor, fold: Tensor, count: int) -> float:
    """The strength with the best balanced accuracy on the first fold; among equals, the greatest."""
    held = (fold == 0) & (labels >= 0)
    scores = {}
    for strength in STRENGTHS:
        right = (
            _logits(x[held], fit(x[fold != 0], labels[fold != 0], count, strength)[None])[0].argmax(1) == labels[held]
        )
        scores[strength] = (
            float(np.mean([right[labels[held] == v].double().mean() for v in labels[held].unique()]))
            if held.any()
            else 0.0
        )
    return max(STRENGTHS, key=lambda strength: (round(scores[strength], 4), strength))


def _logits(x: Tensor, heads: Tensor) -> Tensor:
    """Logits [F, M, V] of features [M, D] under heads [F, D + 1, V]."""
    return x @ heads[:, :-1] + heads[:, -1:]
