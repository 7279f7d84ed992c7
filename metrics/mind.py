"""MIND, the Monge inception distance (Berthet et al., 2026): sliced squared Wasserstein distance. Lower is better.

    3 d * mean over M directions u of mean_j (sort(X u)_j - sort(Y u)_j)^2

X and Y are features [n, d] of made and of real images, and u are random directions of unit length. A shift of every
feature by c gives 3 d c^2. The directions, and the subset of the larger side where the two sides differ in size, are
those of torch-fidelity's `mind` for the same seed. Its sums are in float32, ours in float64.

`mind` uses Inception's pool3 by clean-FID's protocol, `mind_…` any other extractor. It is the square of a distance
between samples, so two samples of one distribution score above 0, by about a constant / n. `null` in the details is
such a value: that of one half of the real images from the other, with `null_n` images a side. At twice the n it would
be about half as large.

The interval is value +- 1.96 standard errors of the value expected at this n, by Hájek's projection of both sides.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.ranges import Count, Several
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, FeatureSets, effects, feature_sets
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import normal_interval, standard_error

COMPARES = True
QUESTIONS = {"mind*": "how far are the images from real ones, seen along many directions?"}
BLOCK = 100  # directions in memory at once


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the data set's judge; or any by name
    group: str = "captions"
    fewest: Several = 100  # images a side
    directions: Count = 1000  # M
    seed: int = 2020  # of the directions and the subset: torch-fidelity's default


class Distance(NamedTuple):
    """MIND of two sides, and the first-order effect of each sample on it, float64 [N1] and [N2]."""

    value: float
    of_fake: Tensor
    of_real: Tensor


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`mind` or `mind_…`; the details keep the effect of each image, from which two methods are compared.

    Raises UserError below `fewest` images a side.
    """
    sets = feature_sets(evidence, config.extractor, config.group, config.fewest)
    result = mind(sets.fake, sets.real, config.directions, config.seed)
    of_fake, of_real = result.of_fake.numpy(), result.of_real.numpy()
    se = float(np.hypot(standard_error(of_fake, sets.clusters), standard_error(of_real)))
    low, high = normal_interval(result.value, se)
    one, other = halves(sets.real)
    n = min(len(sets.fake), len(sets.real))
    estimate = Estimate(
        value=result.value,
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(sets.fake),
        better="lower",
        protocol={
            **sets.protocol,
            "estimator": "sliced squared Wasserstein distance, times 3 d",
            "directions": config.directions,
            "seed": config.seed,
            "unequal": "random subset of the larger side",
        },
        interval="value +- 1.96 se, Hájek projections of both sides; of the value expected at this n",
        details={
            "se": se,
            "n_each": n,
            "null": mind(one, other, config.directions, config.seed).value,
            "null_n": len(one),
            "effects": effects(evidence, config.group, of_fake, of_real),
        },
    )
    return {name(sets): estimate}


def name(sets: FeatureSets) -> str:
    """The one name under which this number may appear."""
    return "mind" if sets.extractor == "inception" else f"mind_{sets.short}"


def halves(real: Tensor) -> tuple[Tensor, Tensor]:
    """Two halves of equal size, drawn at random but the same each time; of an odd number one row is left out."""
    order = torch.as_tensor(np.array(permutation(derive_seed("mind", "null"), len(real))))
    half = len(real) // 2
    return real[order[:half]], real[order[half : 2 * half]]


def mind(fake: Tensor, real: Tensor, directions: int = 1000, seed: int = 2020) -> Distance:
    """MIND of features [N1, d] and [N2, d], in float64.

    Raises ValueError below 2 samples a side, for other dimensions, and for features that are not finite.
    """
    finite("mind", fake=fake, real=real)
    if fake.ndim != 2 or real.ndim != 2 or fake.shape[1] != real.shape[1] or min(len(fake), len(real)) < 2:
        raise ValueError(
            f"mind needs 2 or more samples of equal dimension, got {list(fake.shape)} and {list(real.shape)}"
        )
    draw = torch.Generator().manual_seed(seed)
    n, dimension = min(len(fake), len(real)), fake.shape[1]
    rows = [
        torch.randperm(len(side), generator=draw)[:n] if len(side) > n else torch.arange(n) for side in (fake, real)
    ]
    vectors = torch.randn(directions, dimension, generator=draw)
    vectors = (vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)).double()
    x, y = (side[chosen].double() for side, chosen in zip((fake, real), rows, strict=True))
    total, of_x, of_y = 0.0, x.new_zeros(n), y.new_zeros(n)
    for some in vectors.split(BLOCK):
        squares, effect_x, effect_y = along(x @ some.T, y @ some.T)
        total, of_x, of_y = total + float(squares.sum()), of_x + effect_x, of_y + effect_y
    scale, places = 3 * dimension / directions, []
    for side, chosen, effect in zip((fake, real), rows, (of_x, of_y), strict=True):
        whole = torch.zeros(len(side), dtype=torch.float64)
        whole[chosen] = scale * effect * len(side) / n  # a row outside of the subset has no effect
        places.append(whole)
    return Distance(scale * total, *places)


def along(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distances of the sorted columns of x and y, float64 [n, m]: the mean of each column, [m].

    And the first-order effects of the rows of x and of y on the sum of these means, [n] each. They are the potentials
    of the transport, centred: where sorted x_i is paired with y_i, the potential f of x grows from x_i to x_(i + 1) by
    the mean of its two bounds, |x_(i + 1) - y_i|^2 - |x_i - y_i|^2 and |x_(i + 1) - y_(i + 1)|^2 - |x_i - y_(i + 1)|^2.
    That of y is |x_i - y_i|^2 - f_i.
    """
    (x, order_x), (y, order_y) = x.sort(dim=0), y.sort(dim=0)
    cost = (x - y).square()
    upper = (x[1:] - y[:-1]).square() - cost[:-1]
    lower = cost[1:] - (x[:-1] - y[1:]).square()
    potential = torch.cat([torch.zeros_like(cost[:1]), ((upper + lower) / 2).cumsum(0)])
    sides = []
    for values, order in ((potential, order_x), (cost - potential, order_y)):
        sides.append(torch.zeros_like(values).scatter(0, order, values - values.mean(0)).sum(1))
    return cost.mean(0), sides[0], sides[1]
