"""Made images of each target domain beside real ones of that domain, and what the mean over the targets is worth.

Images of all targets are made of the same latents, so what is drawn at random is a latent, with its images in every
target; the real images are each target's own. The targets are a fixed set: an interval says nothing about domains that
were not asked for.
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
    """By domain, the made and the real images seen by one extractor; clusters are latents.

    Raises UserError below `fewest` a side.
    """
    found = {}
    for domain, group in evidence.targets.items():
        samples = evidence.samples(group)
        latents = [str(samples.k[row]) for row in samples.rows]
        found[domain] = sets_of(
            evidence, extractor_of(evidence, extractor), group, evidence.target(domain), latents, fewest
        )
    return found


def with_sources(evidence: Evidence, sources: Samples, metric: str, fewest: int) -> dict[str, Samples]:
    """By domain, the images of a target, all of the latents of the sources.

    Raises UserError below `fewest` latents, and for others.
    """
    if len(sources) < fewest:
        raise UserError(f"{metric}: {len(sources)} latents, at least {fewest} are needed: ask for more images")
    found = {domain: evidence.samples(group) for domain, group in evidence.targets.items()}
    for domain, samples in found.items():
        if list(samples.k) != list(sources.k):
            raise UserError(f"{metric}: {domain} has other latents than the sources: ask for as many of each")
    return found


def protocol(sets: Mapping[str, FeatureSets]) -> dict[str, Any]:
    """Of a number that is a mean over targets: the extractor, and by domain what decides that target's number."""
    own = ("group", "prompts", "images", "reference", "reference_images")
    [first, *_] = sets.values()
    shared = {key: value for key, value in first.protocol.items() if key not in own}
    return {
        **shared,
        "mean": "over targets",
        "targets": digest({domain: found.protocol for domain, found in sets.items()}),
        "of": len(sets),
    }


def failures(evidence: Evidence) -> dict[str, int]:
    """How many images each target lacks; targets that lack none are left out."""
    counts = {domain: int((~evidence.samples(group).ok).sum()) for domain, group in evidence.targets.items()}
    return {domain: count for domain, count in counts.items() if count}


def mean_error(effects: Mapping[str, ArrayLike], latents: Mapping[str, list[str]]) -> float:
    """Standard error, over latents, of a mean over targets. effects: by target, how much each image moves its value
    (influence, [n]).
    """
    return standard_error(_of_mean(effects), [label for domain in effects for label in latents[domain]])


def mean_error_of_real(effects: Mapping[str, ArrayLike]) -> float:
    """Standard error, over real images, of a mean over targets, each with images of its own."""
    errors = [standard_error(values) for values in effects.values()]
    return float(np.hypot.reduce(errors) / len(errors))


def effects_on_mean(
    evidence: Evidence, of_fake: Mapping[str, ArrayLike], of_real: Mapping[str, ArrayLike]
) -> dict[str, str]:
    """First-order effects on a mean over targets as a record keeps them for pairs: of every latent (all its images), of
    every real image.

    of_fake, of_real: by target, of the made images [n] and of the real ones [m].
    """
    samples = [evidence.samples(evidence.targets[domain]) for domain in of_fake]
    latents, ok = [str(k) for own in samples for k in own.k], np.concatenate([own.ok for own in samples])
    return {
        "made": by_prompt(_of_mean(of_fake), latents, ok),
        "real": spell(np.concatenate([np.asarray(of_real[d]) for d in of_fake])),
    }


def _of_mean(effects: Mapping[str, ArrayLike]) -> np.ndarray:
    """Effects [n] on each target's value as effects on the mean of the values, one after the other."""
    arrays = [np.asarray(own, float) for own in effects.values()]
    total = sum(map(len, arrays))
    return np.concatenate([own * total / (len(arrays) * len(own)) for own in arrays])
