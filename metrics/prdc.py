"""Precision, recall (Kynkäänniemi et al., NeurIPS 2019), density, coverage (Naeem et al., ICML 2020). Higher is better.

Every image of a set is the centre of a ball that reaches to its k-th nearest neighbour in that set:

    precision   share of made images that lie inside a real ball
    recall      share of real images that lie inside a made ball
    density     mean number of real balls that hold a made image, divided by k
    coverage    share of real balls that hold a made image

All lie in [0, 1] except density, which may exceed 1. An image on the surface of a ball is not inside. For equal
distributions the expected coverage is 1 - 2^-k. All four depend on the numbers of images, so compare them only at equal
numbers; at most `most` images on each side are used.

Intervals hold the reference images fixed. precision: Wilson over prompts. density: BCa bootstrap over prompts. recall
and coverage: Wilson over real images, given the made ones; in simulation, to within 20 %, this is as wide as new made
images require. Resampling the images that define the balls is not possible: a repeated image is its own neighbour.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.ranges import Count, Several
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, feature_sets
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import cluster_mean_interval, wilson, wilson_by_cluster
from t2ibench.stats.paired import spell_samples

TIE = 1e-12  # of the largest squared norm: squared distances that differ by less are equal
COMPARES = True
QUESTIONS = {
    "precision": "how many of the images look like real ones?",
    "recall": "how much of the variety of real images is drawn?",
    "density": "how near are the images to many real ones?",
    "coverage": "how many of the real images have a drawn one near them?",
}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # or `inception`, an attribute judge, a CLIP
    group: str = "captions"
    k: Count = 5
    most: Several = 10_000  # images a side; of more, a fixed random choice


@dataclass(frozen=True, eq=False)
class Balls:
    """Which of M made and N real images lie in whose balls.

    around: in how many real balls each made image lies, [M].
    recalled: whether each real image lies in a made ball, bool [N].
    held: how many made images each real ball holds, [N].
    real_points, fake_points: how many images have k copies in their own set, and so a ball of radius 0.
    """

    around: Tensor
    recalled: Tensor
    held: Tensor
    real_points: int
    fake_points: int


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`precision`, `recall`, `density` and `coverage`. Raises UserError for a side without k-th neighbours.

    The details of precision and density keep the value of every made image, unless some images were left out.
    """
    sets = feature_sets(evidence, config.extractor, config.group, config.k + 1)
    keep_fake, keep_real = (some(len(side), config.most) for side in (sets.fake, sets.real))
    clusters = [sets.clusters[i] for i in keep_fake]
    balls = neighbour_balls(sets.real[keep_real], sets.fake[keep_fake], config.k)
    values, seed = summary(balls, config.k), derive_seed(evidence.seed, "density")
    hits, density = (balls.around > 0).numpy(), balls.around.numpy() / config.k
    intervals = {
        "precision": (wilson_by_cluster(hits, clusters), "Wilson over prompts, reference fixed"),
        "recall": (wilson(int(balls.recalled.sum()), len(keep_real)), "Wilson over real images, made images fixed"),
        "density": (cluster_mean_interval(density, clusters, seed), "BCa bootstrap over prompts, reference fixed"),
        "coverage": (wilson(int((balls.held > 0).sum()), len(keep_real)), "Wilson over real images, made images fixed"),
    }
    protocol = {**sets.protocol, "estimator": "prdc", "k": config.k, "inside": "<", "most": config.most}
    details: dict[str, Any] = {"real_points": balls.real_points, "fake_points": balls.fake_points}
    ok, each = evidence.samples(config.group).ok, {"precision": hits, "density": density}
    pairs = {key: {"per_sample": spell_samples(rows, ok)} for key, rows in each.items() if len(rows) == ok.sum()}
    return {
        key: Estimate(
            values[key],
            interval,
            len(keep_fake),
            "higher",
            {**protocol, "value": key},
            how,
            {**details, **pairs.get(key, {})},
        )
        for key, (interval, how) in intervals.items()
    }


def some(count: int, most: int) -> list[int]:
    """All rows, or a fixed random choice of `most`, in order."""
    return sorted(permutation(derive_seed("prdc", count), count)[:most].tolist())


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """The four numbers of features [N, d] and [M, d]. Raises ValueError where a set has no k-th neighbour."""
    return summary(neighbour_balls(real, fake, k), k)


def summary(balls: Balls, k: int) -> dict[str, float]:
    shares = {
        "precision": balls.around > 0,
        "recall": balls.recalled,
        "density": balls.around.double() / k,
        "coverage": balls.held > 0,
    }
    return {key: float(share.double().mean()) for key, share in shares.items()}


def neighbour_balls(real: Tensor, fake: Tensor, k: int, block: int = 1000) -> Balls:
    """Which images of [N, d] and [M, d] lie in whose balls, in float64, by blocks of rows: memory grows with block x (N
    + M).

    Raises ValueError where a set has no k-th neighbour, and for features that are not finite.
    """
    finite("prdc", real=real, fake=fake)
    if k < 1:
        raise ValueError(f"prdc needs a k of 1 or more, got {k}")
    for name, features in (("real", real), ("made", fake)):
        if len(features) <= k:
            raise ValueError(f"prdc needs more than k={k} {name} images, got {len(features)}")
    centre = real.double().mean(0)
    real, fake = real.double() - centre, fake.double() - centre
    tie = TIE * float(torch.cat([real, fake]).square().sum(1).max())
    real_radius, fake_radius = squared_radii(real, k, block), squared_radii(fake, k, block)
    around, recalled = fake.new_zeros(len(fake), dtype=torch.long), real.new_zeros(len(real), dtype=torch.bool)
    held = []
    for start in range(0, len(real), block):
        rows = slice(start, start + block)
        distance = squared_distances(real[rows], fake)
        inside = distance < real_radius[rows, None] - tie
        around += inside.sum(0)
        held.append(inside.sum(1))
        recalled[rows] = (distance < fake_radius - tie).any(1)
    return Balls(around, recalled, torch.cat(held), int((real_radius <= tie).sum()), int((fake_radius <= tie).sum()))


def squared_radii(x: Tensor, k: int, block: int) -> Tensor:
    """Squared distance of every row to its k-th nearest other row, [n]."""
    finite("prdc", x=x)
    radii = []
    for start in range(0, len(x), block):
        distance = squared_distances(x[start : start + block], x)
        own = torch.arange(len(distance), device=x.device)
        distance[own, start + own] = -torch.inf  # itself, before every neighbour
        radii.append(distance.kthvalue(k + 1, dim=1).values)
    return torch.cat(radii)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    return x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
