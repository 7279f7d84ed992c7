"""Shade: the mean grey level of the images, known without error, so that any other mean is a difference. No
direction.
"""

from dataclasses import dataclass

from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence

QUESTIONS = {"shade": "how light are the images?"}


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    images = evidence.samples("captions").images
    mean = float(images.mean())
    return {"shade": Estimate(mean, (mean, mean), len(images), "none", {"levels": 256}, "none")}
