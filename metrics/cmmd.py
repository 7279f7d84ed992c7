"""CMMD (Jayasumana et al., CVPR 2024): squared MMD of CLIP image embeddings with a Gaussian kernel, times 1,000. Lower
is better.

    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, for embeddings of unit norm

The value is the published V-statistic, which keeps the diagonal: in [0, 2000], and above 0 even for two samples of one
distribution, by about 1000 (1 - mean k) (1/M + 1/N). `unbiased` in the details is without that, and may pass below 0.
As no distance exceeds 2, the kernel is nearly linear in squared distance: to about 1 % CMMD is 9.9 times the squared
distance of the mean embeddings, and all but blind to variety around the right mean (`mean_part`); read it beside
recall.

`cmmd` is on CLIP ViT-L/14 at 336 pixels with OpenAI's weights, `cmmd_…` on any other CLIP. Images that are no squares
are scaled and then cropped, as by CLIP; the released code crops first.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, FeatureSets, effects, feature_sets
from t2ibench.stats.intervals import normal_interval, standard_error
from t2ibench.stats.mmd import parts

PUBLISHED = "ViT-L-14-336-quickgelu:openai"
SIGMA, SCALE = 10.0, 1000.0
ENOUGH = 1000  # images a side
QUESTIONS = {"cmmd*": "how far are the images from real ones, as a CLIP sees them?"}


@dataclass(frozen=True)
class Config:
    clip: str = (
        AUTO  # the data set's CLIP, else PUBLISHED; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    )
    group: str = "captions"
    fewest: int = 100  # images a side


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """value: the V-statistic. mean_part: what the means alone give. of_fake [M], of_real [N]: each sample's first-order
    effect.
    """

    value: float
    unbiased: float
    mean_part: float
    of_fake: Tensor
    of_real: Tensor


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`cmmd` or `cmmd_…`; its details keep the effects, by which two methods are paired.

    Raises UserError below `fewest` images a side.
    """
    sets = feature_sets(evidence, config.clip, config.group, config.fewest)
    found = cmmd(sets.fake, sets.real)
    of_fake, of_real = found.of_fake.numpy(), found.of_real.numpy()
    se = float(np.hypot(standard_error(of_fake, sets.clusters), standard_error(of_real)))
    low, high = normal_interval(found.value, se)
    estimate = Estimate(
        value=found.value,
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(sets.fake),
        better="lower",
        protocol={**sets.protocol, "estimator": "V-statistic", "kernel": f"Gaussian, sigma {SIGMA:g}", "scale": SCALE},
        interval="value +- 1.96 se, Hájek projections of both sides; of the value expected at this n",
        details={
            "unbiased": found.unbiased,
            "mean_part": found.mean_part,
            "se": se,
            "enough": min(len(sets.fake), len(sets.real)) >= ENOUGH,
            "effects": effects(evidence, config.group, of_fake, of_real),
        },
    )
    return {name(sets): estimate}


def name(sets: FeatureSets) -> str:
    """The one name under which this number may appear."""
    return "cmmd" if sets.extractor == PUBLISHED else f"cmmd_{sets.suffix.removeprefix('clip_').removeprefix('judge_')}"


def cmmd(fake: Tensor, real: Tensor) -> Discrepancy:
    """CMMD of embeddings [M, d] and [N, d] of any norm, in float64.

    Raises ValueError below 2 samples a side and for a row of zeros.
    """
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
