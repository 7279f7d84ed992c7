"""Fréchet distance between the features of made and of real images. In [0, inf); lower is better.

The value falls as the number of images n grows, so compare only values of equal n. Its name says which features it is
computed on:

    fid             Inception's pool3 by clean-FID's protocol (Heusel et al., NeurIPS 2017; Parmar et al., CVPR 2022)
    fid_smalln      the same with fewer than 2,048 images on a side, where the covariances are singular
    fid_legacy_tf, fid_legacy_pt, fid_tm_aa, fid_square
                    Inception with other ways of resizing, which give other numbers (`t2ibench.networks.inception`)
    fid_torchvision, fid_torchvision_tensor
                    torchvision's Inception, another network (`t2ibench.networks.torchvision_inception`)
    fd_avatars      the embedded attribute judge; the default if Inception's weights are not on disk
    fd_dinov2_…     DINOv2's class token (extractor `dinov2:FILE`)
    fd_clip_…       image embeddings of a CLIP, brought to unit norm; clean-fid's CLIP-FID does not normalise them

Both covariances divide by n - 1, and nothing is added to a diagonal (`t2ibench.stats.frechet`).

In the track `adapt` the value is the mean over the target domains, each compared with real images of its own; images of
one latent count as one draw. In the track `compose` the images of all tasks are pooled; images of one input count as
one draw.

The interval is for the value expected at this n, under sampling of both sides. It is not for the limit n -> inf, which
is lower: see `debiased` in the details. The percentiles of a bootstrap cover neither, since resampling adds the bias a
second time.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate
from t2ibench.scoring.compositions import is_compose, pooled
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import (
    AUTO,
    FeatureSets,
    clusters,
    effects,
    extractor_of,
    feature_sets,
    made_for,
    reference_file,
)
from t2ibench.scoring.feature_sets import protocol as protocol_of
from t2ibench.scoring.reference_files import ReferenceFile
from t2ibench.scoring.targets import effects_on_mean, failures, mean_error, mean_error_of_real, protocol, target_sets
from t2ibench.stats.finite import finite
from t2ibench.stats.frechet import Gaussian, Moments, frechet_distance, influence, jackknife
from t2ibench.stats.intervals import normal_interval, standard_error

TRACKS = ("text_to_image", "adapt", "compose")
FULL_RANK = 2048  # the dimension of pool3
NAMES = {"inception": "fid"} | {
    f"inception-{way}": f"fid_{way.replace('-', '_')}"
    for way in ("legacy-tf", "legacy-pt", "tm-aa", "square", "torchvision", "torchvision-tensor")
}
COMPARES = True
QUESTIONS = {"fid*": "how far are the images from real ones?", "fd_*": "how far are the images from real ones?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # or `inception`, `inception-legacy-tf` …, an attribute judge, `dinov2:FILE`, a CLIP
    group: str = "captions"
    fewest: Several = 100  # images a side


@dataclass(frozen=True)
class Distance:
    """A Fréchet distance and its error.

    value: as computed, so it may be slightly negative (-1e-12) for equal sets.
    se: standard error of `value`.
    debiased: `value` minus the jackknife's estimate of the 1/n bias.
    error: how `se` was computed.
    influences: first-order effect of every fake row and of every real row, or None if they do not exist.
    """

    value: float
    se: float
    debiased: float
    error: str
    influences: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def details(self) -> dict[str, float | str]:
        return {"value": self.value, "se": self.se, "debiased": self.debiased, "error": self.error}


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`fid`, `fid_smalln` or `fd_…`; the details keep the effect of each image, from which two methods are compared.

    Raises UserError below `fewest` images a side.
    """
    if evidence.targets:
        return over_targets(evidence, config)
    if (file := reference_file(evidence.reference)) is not None and file.gaussian is not None:
        return to_statistics(evidence, config, file)
    of_tasks = is_compose(evidence)
    of_group = config.extractor, config.group, config.fewest
    sets = pooled(evidence, config.extractor, config.fewest) if of_tasks else feature_sets(evidence, *of_group)
    result, dimension = distance(sets.fake, sets.real, sets.clusters), sets.fake.shape[1]
    low, high = normal_interval(result.value, result.se)
    paired = (
        {}
        if result.influences is None or of_tasks
        else {"effects": effects(evidence, config.group, *result.influences)}
    )
    estimate = Estimate(
        value=max(result.value, 0.0),
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(sets.fake),
        better="lower",
        protocol={**sets.protocol, "estimator": "frechet", "ddof": 1},
        interval=f"value +- 1.96 se, {result.error}; of the value expected at this n",
        details={
            **result.details,
            "dimensions": dimension,
            "enough": min(len(sets.fake), len(sets.real)) >= 10 * dimension,
            **paired,
        },
    )
    return {name(sets): estimate}


def to_statistics(evidence: Evidence, config: Config, file: ReferenceFile) -> dict[str, Estimate]:
    """The distance to a stored mean and covariance. They are held fixed: the interval is over the made images only."""
    extractor, ids = extractor_of(evidence, config.extractor), made_for(evidence, config.group)
    if len(ids) < config.fewest:
        raise UserError(
            f"{len(ids):,} made images of {config.group!r}, at least {config.fewest:,} are needed: ask for more "
            f"captions"
        )
    file.check(extractor, evidence.dimension(extractor, config.group))
    fake, reference = evidence.fake_features(extractor, config.group), file.gaussian
    assert reference is not None
    result, dimension = distance(fake, reference, clusters(ids)), fake.shape[1]
    low, high = normal_interval(result.value, result.se)
    known = protocol_of(evidence, extractor, config.group)
    fewest = int(min(len(fake), reference.n))
    estimate = Estimate(
        value=max(result.value, 0.0),
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(fake),
        better="lower",
        protocol={**known, "estimator": "frechet", "ddof": 1},
        interval=f"value +- 1.96 se, {result.error}, reference fixed; of the value expected at this n",
        details={
            **result.details,
            "dimensions": dimension,
            "enough": fewest >= 10 * dimension,
            "reference_rank": reference.rank,
        },
    )
    return {name(FeatureSets(extractor, fake, torch.empty(0), ids, known, evidence.short(extractor)), fewest): estimate}


def over_targets(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """The mean over the target domains.

    Its standard error comes from the influence functions of all targets, summed for each latent. If they do not exist,
    it is the mean of the targets' errors, which is an upper bound.
    """
    sets = target_sets(evidence, config.extractor, config.fewest)
    distances = {domain: distance(features.fake, features.real, features.clusters) for domain, features in sets.items()}
    value, paired = float(np.mean([max(distance.value, 0.0) for distance in distances.values()])), {}
    if all(has_influence(features.fake, features.real) for features in sets.values()):
        effects = {domain: influences(features.fake, features.real) for domain, features in sets.items()}
        latents = {domain: features.clusters for domain, features in sets.items()}
        of_fake, of_real = ({domain: pair[side] for domain, pair in effects.items()} for side in (0, 1))
        se, how = (
            float(np.hypot(mean_error(of_fake, latents), mean_error_of_real(of_real))),
            "influence functions over latents",
        )
        paired = {"effects": effects_on_mean(evidence, of_fake, of_real)}
    else:
        se, how = float(np.mean([distance.se for distance in distances.values()])), "the mean of the targets' errors"
    low, high = normal_interval(value, se)
    targets = {}
    for domain, of_target in distances.items():
        low_of_target, high_of_target = (max(end, 0.0) for end in normal_interval(of_target.value, of_target.se))
        targets[domain] = {
            "n": len(sets[domain].fake),
            "value": max(of_target.value, 0.0),
            "ci": [low_of_target, high_of_target],
            "debiased": of_target.debiased,
        }
    estimate = Estimate(
        value=value,
        ci=(max(low, 0.0), max(high, 0.0)),
        n=min(len(features.fake) for features in sets.values()),
        better="lower",
        protocol={**protocol(sets), "estimator": "frechet", "ddof": 1},
        interval=f"value +- 1.96 se, {how}; of the value expected at this n",
        details={
            "targets": targets,
            "failed": failures(evidence),
            "dimensions": next(iter(sets.values())).fake.shape[1],
            **paired,
        },
    )
    return {name(min(sets.values(), key=lambda features: min(len(features.fake), len(features.real)))): estimate}


def name(sets: FeatureSets, fewest: int | None = None) -> str:
    """The one name under which this number may appear.

    fewest: number of images on the smaller side; None takes it from the sets.
    """
    if sets.extractor not in NAMES:
        return f"fd_{sets.short}"
    return NAMES[sets.extractor] + ("" if (fewest or min(len(sets.fake), len(sets.real))) >= FULL_RANK else "_smalln")


def distance(fake: Tensor, real: Tensor | Gaussian, clusters: list[str]) -> Distance:
    """FD between features [M, D] and [N, D], or between features and a Gaussian.

    clusters: one label per fake row; rows of one label count as one draw.
    The standard error comes from the influence functions of both sides, which exist if both have more than D rows;
    otherwise from the jackknife. A Gaussian adds no error.
    """
    finite("fid", fake=fake, **({} if isinstance(real, Gaussian) else {"real": real}))
    value, (bias, se) = frechet_distance(fake, real), jackknife(fake, real, clusters)
    if isinstance(real, Gaussian):
        if min(len(fake), real.n) <= fake.shape[1]:
            return Distance(value, se, value - bias, "jackknife over 20 groups")
        return Distance(
            value, standard_error(influence(fake, real).numpy(), clusters), value - bias, "influence function"
        )
    if not has_influence(fake, real):
        return Distance(value, se, value - bias, "jackknife over 20 groups a side")
    of_fake, of_real = influences(fake, real)
    se = (standard_error(of_fake, clusters) ** 2 + standard_error(of_real) ** 2) ** 0.5
    return Distance(value, se, value - bias, "influence functions of both sides", (of_fake, of_real))


def has_influence(fake: Tensor, real: Tensor) -> bool:
    """Whether both sides have more rows than dimensions."""
    return min(len(fake), len(real)) > fake.shape[1]


def influences(fake: Tensor, real: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """First-order effect of every row of either side on their distance: [M], [N]."""
    finite("fid", fake=fake, real=real)
    return influence(fake, Moments.of(real)).numpy(), influence(real, Moments.of(fake)).numpy()
