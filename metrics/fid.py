"""Fréchet distance between the features of made and of real images. Lower is better, in [0, inf), and it falls as n
grows.

`fid` (Heusel et al., NeurIPS 2017) is on Inception's pool3 by clean-FID's protocol (Parmar et al., CVPR 2022) where its
weights are on disk, and `fid_smalln` below 2,048 images a side, where the covariances are singular. Otherwise it is on
the embedded attribute judge and called `fd_avatars`. Other ways to bring an image to Inception give other numbers under
names of their own: `fid_legacy_tf`, `fid_legacy_pt`, `fid_tm_aa` (`t2ibench.networks.inception`). `fd_dinov2_…` is on
DINOv2's class token (extractor `dinov2:FILE`), and `fd_clip_…` on image embeddings of a CLIP, of unit norm, which
clean-fid's CLIP-FID does not bring them to. Both sides' covariances divide by n - 1; nothing is added to a diagonal
(`t2ibench.stats.frechet`).

In the track `adapt` it is the mean over the target domains, each to real images of its own; images of one latent count
as one draw. In the track `compose` it is of the images of all tasks together; those of one input count as one draw.

The interval is that of the value expected at this n, over both sides' sampling. It is not one of the limit n -> inf,
which lies lower: for that see `debiased` in the details. The bootstrap's percentiles hold neither, since resampling
adds the bias a second time.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
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
from t2ibench.stats.frechet import Gaussian, Moments, frechet_distance, influence, jackknife
from t2ibench.stats.intervals import normal_interval, standard_error

TRACKS = ("text_to_image", "adapt", "compose")
FULL_RANK = 2048  # the dimension of pool3
NAMES = {"inception": "fid"} | {
    f"inception-{way}": f"fid_{way.replace('-', '_')}" for way in ("legacy-tf", "legacy-pt", "tm-aa")
}
QUESTIONS = {"fid*": "how far are the images from real ones?", "fd_*": "how far are the images from real ones?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # or `inception`, `inception-legacy-tf` …, an attribute judge, `dinov2:FILE`, a CLIP
    group: str = "captions"
    fewest: int = 100  # images a side


@dataclass(frozen=True)
class Distance:
    """value: as computed, so possibly -1e-12 for equal sets. se: of `value`. debiased: without the jackknife's estimate
    of the 1/n bias.

    influences: of every fake and every real row, where they exist.
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
    """`fid`, `fid_smalln` or `fd_…`; with the effects, by which two methods are paired.

    Raises UserError below `fewest` images a side.
    """
    if evidence.targets:
        return over_targets(evidence, config)
    if (file := reference_file(evidence.reference)) is not None and file.gaussian is not None:
        return to_statistics(evidence, config, file)
    of_tasks = is_compose(evidence)
    of_group = config.extractor, config.group, config.fewest
    sets = pooled(evidence, config.extractor, config.fewest) if of_tasks else feature_sets(evidence, *of_group)
    found, d = distance(sets.fake, sets.real, sets.clusters), sets.fake.shape[1]
    low, high = normal_interval(found.value, found.se)
    kept = (
        {} if found.influences is None or of_tasks else {"effects": effects(evidence, config.group, *found.influences)}
    )
    estimate = Estimate(
        value=max(found.value, 0.0),
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(sets.fake),
        better="lower",
        protocol={**sets.protocol, "estimator": "frechet", "ddof": 1},
        interval=f"value +- 1.96 se, {found.error}; of the value expected at this n",
        details={**found.details, "dimensions": d, "enough": min(len(sets.fake), len(sets.real)) >= 10 * d, **kept},
    )
    return {name(sets): estimate}


def to_statistics(evidence: Evidence, config: Config, file: ReferenceFile) -> dict[str, Estimate]:
    """The distance to a mean and a covariance, which are held fixed: the interval is over the made images alone."""
    extractor, ids = extractor_of(evidence, config.extractor), made_for(evidence, config.group)
    if len(ids) < config.fewest:
        raise UserError(
            f"{len(ids):,} made images of {config.group!r}, at least {config.fewest:,} are needed: ask for more "
            f"captions"
        )
    file.check(extractor, evidence.dimension(extractor, config.group))
    fake, reference = evidence.fake_features(extractor, config.group), file.gaussian
    assert reference is not None
    found, d = distance(fake, reference, clusters(ids)), fake.shape[1]
    low, high = normal_interval(found.value, found.se)
    known = protocol_of(evidence, extractor, config.group)
    fewest = int(min(len(fake), reference.n))
    estimate = Estimate(
        value=max(found.value, 0.0),
        ci=(max(low, 0.0), max(high, 0.0)),
        n=len(fake),
        better="lower",
        protocol={**known, "estimator": "frechet", "ddof": 1},
        interval=f"value +- 1.96 se, {found.error}, reference fixed; of the value expected at this n",
        details={**found.details, "dimensions": d, "enough": fewest >= 10 * d, "reference_rank": reference.rank},
    )
    return {name(FeatureSets(extractor, fake, torch.empty(0), ids, known), fewest): estimate}


def over_targets(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """The mean over the target domains.

    Its error sums over latents what an image of each adds to each distance; without influence functions it is the mean
    of the targets' errors, which it cannot pass.
    """
    sets = target_sets(evidence, config.extractor, config.fewest)
    found = {domain: distance(own.fake, own.real, own.clusters) for domain, own in sets.items()}
    value, kept = float(np.mean([max(distance.value, 0.0) for distance in found.values()])), {}
    if all(has_influence(own.fake, own.real) for own in sets.values()):
        effects = {domain: influences(own.fake, own.real) for domain, own in sets.items()}
        latents = {domain: own.clusters for domain, own in sets.items()}
        of_fake, of_real = ({domain: pair[side] for domain, pair in effects.items()} for side in (0, 1))
        se, how = (
            float(np.hypot(mean_error(of_fake, latents), mean_error_of_real(of_real))),
            "influence functions over latents",
        )
        kept = {"effects": effects_on_mean(evidence, of_fake, of_real)}
    else:
        se, how = float(np.mean([distance.se for distance in found.values()])), "the mean of the targets' errors"
    low, high = normal_interval(value, se)
    targets = {}
    for domain, own in found.items():
        low_own, high_own = (max(end, 0.0) for end in normal_interval(own.value, own.se))
        targets[domain] = {
            "n": len(sets[domain].fake),
            "value": max(own.value, 0.0),
            "ci": [low_own, high_own],
            "debiased": own.debiased,
        }
    estimate = Estimate(
        value=value,
        ci=(max(low, 0.0), max(high, 0.0)),
        n=min(len(own.fake) for own in sets.values()),
        better="lower",
        protocol={**protocol(sets), "estimator": "frechet", "ddof": 1},
        interval=f"value +- 1.96 se, {how}; of the value expected at this n",
        details={
            "targets": targets,
            "failed": failures(evidence),
            "dimensions": next(iter(sets.values())).fake.shape[1],
            **kept,
        },
    )
    return {name(min(sets.values(), key=lambda own: min(len(own.fake), len(own.real)))): estimate}


def name(sets: FeatureSets, fewest: int | None = None) -> str:
    """The one name under which this number may appear. fewest: images on the smaller side, where the sets do not
    say.
    """
    if sets.extractor not in NAMES:
        return f"fd_{sets.suffix}"
    return NAMES[sets.extractor] + ("" if (fewest or min(len(sets.fake), len(sets.real))) >= FULL_RANK else "_smalln")


def distance(fake: Tensor, real: Tensor | Gaussian, clusters: list[str]) -> Distance:
    """FD between features [M, D] and [N, D], or to a Gaussian; the fakes of one cluster count as one draw.

    Its error sums both sides' influence functions, which exist where both have more than D rows; otherwise it is the
    jackknife's. A Gaussian has none.
    """
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
    return influence(fake, Moments.of(real)).numpy(), influence(real, Moments.of(fake)).numpy()
