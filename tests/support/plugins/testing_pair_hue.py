"""Pair hue: the same of prompts that the metric itself asks for, one for each colour and tone. In [0, 1], higher is
better.
"""

from dataclasses import dataclass

from testing_hue import right

from t2ibench.checks.contracts.squares import COLOURS, TONES
from t2ibench.core.records import Estimate
from t2ibench.data.split import Split
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.intervals import wilson
from t2ibench.tracks.contract import Prompt

QUESTIONS = {"pair_hue": "is an image of the colour that a prompt for colour and tone names?"}


@dataclass(frozen=True)
class Config:
    images: int = 2


def prompts(train: Split, reference: Split, config: Config) -> list[Prompt]:
    asked = [(colour, tone) for colour in COLOURS for tone in TONES]
    tags = [{"literals": [f"colour={colour}", f"tone={tone}"]} for colour, tone in asked]
    texts = [f"a {tone} {colour} square" for colour, tone in asked]
    return [
        Prompt(f"pairs/{text}", text, "pairs", config.images, None, tag) for text, tag in zip(texts, tags, strict=True)
    ]


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    samples = evidence.samples("pairs")
    hits = right(samples.images, [samples.prompts[row].text for row in samples.rows])
    interval = wilson(int(hits.sum()), len(hits))
    return {
        "pair_hue": Estimate(float(hits.mean()), interval, len(hits), "higher", {"images": config.images}, "Wilson")
    }
