"""CMMD (Jayasumana et al., CVPR 2024): 1,000 times the squared MMD of CLIP image embeddings. Lower is better.

    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, for embeddings of unit norm

The value is the published V-statistic, which keeps the diagonal. It lies in [0, 2000]. Even for two samples of one
distribution it is above 0, by about 1000 (1 - mean k) (1/M + 1/N). `unbiased` in the details is without this bias, and
may be below 0.

No distance exceeds 2, so the kernel is nearly linear in squared distance. To about 1 % CMMD is therefore 9.9 times the
squared distance of the mean embeddings (`mean_part`). It hardly sees whether the images vary around the right mean, so
read it beside recall.

`cmmd` uses CLIP ViT-L/14 at 336 pixels with OpenAI's weights, `cmmd_…` any other CLIP. Images that are not square are
scaled and then cropped, as CLIP does; the released code crops first.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, FeatureSets, effects, feature_sets
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import normal_interval, standard_error
from t2ibench.stats.mmd import parts

PUBLISHED = "ViT-L-14-336-quickgelu:openai"
SIGMA, SCALE = 10.0, 1000.0
ENOUGH = 1000  # images a side
COMPARES = True
QUESTIONS = {"cmmd*": "how far are the images from real ones, as a CLIP sees them?"}


@dataclass(frozen=True)
class Config:
    clip: str = (
        AUTO  # the data set's CLIP, else PUBLISHED; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    )
    group: str = "captions"
    fewest: Several = 100  # images a side


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """CMMD of M fake and N real embeddings, and what it consists of. All are multiplied by 1,000.

    value: the V-statistic.
    unbiased: the U-statistic, which may be below 0.
    mean_part: the value that the difference of the two means alone gives.
    of_fake, of_real: first-order effect of each sample, [M] and [N].
    """

    value: float
    unbiased: float
    mean_part: float
    of_fake: Tensor
    of_real: Tensor


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`cmmd` or `cmmd_…`; the details keep the effect of each image, from which two methods are compared.

    Raises UserError below `fewest` images a side.
    """
    sets = feature_sets(evidence, config.clip, config.group, config.fewest)
    result = cmmd(sets.fake, sets.real)
    of_fake, of_real = result.of_fake.numpy(), result.of_real.numpy()
    se = float(np.hypot(standard_error(of_fake, sets.clusters), standard_error(of_real)))
    low, high = normal_interval(result.value, se)
    estimate = Estimate(
        value=result.value,
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(sets.fake),
        better="lower",
        protocol={**sets.protocol, "estimator": "V-statistic", "kernel": f"Gaussian, sigma {SIGMA:g}", "scale": SCALE},
        interval="value +- 1.96 se, Hájek projections of both sides; of the value expected at this n",
        details={
            "unbiased": result.unbiased,
            "mean_part": result.mean_part,
            "se": se,
            "enough": min(len(sets.fake), len(sets.real)) >= ENOUGH,
            "effects": effects(evidence, config.group, of_fake, of_real),
        },
    )
    return {name(sets): estimate}


def name(sets: FeatureSets) -> str:
    """The one name under which this number may appear."""
    return "cmmd" if sets.extractor == PUBLISHED else f"cmmd_{sets.short.removeprefix('clip_').removeprefix('judge_')}"


def cmmd(fake: Tensor, real: Tensor) -> Discrepancy:
    """CMMD of embeddings [M, d] and [N, d] of any norm, in float64.

    Raises ValueError below 2 samples a side, for a row of zeros, and for embeddings that are not finite.
    """
    finite("cmmd", fake=fake, real=real)
    for side, features in (("made", fake), ("real", real)):
        zero = (features == 0).all(1)
        if zero.any():
            raise ValueError(
                f"cmmd needs embeddings with a direction, row {int(zero.nonzero()[0])} of the {side} is zero"
            )
    fake, real = F.normalize(fake.double(), dim=1), F.normalize(real.double(), dim=1)
    within_fake, within_real, across, (of_fake, of_real) = parts(fake, real, gaussian_less_1)
    with_diagonals = within_fake * (1 - 1 / len(fake)) + within_real * (1 - 1 / len(real)) - 2 * across
    gap = float((fake.mean(0) - real.mean(0)).square().sum())
    return Discrepancy(
        value=max(SCALE * with_diagonals, 0.0),  # it is a squared norm, and below 0 only by rounding
        unbiased=SCALE * (within_fake + within_real - 2 * across),
        mean_part=SCALE * np.exp(-1 / SIGMA**2) * gap / SIGMA**2,
        of_fake=SCALE * of_fake,
        of_real=SCALE * of_real,
    )


def gaussian_less_1(x: Tensor, y: Tensor) -> Tensor:
    """exp(-|x - y|^2 / (2 sigma^2)) - 1 for rows of unit norm; values near 1 would lose the digits that count."""
    return torch.expm1((x @ y.T - 1) / SIGMA**2)
