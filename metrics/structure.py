"""Structure kept by an adaptation: do images that were alike stay alike? In [-1, 1]; higher is better.

`structure_kept` is computed over all pairs of latents. It is Spearman's rank correlation of two distances: that of the
pair's images before the adaptation, and that of its images after it. Distances are between features of a network that
judges. The value is the mean over targets. It needs no attributes, so it covers every target, also those for which
`attributes_kept` has no judge.

An adaptation that changes nothing scores 1. Images that do not depend on their latents score 0, and so do images that
are all equal. A failed image gets the mean distance to every other image, which correlates with nothing.

The interval is value +- 1.96 standard errors of the jackknife over latents, which all targets share.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate, digest
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, extractor_of
from t2ibench.scoring.targets import failures, with_sources
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import Interval, normal_interval
from t2ibench.stats.paired import spell
from t2ibench.tracks.contract import SOURCES

TRACKS = ("adapt",)
QUESTIONS = {"structure_kept": "do images that were alike before the adaptation stay alike?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the embedded attribute judge; or any by name
    fewest: Several = 10  # images of each target


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`structure_kept`. Raises UserError below `fewest` latents."""
    extractor, sources = extractor_of(evidence, config.extractor), evidence.samples(SOURCES)
    targets = with_sources(evidence, sources, "structure", config.fewest)
    before = ranks(evidence.fake_features(extractor, SOURCES), sources)
    correlations, without = {}, {}
    for domain, samples in targets.items():
        after = (
            ranks(evidence.fake_features(extractor, evidence.targets[domain]), samples)
            if samples.ok.any()
            else np.zeros_like(before)
        )
        correlations[domain], without[domain] = correlation(before, after)
    value, mean_without = float(np.mean(list(correlations.values()))), np.mean(list(without.values()), axis=0)
    requests = [[prompt.id, prompt.text, prompt.images] for prompt in evidence.prompts]
    intervals = {domain: interval(correlated, without[domain]) for domain, correlated in correlations.items()}
    return {
        "structure_kept": Estimate(
            value=value,
            ci=interval(value, mean_without),
            n=len(sources),
            better="higher",
            protocol={
                **evidence.extractor_protocol(extractor),
                "prompts": digest(requests),
                "estimator": "Spearman correlation of pairwise distances before and after",
                "mean": "over targets",
            },
            interval="value +- 1.96 se, jackknife over latents",
            details={
                "targets": {
                    domain: {"n": len(sources), "value": correlations[domain], "ci": list(intervals[domain])}
                    for domain in correlations
                },
                "failed": failures(evidence),
                "effects": {"made": spell((len(mean_without) - 1) * (mean_without.mean() - mean_without))},
            },
        )
    }


def ranks(features: Tensor, samples: Samples) -> np.ndarray:
    """Centred ranks (mean 0) of the distances between all requested samples: symmetric [N, N].

    The diagonal and the rows and columns of failed samples are 0.
    """
    finite("structure", features=features)
    rows, count = samples.rows, len(samples)
    distances = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist").numpy()
    upper = np.triu_indices(len(rows), 1)
    of_all, of_rows = np.zeros((count, count)), np.zeros((len(rows), len(rows)))
    if len(upper[0]):
        placed = rankdata(distances[upper])
        of_rows[upper] = placed - placed.mean()
        of_all[np.ix_(rows, rows)] = of_rows + of_rows.T
    return of_all


def correlation(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Correlation over the pairs of two symmetric matrices [N, N] of mean 0, and the same without each latent, [N].

    It is 0 if one of them is constant.
    """
    finite("structure", a=a, b=b)
    products, squares_a, squares_b = a * b, a * a, b * b
    whole = _ratio(np.array([m.sum() / 2 for m in (products, squares_a, squares_b)])[:, None])
    without = _ratio(np.stack([m.sum() / 2 - m.sum(1) for m in (products, squares_a, squares_b)]))
    return float(whole[0]), without


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Covariance over the roots of both variances, [3, N] to [N]."""
    scale = np.sqrt(sums[1] * sums[2])
    return np.divide(sums[0], scale, out=np.zeros_like(scale), where=scale > 1e-9)


def interval(value: float, without: np.ndarray) -> Interval:
    """Jackknife interval of a value, cut at -1 and 1. without: the value without each latent in turn, [N]."""
    finite("structure", value=value, without=without)
    n = len(without)
    low, high = normal_interval(value, float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())))
    return max(low, -1.0), min(high, 1.0)
