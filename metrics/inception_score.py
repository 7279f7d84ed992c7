"""Inception Score (Salimans et al., NeurIPS 2016): exp of the mean KL(p(y|x) || p(y)). Higher is better.

It lies in [1, number of classes]. p(y|x) are ImageNet's class probabilities by the Inception of 2015-12-05. As in
torch-fidelity, ADM and StyleGAN2-ADA, the bias of its last layer is left out, and the network resizes images itself, as
TensorFlow 1 did. p(y) is the mean of p(y|x) over a split. The images are shuffled as torch-fidelity shuffles them, then
cut into `splits` parts, and the value is the mean over these parts.

The score grows with the size of a split: by a third from 100 to 1,000 images of 1,000 classes. The conventional number
has 10 splits of 5,000 images. The score uses no reference and no text. It is not meaningful for images without a class
in ImageNet, such as faces.

The interval is value +- 1.96 standard errors over prompts. The mean of p minimises the mean KL to it, so the
first-order effect of an image on log IS of its split is its own KL minus the mean KL of the split.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count
from t2ibench.core.records import Estimate
from t2ibench.networks.inception import PROBABILITIES
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import clusters, made_for, protocol
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import normal_interval, standard_error

CONVENTIONAL = 50_000  # images
SHUFFLE = 2020  # torch-fidelity's seed
QUESTIONS = {"inception_score": "are the images clear, and of many kinds?"}


@dataclass(frozen=True)
class Config:
    splits: Count = 10
    group: str = "captions"
    fewest: Count = 1000  # images


@dataclass(frozen=True, eq=False)
class Score:
    """An Inception Score.

    value: the mean over splits.
    sd: standard deviation over splits, with division by their number.
    effects: first-order effect of each image on the score of its split, [N].
    """

    value: float
    sd: float
    effects: Tensor


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`inception_score`. Raises UserError below `fewest` images, and without Inception's weights."""
    ids = made_for(evidence, config.group)
    if len(ids) < max(config.fewest, config.splits):
        raise UserError(
            f"{len(ids):,} made images of {config.group!r}, at least {config.fewest:,} are needed: ask for more "
            f"captions"
        )
    order = np.random.RandomState(SHUFFLE).permutation(len(ids))
    result = inception_score(
        evidence.fake_features(PROBABILITIES, config.group)[torch.from_numpy(order)], config.splits
    )
    labels = clusters(ids)
    se = standard_error(result.effects.numpy(), [labels[row] for row in order])
    low, high = normal_interval(result.value, se)
    estimate = Estimate(
        value=result.value,
        ci=(max(low, 1.0), max(high, 1.0)),
        n=len(ids),
        better="higher",
        protocol={
            **{
                key: value
                for key, value in protocol(evidence, PROBABILITIES, config.group).items()
                if not key.startswith("reference")
            },
            "estimator": "exp of the mean KL",
            "splits": config.splits,
            "shuffle": SHUFFLE,
        },
        interval="value +- 1.96 se, first-order effects over prompts; of the value expected at this size of a split",
        details={
            "se": se,
            "sd_of_splits": result.sd,
            "split": len(ids) // config.splits,
            "enough": len(ids) >= CONVENTIONAL,
        },
    )
    return {"inception_score": estimate}


def inception_score(probabilities: Tensor, splits: int = 10) -> Score:
    """IS of rows [N, C] that each sum to 1, in float64; split s has rows s N // S to (s + 1) N // S.

    Raises ValueError for fewer rows than splits, and for rows that are no probabilities.
    """
    if not 1 <= splits <= len(probabilities):
        raise ValueError(f"an Inception Score of {splits} splits needs as many images, got {len(probabilities)}")
    finite("an Inception Score", probabilities=probabilities)
    p = probabilities.double()
    if not ((p >= 0).all() and ((p.sum(1) - 1).abs() < 1e-3).all()):
        raise ValueError("an Inception Score needs probabilities: rows of numbers from 0 on that sum to 1")
    values, effects = [], []
    for s in range(splits):
        rows = p[s * len(p) // splits : (s + 1) * len(p) // splits]
        divergence = torch.special.xlogy(rows, rows).sum(1) - torch.special.xlogy(rows, rows.mean(0)).sum(1)
        values.append(float(divergence.mean().exp()))
        effects.append(values[-1] * (divergence - divergence.mean()))
    return Score(float(np.mean(values)), float(np.std(values)), torch.cat(effects))
