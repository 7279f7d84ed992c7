"""Made images of each target domain beside real ones of that domain, and what the mean over the targets is worth.

Images of all targets are made of the same latents, so what is drawn at random is a latent, with its images in every target; the real
images are each target's own. The targets are a fixed set: an interval says nothing about domains that were not asked for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from t2ibench.evidence import Evidence
from t2ibench.feature_sets import FeatureSets, extractor_of, sets_of
from t2ibench.records import digest
from t2ibench.statistics import standard_error


def target_sets(evidence: Evidence, extractor: str, fewest: int) -> dict[str, FeatureSets]:
    """By domain, the made and the real images seen by one extractor; clusters are latents. Raises UserError below `fewest` a side."""
    found = {}
    for domain, group in evidence.targets.items():
        samples = evidence.samples(group)
        latents = [str(samples.k[row]) for row in samples.rows]
        found[domain] = sets_of(evidence, extractor_of(evidence, extractor), group, evidence.target(domain), latents, fewest)
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
    """Standard error, over latents, of a mean over targets. effects: by target, how much each image moves its value (influence, [n])."""
    total = sum(len(labels) for labels in latents.values())
    scaled = [np.asarray(effects[domain], float) * total / (len(effects) * len(latents[domain])) for domain in effects]
    return standard_error(np.concatenate(scaled), [label for domain in effects for label in latents[domain]])


def mean_error_of_real(effects: Mapping[str, ArrayLike]) -> float:
    """Standard error, over real images, of a mean over targets, each with images of its own."""
    errors = [standard_error(values) for values in effects.values()]
    return float(np.hypot.reduce(errors) / len(errors))
