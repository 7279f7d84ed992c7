"""Alike: the share of compositions that are A itself, pixel by pixel. In [0, 1], higher is better."""

from dataclasses import dataclass

import numpy as np

from t2ibench.core.records import Estimate
from t2ibench.scoring.compositions import compositions
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.intervals import wilson

TRACKS = ("compose",)
QUESTIONS = {"alike": "is an image the one that its conditions were taken from?"}


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    made = compositions(evidence)
    same = np.concatenate(
        [(one.samples.images == made.sources.images[one.a]).all((1, 2, 3)) for one in made.tasks if len(one.a)]
    )
    hits = int(same.sum())
    return {"alike": Estimate(hits / len(same), wilson(hits, len(same)), len(same), "higher", made.protocol, "Wilson")}
