"""Kernel distance (Bińkowski et al., ICLR 2018): squared MMD with the kernel (x.y / d + 1)^3. Lower is better.

`kid` is computed on Inception's pool3 by clean-FID's protocol. If Inception's weights are not on disk, `kd_avatars` is
computed on the embedded attribute judge instead. The estimator is the unbiased U-statistic over all samples, in
float64, with Hájek's standard error; it may be below 0. Other packages call KID the mean over 100 random subsets of
1,000 images. That is noisier, and the spread of the subsets is not its error; `kid_subsets` computes it for comparison.

In the track `adapt` the value is the mean over the target domains, each compared with real images of its own; images of
one latent count as one draw.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, FeatureSets, effects, feature_sets
from t2ibench.scoring.targets import effects_on_mean, failures, mean_error, mean_error_of_real, protocol, target_sets
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import normal_interval, standard_error
from t2ibench.stats.mmd import Kernel, unbiased

TRACKS = ("text_to_image", "adapt")
ESTIMATOR = {"estimator": "unbiased U-statistic", "kernel": "(x.y/d + 1)^3"}
COMPARES = True
QUESTIONS = {"k*d*": "how far are the images from real ones?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # or `inception`, an attribute judge, a CLIP
    group: str = "captions"
    fewest: Several = 100  # images a side; below about 200 the interval is wide


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`kid` or `kd_…`; the details keep the effect of each image, from which two methods are compared.

    Raises UserError below `fewest` images a side.
    """
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
    kids = {domain: kid(features.fake, features.real) for domain, features in sets.items()}
    value = float(np.mean([of_target for of_target, _, _ in kids.values()]))
    latents = {domain: features.clusters for domain, features in sets.items()}
    of_fake = {domain: fake.numpy() for domain, (_, fake, _) in kids.items()}
    of_real = {domain: real.numpy() for domain, (_, _, real) in kids.items()}
    se = float(np.hypot(mean_error(of_fake, latents), mean_error_of_real(of_real)))
    targets = {}
    for domain, (of_target, fake, real) in kids.items():
        error = float(np.hypot(standard_error(fake, latents[domain]), standard_error(real)))
        targets[domain] = {"n": len(fake), "value": of_target, "ci": list(normal_interval(of_target, error))}
    estimate = Estimate(
        value=value,
        ci=normal_interval(value, se),
        n=min(len(features.fake) for features in sets.values()),
        better="lower",
        protocol={**protocol(sets), **ESTIMATOR},
        interval="value +- 1.96 se, Hájek projections of both sides over latents",
        details={
            "se": se,
            "targets": targets,
            "failed": failures(evidence),
            "effects": effects_on_mean(evidence, of_fake, of_real),
        },
    )
    return {name(next(iter(sets.values()))): estimate}


def name(sets: FeatureSets) -> str:
    """The one name under which this number may appear."""
    return "kid" if sets.extractor == "inception" else f"kd_{sets.short}"


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(fake: Tensor, real: Tensor, kernel: Kernel = polynomial, block: int = 1000) -> tuple[float, Tensor, Tensor]:
    """Unbiased squared MMD of features [M, d] and [N, d], and the first-order effect of each sample, [M] and [N].

    See `mmd.unbiased`. Raises ValueError for features that are not finite.
    """
    finite("kid", fake=fake, real=real)
    return unbiased(fake, real, kernel, block)


def kid_subsets(
    fake: Tensor,
    real: Tensor,
    random: np.random.RandomState,
    subsets: int = 100,
    size: int = 1000,
    real_first: bool = True,
) -> tuple[float, float]:
    """Mean and population standard deviation of KID over random subsets, as in other packages.

    real_first: whether each subset is drawn from the real side first. With the same random generator, True gives
        clean-fid's numbers and False torch-fidelity's.
    """
    finite("kid_subsets", fake=fake, real=real)
    size, values = min(size, len(fake), len(real)), []
    for _ in range(subsets):
        sides = (real, fake) if real_first else (fake, real)
        picked = [side[torch.from_numpy(random.choice(len(side), size, replace=False))] for side in sides]
        values.append(kid(*(reversed(picked) if real_first else picked))[0])
    return float(np.mean(values)), float(np.std(values))
