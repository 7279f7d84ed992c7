"""A reader of attributes for domains in which the judge itself fails. It learns from real images of these domains.

A judge that knows coloured drawings recognises nothing in pencil sketches, but its features hold what is needed. The
reader is one ridge regression for each attribute, with one column for each value. All values have the same weight,
however rare they are, and the value with the largest answer is read. The inputs are the features and random features of
them, max(0, x R) (Rahimi & Recht, NeurIPS 2008), because two domains cannot be read by one linear map.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from t2ibench.core.seeds import derive_seed, normal
from t2ibench.data.attributes import canonical

HIDDEN = 600  # random features
RIDGE = 10.0  # on weights of features that are scaled to a variance of 1


@dataclass(frozen=True, eq=False)
class Reader:
    """A reader that has learned.

    mean, scale: mean and standard deviation of the features that it learned from, [D].
    weights: for each attribute, its V values and the weights of the regression, [D + HIDDEN + 1, V].
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: Mapping[str, tuple[list[str], np.ndarray]]

    @classmethod
    def of(cls, features: Tensor, table: pd.DataFrame) -> "Reader":
        """Learn from features [N, D] and the attributes of the same images.

        An attribute with fewer than two values is left out.
        """
        rows = features.double().numpy()
        mean, scale = rows.mean(0), rows.std(0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        inputs = _inputs(rows, mean, scale)
        values, weights = canonical(table, map(str, table.columns)), {}
        for name in values:
            seen = values[name].notna().to_numpy()
            columns = pd.get_dummies(values[name][seen])
            if columns.shape[1] > 1:
                targets = columns.to_numpy(float)
                share = (targets / targets.sum(0)).sum(1)
                weighted = inputs[seen] * (share / share.mean())[:, None]
                solved = np.linalg.solve(
                    weighted.T @ inputs[seen] + RIDGE * np.eye(inputs.shape[1]), weighted.T @ targets
                )
                weights[str(name)] = (list(map(str, columns.columns)), solved)
        return cls(mean, scale, weights)

    def read(self, features: Tensor) -> pd.DataFrame:
        """The value of every attribute for images with features [N, D]."""
        inputs = _inputs(features.double().numpy(), self.mean, self.scale)
        return pd.DataFrame(
            {
                name: np.array(values, dtype=object)[(inputs @ solved).argmax(1)]
                for name, (values, solved) in self.weights.items()
            }
        )


def _inputs(rows: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The inputs of the regressions for features [N, D]: [N, D + HIDDEN + 1]."""
    scaled, dimensions = (rows - mean) / scale, rows.shape[1]
    mixed = normal(derive_seed("reader", dimensions), dimensions * HIDDEN).reshape(dimensions, HIDDEN) / dimensions**0.5
    return np.concatenate([scaled, np.maximum(scaled @ mixed, 0.0), np.ones((len(rows), 1))], axis=1)
