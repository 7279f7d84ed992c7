"""Made and real images of each target domain, and the errors of a mean over the targets.

The images of all targets are made from the same latents. So the independent draws are the latents, each with its images
in every target. The real images are different ones for each target. The targets are a fixed set: an interval says
nothing about domains that were not asked for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from t2ibench.core.errors import UserError
from t2ibench.core.records import digest
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import FeatureSets, extractor_of, sets_of
from t2ibench.stats.intervals import standard_error
from t2ibench.stats.paired import by_prompt, spell


def target_sets(evidence: Evidence, extractor: str, fewest: int) -> dict[str, FeatureSets]:
    """For each domain, features of the made and of the real images. Clusters are latents.

    Raises UserError for a side with fewer than `fewest` images.
    """
    sets = {}
    for domain, group in evidence.targets.items():
        samples = evidence.samples(group)
        latents = [str(samples.k[row]) for row in samples.rows]
        sets[domain] = sets_of(
            evidence, extractor_of(evidence, extractor), group, evidence.target(domain), latents, fewest
        )
    return sets


def with_sources(evidence: Evidence, sources: Samples, metric: str, fewest: int) -> dict[str, Samples]:
    """For each domain, the samples of the target, which have the same latents as the sources.

    Raises UserError for fewer than `fewest` latents, and for a target with other latents; `metric` begins the line.
    """
    if len(sources) < fewest:
        raise UserError(f"{metric}: {len(sources)} latents, at least {fewest} are needed: ask for more images")
    targets = {domain: evidence.samples(group) for domain, group in evidence.targets.items()}
    for domain, samples in targets.items():
        if list(samples.k) != list(sources.k):
            raise UserError(f"{metric}: {domain} has other latents than the sources: ask for as many of each")
    return targets


def protocol(sets: Mapping[str, FeatureSets]) -> dict[str, Any]:
    """What decides a number that is a mean over targets: the extractor, and a digest of the protocol of each target."""
    of_target = ("group", "prompts", "images", "reference", "reference_images")
    [first, *_] = sets.values()
    shared = {key: value for key, value in first.protocol.items() if key not in of_target}
    return {
        **shared,
        "mean": "over targets",
        "targets": digest({domain: features.protocol for domain, features in sets.items()}),
        "of": len(sets),
    }


def failures(evidence: Evidence) -> dict[str, int]:
    """How many images each target lacks; targets that lack none are left out."""
    counts = {domain: int((~evidence.samples(group).ok).sum()) for domain, group in evidence.targets.items()}
    return {domain: count for domain, count in counts.items() if count}


def mean_error(effects: Mapping[str, ArrayLike], latents: Mapping[str, list[str]]) -> float:
    """Standard error of a mean over targets, for the draw of the latents.

    effects: for each target, how much each made image moves the value of the target (influence), [n].
    latents: for each target, the label of the latent of each image.
    """
    return standard_error(_of_mean(effects), [label for domain in effects for label in latents[domain]])


def mean_error_of_real(effects: Mapping[str, ArrayLike]) -> float:
    """Standard error of a mean over targets, for the draw of the real images, which no two targets share.

    effects: for each target, how much each real image moves the value of the target, [m].
    """
    errors = [standard_error(values) for values in effects.values()]
    return float(np.hypot.reduce(errors) / len(errors))


def effects_on_mean(
    evidence: Evidence, of_fake: Mapping[str, ArrayLike], of_real: Mapping[str, ArrayLike]
) -> dict[str, str]:
    """First-order effects on a mean over targets, as a record keeps them for tests that compare methods.

    The effect of a latent is that of all its images.

    of_fake: for each target, effects of the made images, [n].
    of_real: for each target, effects of the real images, [m].
    """
    samples = [evidence.samples(evidence.targets[domain]) for domain in of_fake]
    latents, ok = [str(k) for target in samples for k in target.k], np.concatenate([target.ok for target in samples])
    return {
        "made": by_prompt(_of_mean(of_fake), latents, ok),
        "real": spell(np.concatenate([np.asarray(of_real[d]) for d in of_fake])),
    }


def _of_mean(effects: Mapping[str, ArrayLike]) -> np.ndarray:
    """Effects [n] on the value of each target, turned into effects on the mean of the values and concatenated."""
    arrays = [np.asarray(values, float) for values in effects.values()]
    total = sum(map(len, arrays))
    return np.concatenate([values * total / (len(arrays) * len(values)) for values in arrays])
