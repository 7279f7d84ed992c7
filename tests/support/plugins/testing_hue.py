"""Hue: the share of the images whose brightest channel is the colour that the text names. In [0, 1], higher is
better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t2ibench.checks.contracts.squares import COLOURS
from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.intervals import wilson

READS_TEXTS = True
QUESTIONS = {"hue": "is an image of the colour that its text names?"}


@dataclass(frozen=True)
class Config:
    least: int = 2  # images needed


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    samples = evidence.samples("captions")
    hits = right(samples.images, [samples.prompts[row].text for row in samples.rows])
    if len(hits) < config.least:
        raise ValueError(f"hue needs {config.least} images, got {len(hits)}")
    protocol = {"least": config.least, "reference": evidence.reference.digest}
    return {
        "hue": Estimate(float(hits.mean()), wilson(int(hits.sum()), len(hits)), len(hits), "higher", protocol, "Wilson")
    }


def right(images: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Whether the brightest channel is the named colour, bool [N]."""
    named = np.array([next(i for i, colour in enumerate(COLOURS) if colour in text.split()) for text in texts])
    return images.reshape(len(images), 3, -1).mean(2).argmax(1) == named
