"""Moved: the share of the edits that changed their source at all, in the region of what they ask for. In [0, 1], higher
is better.
"""

from dataclasses import dataclass

from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.intervals import wilson

TRACKS = ("edit",)
QUESTIONS = {"moved": "does an edit change the pixels of its part?"}


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    edits, sources = evidence.samples("edits"), evidence.samples("sources")
    before = dict(zip(sources.k, range(len(sources)), strict=True))
    moved = []
    for row in edits.rows:
        prompt, source = edits.prompts[row], before[edits.k[row]]
        if sources.ok[source]:
            region = evidence.region(prompt.tags["attribute"])
            assert region is not None
            changed = (edits.store.read([row])[0] != sources.store.read([source])[0]).any(axis=0)
            moved.append(bool(changed[region].any()))
    interval = wilson(sum(moved), len(moved))
    return {"moved": Estimate(sum(moved) / len(moved), interval, len(moved), "higher", {"edits": len(edits)}, "Wilson")}
