"""Kernel distance (Bińkowski et al., ICLR 2018): squared MMD with the kernel (x.y / d + 1)^3. Lower is better; it may pass below 0.

`kid` is on Inception's pool3 by clean-FID's protocol where its weights are on disk, otherwise `kd_avatars` is on the embedded attribute
judge. It is the unbiased U-statistic over all samples, in float64, with Hájek's standard error. The mean over 100 random subsets of 1,000,
which other packages call KID, is noisier and its spread is not its error; `kid_subsets` computes it to compare with them.

In the track `adapt` it is the mean over the target domains, each to real images of its own; images of one latent count as one draw.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.evidence import Evidence
from t2ibench.feature_sets import AUTO, FeatureSets, effects, feature_sets
from t2ibench.records import Estimate
from t2ibench.statistics import normal_interval, standard_error
from t2ibench.target_sets import failures, mean_error, mean_error_of_real, protocol, target_sets

TRACKS = ("text_to_image", "adapt")
Kernel = Callable[[Tensor, Tensor], Tensor]  # [a, d], [b, d] -> [a, b]


ESTIMATOR = {"estimator": "unbiased U-statistic", "kernel": "(x.y/d + 1)^3"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # or `inception`, an attribute judge, a CLIP
    group: str = "captions"
    fewest: int = 100  # images a side; below about 200 the interval is wide


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`kid` or `kd_…`; its details keep the effects, by which two methods are paired. Raises UserError below `fewest` images a side."""
    if evidence.targets:
        return over_targets(evidence, config)
    sets = feature_sets(evidence, config.extractor, config.group, config.fewest)
    value, of_fake, of_real = kid(sets.fake, sets.real)
    errors = standard_error(of_fake.numpy(), sets.clusters), standard_error(of_real.numpy())
    se = float(np.hypot(*errors))
    estimate = Estimate(
        value=value,
        ci=normal_interval(value, se),
        n=len(sets.fake),
        better="lower",
        protocol={**sets.protocol, **ESTIMATOR},
        interval="value +- 1.96 se, Hájek projections of both sides",
        details={
            "se": se,
            "se_fake": errors[0],
            "se_real": errors[1],
            "effects": effects(evidence, config.group, of_fake.numpy(), of_real.numpy()),
        },
    )
    return {name(sets): estimate}


def over_targets(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """The mean over the target domains."""
    sets = target_sets(evidence, config.extractor, config.fewest)
    found = {domain: kid(own.fake, own.real) for domain, own in sets.items()}
    value = float(np.mean([own for own, _, _ in found.values()]))
    latents = {domain: own.clusters for domain, own in sets.items()}
    of_fake, of_real = {domain: own[1].numpy() for domain, own in found.items()}, {domain: own[2].numpy() for domain, own in found.items()}
    se = float(np.hypot(mean_error(of_fake, latents), mean_error_of_real(of_real)))
    targets = {}
    for domain, (own, fake, real) in found.items():
        error = float(np.hypot(standard_error(fake, latents[domain]), standard_error(real)))
        targets[domain] = {"n": len(fake), "value": own, "ci": list(normal_interval(own, error))}
    estimate = Estimate(
        value=value,
        ci=normal_interval(value, se),
        n=min(len(own.fake) for own in sets.values()),
        better="lower",
        protocol={**protocol(sets), **ESTIMATOR},
        interval="value +- 1.96 se, Hájek projections of both sides over latents",
        details={"se": se, "targets": targets, "failed": failures(evidence)},
    )
    return {name(next(iter(sets.values()))): estimate}


def name(sets: FeatureSets) -> str:
    """The one name under which this number may appear."""
    return "kid" if sets.extractor == "inception" else f"kd_{sets.suffix}"


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(fake: Tensor, real: Tensor, kernel: Kernel = polynomial, block: int = 1000) -> tuple[float, Tensor, Tensor]:
    """Unbiased squared MMD of features [M, d] and [N, d], and each sample's first-order effect on it, [M] and [N].

    An effect is 2 (h_i - mean h), h_i = mean_{j != i} k(x_i, x_j) - mean_j k(x_i, y_j), so that sd / sqrt(n) is one side's standard error.
    Where the two distributions are equal the effects vanish and the error is only roughly right. Raises ValueError below 2 samples a side.
    """
    if min(len(fake), len(real)) < 2 or fake.shape[1] != real.shape[1]:
        raise ValueError(
            f"a kernel distance needs 2 or more samples of equal dimension a side, got {list(fake.shape)} and {list(real.shape)}"
        )
    fake, real = fake.double(), real.double()
    own_fake, own_real = mean_to_others(fake, kernel, block), mean_to_others(real, kernel, block)
    to_real, to_fake = mean_across(fake, real, kernel, block)
    value = own_fake.mean() + own_real.mean() - 2 * to_real.mean()
    effects = [2 * (h - h.mean()) for h in (own_fake - to_real, own_real - to_fake)]
    return float(value), effects[0], effects[1]


def mean_to_others(x: Tensor, kernel: Kernel, block: int) -> Tensor:
    """Mean kernel value of each row to every other row, [n]; each pair of blocks is computed once."""
    total = torch.zeros(len(x), dtype=x.dtype)
    for i in range(0, len(x), block):
        for j in range(i, len(x), block):
            values = kernel(x[i : i + block], x[j : j + block])
            if i == j:
                values.fill_diagonal_(0.0)
            else:
                total[j : j + block] += values.sum(0)
            total[i : i + block] += values.sum(1)
    return total / (len(x) - 1)


def mean_across(x: Tensor, y: Tensor, kernel: Kernel, block: int) -> tuple[Tensor, Tensor]:
    """Mean kernel value of each row of x to all of y, and of each row of y to all of x."""
    to_y, to_x = torch.zeros(len(x), dtype=x.dtype), torch.zeros(len(y), dtype=x.dtype)
    for i in range(0, len(x), block):
        for j in range(0, len(y), block):
            values = kernel(x[i : i + block], y[j : j + block])
            to_y[i : i + block] += values.sum(1)
            to_x[j : j + block] += values.sum(0)
    return to_y / len(y), to_x / len(x)


def kid_subsets(
    fake: Tensor, real: Tensor, random: np.random.RandomState, subsets: int = 100, size: int = 1000, real_first: bool = True
) -> tuple[float, float]:
    """Mean and population deviation of KID over random subsets, as in other packages.

    real_first: the side each subset is drawn from first; with the same generator, True gives clean-fid's numbers, False torch-fidelity's.
    """
    size, values = min(size, len(fake), len(real)), []
    for _ in range(subsets):
        sides = (real, fake) if real_first else (fake, real)
        picked = [side[torch.from_numpy(random.choice(len(side), size, replace=False))] for side in sides]
        values.append(kid(*(reversed(picked) if real_first else picked))[0])
    return float(np.mean(values)), float(np.std(values))
