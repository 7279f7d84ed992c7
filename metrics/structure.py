"""Structure kept by an adaptation: do latents whose images were alike still have images that are alike? In [-1, 1];
higher is better.

`structure_kept`: the rank correlation, over all pairs of latents, of the distance between the two images before the
adaptation with that between the two after it (Spearman; distances of features of a network that judges), as a mean over
targets. It needs no attributes, so it speaks of every target, also where no judge can name what it sees
(`attributes_kept`). Doing nothing keeps all of it (1), images that have nothing to do with their latents none (0), and
so do images that are all the same. A failed image is as far from every other as the mean, which agrees with nothing.

The interval is value +- 1.96 standard errors of the jackknife over latents, which all targets share.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from t2ibench.core.records import Estimate, digest
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, extractor_of
from t2ibench.scoring.targets import failures, with_sources
from t2ibench.stats.intervals import Interval, normal_interval
from t2ibench.stats.paired import spell
from t2ibench.tracks.contract import SOURCES

TRACKS = ("adapt",)
QUESTIONS = {"structure_kept": "do images that were alike before the adaptation stay alike?"}


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the embedded attribute judge; or any by name
    fewest: int = 10  # images of each target


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`structure_kept`. Raises UserError below `fewest` latents."""
    extractor, sources = extractor_of(evidence, config.extractor), evidence.samples(SOURCES)
    targets = with_sources(evidence, sources, "structure", config.fewest)
    before = ranks(evidence.fake_features(extractor, SOURCES), sources)
    found, without = {}, {}
    for domain, samples in targets.items():
        after = (
            ranks(evidence.fake_features(extractor, evidence.targets[domain]), samples)
            if samples.ok.any()
            else np.zeros_like(before)
        )
        found[domain], without[domain] = correlation(before, after)
    value, leaving = float(np.mean(list(found.values()))), np.mean(list(without.values()), axis=0)
    asked = [[prompt.id, prompt.text, prompt.images] for prompt in evidence.prompts]
    own = {domain: interval(correlated, without[domain]) for domain, correlated in found.items()}
    return {
        "structure_kept": Estimate(
            value=value,
            ci=interval(value, leaving),
            n=len(sources),
            better="higher",
            protocol={
                **evidence.extractor_protocol(extractor),
                "prompts": digest(asked),
                "estimator": "Spearman correlation of pairwise distances before and after",
                "mean": "over targets",
            },
            interval="value +- 1.96 se, jackknife over latents",
            details={
                "targets": {
                    domain: {"n": len(sources), "value": found[domain], "ci": list(own[domain])} for domain in found
                },
                "failed": failures(evidence),
                "effects": {"made": spell((len(leaving) - 1) * (leaving.mean() - leaving))},
            },
        )
    }


def ranks(features: Tensor, samples: Samples) -> np.ndarray:
    """Ranks of the distances between all samples asked for, about a mean of 0: symmetric [N, N]; 0 on the diagonal and
    where one failed.
    """
    rows, count = samples.rows, len(samples)
    distances = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist").numpy()
    upper = np.triu_indices(len(rows), 1)
    found, made = np.zeros((count, count)), np.zeros((len(rows), len(rows)))
    if len(upper[0]):
        placed = rankdata(distances[upper])
        made[upper] = placed - placed.mean()
        found[np.ix_(rows, rows)] = made + made.T
    return found


def correlation(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Correlation over the pairs of two symmetric matrices [N, N] of mean 0, and without each latent in turn [N].

    0 where one of them is constant.
    """
    products, squares_a, squares_b = a * b, a * a, b * b
    whole = _ratio(np.array([m.sum() / 2 for m in (products, squares_a, squares_b)])[:, None])
    without = _ratio(np.stack([m.sum() / 2 - m.sum(1) for m in (products, squares_a, squares_b)]))
    return float(whole[0]), without


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Covariance over the roots of both variances, [3, N] to [N]."""
    scale = np.sqrt(sums[1] * sums[2])
    return np.divide(sums[0], scale, out=np.zeros_like(scale), where=scale > 1e-9)


def interval(value: float, without: np.ndarray) -> Interval:
    """Of a value and what it is without each latent [N]; cut at -1 and 1."""
    n = len(without)
    low, high = normal_interval(value, float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())))
    return max(low, -1.0), min(high, 1.0)
