"""Diversity of an adapted generator, against collapse: how far its images lie apart, beside how far those before the
adaptation do.

    D(images) = mean over all pairs i < j of |f(x_i) - f(x_j)|,    diversity = mean over targets of D(adapted) /
    D(sources)

with the features f of a network that judges. The latents are the same on both sides. 0: one image for every latent. 1:
as varied as the sources; where the target domain itself varies more or less than the sources, so will a good
adaptation: `real` in the details is D of real images of the target / D of the sources, and `of_real` the share of that
which the adapted images have. A failed image lies at no distance from any: failing is no variety. Higher is better.

LPIPS, which publications take (Gal et al., StyleGAN-NADA, SIGGRAPH 2022, within clusters), needs weights made from
photographs. Features of a CLIP would not do: where captions say nothing of a domain's images but the domain, it is
trained to see them as one.

The interval is value +- 1.96 standard errors by Hájek's projection of both sides, a latent being one draw for all
targets.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate, digest
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, extractor_of
from t2ibench.scoring.targets import failures, mean_error, with_sources
from t2ibench.stats.intervals import Interval, normal_interval, standard_error
from t2ibench.stats.paired import spell
from t2ibench.tracks.contract import SOURCES

TRACKS = ("adapt",)
QUESTIONS = {"diversity": "how varied are the images still, compared with those before the adaptation?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the embedded attribute judge; or any by name
    fewest: int = 10  # images of each target


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`diversity`. Raises UserError below `fewest` latents, and where the sources do not differ from one another."""
    extractor, sources = extractor_of(evidence, config.extractor), evidence.samples(SOURCES)
    targets = with_sources(evidence, sources, "diversity", config.fewest)
    before, to_others = spread(evidence.fake_features(extractor, SOURCES), sources)
    if before == 0:
        raise UserError(
            "diversity: the images before the adaptation are all the same, so nothing can be said beside them"
        )
    latents, found, effects, real = [str(k) for k in sources.k], {}, {}, {}
    for domain, samples in targets.items():
        group = evidence.targets[domain]
        after, own = (
            spread(evidence.fake_features(extractor, group), samples)
            if samples.ok.any()
            else (0.0, np.zeros(len(samples)))
        )
        found[domain] = after / before
        effects[domain] = ratio_effects(after, own, before, to_others)
        real[domain] = mean_distances(evidence.real_features(extractor, evidence.target(domain)))[0] / before
    value = float(np.mean(list(found.values())))
    asked = [[prompt.id, prompt.text, prompt.images] for prompt in evidence.prompts]
    return {
        "diversity": Estimate(
            value=value,
            ci=at_least_0(normal_interval(value, mean_error(effects, dict.fromkeys(effects, latents)))),
            n=len(sources),
            better="higher",
            protocol={
                **evidence.extractor_protocol(extractor),
                "prompts": digest(asked),
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
                    for domain, ratio in found.items()
                },
                "real": real,
                "of_real": {domain: ratio / real[domain] for domain, ratio in found.items() if real[domain]},
                "distance_of_sources": before,
                "collapsed": sorted(domain for domain, ratio in found.items() if ratio < 0.5),
                "failed": failures(evidence),
                "effects": {"made": spell(np.mean(list(effects.values()), axis=0))},
            },
        )
    }


def spread(features: Tensor, samples: Samples) -> tuple[float, np.ndarray]:
    """The mean pairwise distance of all samples asked for, a failed one at distance 0, and of each to the others
    [N].
    """
    mean, own = mean_distances(features)
    there, count = len(features), len(samples)
    of_all = np.zeros(count)
    of_all[samples.rows] = own * (there - 1) / (count - 1)
    return mean * there * (there - 1) / (count * (count - 1)), of_all


def mean_distances(features: Tensor) -> tuple[float, np.ndarray]:
    """The mean Euclidean distance of all pairs of rows [N, D], and of each row to the others [N]; 0 for a single
    row.
    """
    if len(features) < 2:
        return 0.0, np.zeros(len(features))
    rows = features.double()
    own = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1).numpy() / (len(rows) - 1)
    return float(own.mean()), own


def ratio_effects(after: float, own: np.ndarray, before: float, to_others: np.ndarray) -> np.ndarray:
    """First-order effect of each latent on after / before, two mean pairwise distances with those of each latent to the
    others: [N].
    """
    return (2 * (own - after) - after / before * 2 * (to_others - before)) / before


def at_least_0(interval: Interval) -> Interval:
    return max(interval[0], 0.0), max(interval[1], 0.0)
