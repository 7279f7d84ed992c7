"""Diversity of an adapted generator: is the spread of its images kept? Ratio to the sources; higher is better.

    D(images) = mean over all pairs i < j of |f(x_i) - f(x_j)|
    diversity = mean over targets of D(adapted images) / D(sources)

f are the features of a network that judges. Both sides have the same latents. 0 means that every latent gives the same
image (collapse). 1 means that the images are as varied as the sources. A target domain may itself vary more or less
than the sources, and a good adaptation follows it. Two numbers in the details show this:

real: D of real images of the target / D of the sources.
of_real: D of the adapted images / D of real images of the target.

A failed image has distance 0 to every other image, so a failure adds no variety.

Publications use LPIPS (Gal et al., StyleGAN-NADA, SIGGRAPH 2022, within clusters), whose weights come from photographs.
Features of a CLIP are no substitute: if all captions of a domain say only its name, the CLIP learns to give all its
images the same features.

The interval is value +- 1.96 standard errors, by Hájek's projection of both sides. One latent counts as one draw for
all targets.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate, digest
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, extractor_of
from t2ibench.scoring.targets import failures, mean_error, with_sources
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import Interval, normal_interval, standard_error
from t2ibench.stats.paired import spell
from t2ibench.tracks.contract import SOURCES

TRACKS = ("adapt",)
QUESTIONS = {"diversity": "how varied are the images still, compared with those before the adaptation?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the embedded attribute judge; or any by name
    fewest: Several = 10  # images of each target


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`diversity`. Raises UserError below `fewest` latents, and where the sources do not differ from one another."""
    extractor, sources = extractor_of(evidence, config.extractor), evidence.samples(SOURCES)
    targets = with_sources(evidence, sources, "diversity", config.fewest)
    before, before_to_others = spread(evidence.fake_features(extractor, SOURCES), sources)
    if before == 0:
        raise UserError(
            "diversity: the images before the adaptation are all the same, so nothing can be said beside them"
        )
    latents, ratios, effects, real = [str(k) for k in sources.k], {}, {}, {}
    for domain, samples in targets.items():
        group = evidence.targets[domain]
        after, after_to_others = (
            spread(evidence.fake_features(extractor, group), samples)
            if samples.ok.any()
            else (0.0, np.zeros(len(samples)))
        )
        ratios[domain] = after / before
        effects[domain] = ratio_effects(after, after_to_others, before, before_to_others)
        if evidence.has_real(domain):
            real[domain] = mean_distances(evidence.real_features(extractor, evidence.target(domain)))[0] / before
    value = float(np.mean(list(ratios.values())))
    requests = [[prompt.id, prompt.text, prompt.images] for prompt in evidence.prompts]
    return {
        "diversity": Estimate(
            value=value,
            ci=at_least_0(normal_interval(value, mean_error(effects, dict.fromkeys(effects, latents)))),
            n=len(sources),
            better="higher",
            protocol={
                **evidence.extractor_protocol(extractor),
                "prompts": digest(requests),
                "estimator": "mean pairwise distance over that of the sources",
                "mean": "over targets",
            },
            interval="value +- 1.96 se, Hájek projections over latents",
            details={
                "targets": {
                    domain: {
                        "n": len(latents),
                        "value": ratio,
                        "ci": at_least_0(normal_interval(ratio, standard_error(effects[domain]))),
                    }
                    for domain, ratio in ratios.items()
                },
                "real": real,
                "of_real": {domain: ratio / real[domain] for domain, ratio in ratios.items() if real.get(domain)},
                "distance_of_sources": before,
                "collapsed": sorted(domain for domain, ratio in ratios.items() if ratio < 0.5),
                "failed": failures(evidence),
                "effects": {"made": spell(np.mean(list(effects.values()), axis=0))},
            },
        )
    }


def spread(features: Tensor, samples: Samples) -> tuple[float, np.ndarray]:
    """The mean pairwise distance of all requested samples, and the mean distance of each sample to the others, [N].

    A failed sample has distance 0 to every other one.
    """
    mean, to_others = mean_distances(features)
    succeeded, count = len(features), len(samples)
    of_all = np.zeros(count)
    of_all[samples.rows] = to_others * (succeeded - 1) / (count - 1)
    return mean * succeeded * (succeeded - 1) / (count * (count - 1)), of_all


def mean_distances(features: Tensor) -> tuple[float, np.ndarray]:
    """The mean Euclidean distance over all pairs of rows [N, D], and of each row to the others, [N].

    Both are 0 for a single row. Raises ValueError for features that are not finite.
    """
    finite("diversity", features=features)
    if len(features) < 2:
        return 0.0, np.zeros(len(features))
    rows = features.double()
    sums = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
    to_others = sums.cpu().numpy() / (len(rows) - 1)
    return float(to_others.mean()), to_others


def ratio_effects(after: float, after_to_others: np.ndarray, before: float, before_to_others: np.ndarray) -> np.ndarray:
    """First-order effect of each latent on the ratio after / before: [N].

    after, before: mean pairwise distances after and before the adaptation.
    after_to_others, before_to_others: mean distance of each latent's image to the others, [N].
    """
    finite("diversity", after=after, after_to_others=after_to_others, before=before, before_to_others=before_to_others)
    return (2 * (after_to_others - after) - after / before * 2 * (before_to_others - before)) / before


def at_least_0(interval: Interval) -> Interval:
    finite("diversity", interval=interval)
    return max(interval[0], 0.0), max(interval[1], 0.0)
