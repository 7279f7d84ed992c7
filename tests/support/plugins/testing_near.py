"""Near: how far the mean colour of a target's images is from that of real ones, in grey levels, over the targets. Lower
is better.
"""

from dataclasses import dataclass

import numpy as np

from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence

TRACKS = ("adapt",)
QUESTIONS = {"near": "how far is the mean colour from that of real images?"}


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    gaps = {}
    for domain, group in evidence.targets.items():
        real = evidence.target(domain)
        means = [
            images.mean((0, 2, 3)) for images in (evidence.samples(group).images, real.images.read(range(len(real))))
        ]
        gaps[domain] = float(np.abs(means[0] - means[1]).mean())
    value = float(np.mean(list(gaps.values())))
    protocol = {"targets": {domain: evidence.target(domain).digest for domain in gaps}}
    return {"near": Estimate(value, (value, value), len(gaps), "lower", protocol, "none", {"gaps": gaps})}
