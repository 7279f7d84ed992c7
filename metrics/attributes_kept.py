"""Attributes kept by an adaptation: the share whose value stays as in the source. In [0, 1]; higher is better.

An adapted image and its source come from one latent. The attribute judge was trained on the data set's own images, and
its answers on images of other domains are of little use. Its features still differ between attribute values. So for
each target a reader of these features is fitted on real images of both domains with known attributes. It reads source
and adapted image alike, so an image that did not change keeps everything.

An attribute counts in a target only if the reader passes the judge's gate (balanced accuracy) on other real images of
both domains. Hair colours in sepia images, for example, fail it. A domain whose real images have no known attributes
cannot be judged at all. `not_judged` in the details lists what does not count, and `targets` the domains that the
number covers. For the other domains see `structure`.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import covers
from t2ibench.data.split import Split
from t2ibench.scoring.attribute_reader import HIDDEN, RIDGE, Reader
from t2ibench.scoring.edits import edit_pairs, kept, kept_estimate, literal
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.judge_gate import Gate, JudgeOnReal
from t2ibench.tracks.contract import SOURCES

TRACKS = ("adapt",)
UNKNOWN = "no attributes of its real images are known"
QUESTIONS = {"attributes_kept": "how much of what an image showed is still there after the adaptation?"}


@dataclass(frozen=True)
class Config:
    lessons: Count = 3000  # real images of each domain that a reader learns from


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`attributes_kept`.

    Raises UserError for a data set without attributes, and if no attribute can be read in any target.
    """
    table = evidence.train.attributes
    if table is None or evidence.reference.attributes is None:
        raise UserError(f"{evidence.train.dataset} has no attributes that could be kept: leave attributes_kept out")
    pairs, gate = edit_pairs(evidence), Gate()
    domains = np.array([literal(prompt) for prompt in pairs.prompts], dtype=object)
    same = pd.DataFrame(np.nan, index=range(len(pairs)), columns=list(map(str, table.columns)))
    refused: dict[str, object] = {}
    start = 0  # of the group's images among the images of all groups
    for domain, group in evidence.targets.items():
        held_out, rows = evidence.target(domain), np.flatnonzero(domains == domain)
        reader = None if held_out.attributes is None else learned(evidence, domain, config.lessons)
        if reader is None:
            refused[domain] = UNKNOWN
        elif len(rows):
            unsure = failures(evidence, reader, (held_out, evidence.reference), gate)
            before, after = (reader.read(evidence.fake_features(evidence.judge, name)) for name in (SOURCES, group))
            attributes = before.iloc[pairs.source[rows]], after.iloc[pairs.edited[rows] - start]
            stayed = kept(*attributes, [pairs.prompts[int(row)] for row in rows], covers(table)).drop(
                columns=list(unsure)
            )
            same.loc[rows, list(stayed)] = stayed.to_numpy()
            if unsure:
                refused[domain] = unsure
        start += len(evidence.samples(group).rows)
    protocol = {
        **pairs.protocol,
        "judge": evidence.extractor_protocol(evidence.judge),
        "reader": {"hidden": HIDDEN, "ridge": RIDGE, "lessons": config.lessons},
        "reference": evidence.reference.contents,
        "targets": {domain: evidence.target(domain).contents for domain in evidence.targets},
        "train": evidence.train.described,
        "gate": asdict(gate),
    }
    return {
        "attributes_kept": kept_estimate(
            pairs, same, protocol, derive_seed(evidence.seed, "attributes_kept"), {"not_judged": refused}
        )
    }


def learned(evidence: Evidence, domain: str, lessons: int) -> Reader:
    """A reader fitted on real images of a target and of the data set itself."""
    splits = evidence.train.take(range(min(lessons, len(evidence.train)))), evidence.lessons(domain, lessons)
    features = torch.cat([evidence.real_features(evidence.judge, split) for split in splits])
    return Reader.of(features, pd.concat([split.attributes for split in splits], ignore_index=True))


def failures(evidence: Evidence, reader: Reader, splits: tuple[Split, ...], gate: Gate) -> dict[str, list[str]]:
    """For each attribute that fails the gate on one of the splits: the reasons."""

    def read(split: Split) -> pd.DataFrame:
        return reader.read(evidence.real_features(evidence.judge, split))

    reasons: dict[str, list[str]] = {}
    for split in splits:
        cells = JudgeOnReal(split, read, read, None, 0, gate)
        for name in reader.weights:
            if why := cells.attribute(name).failures:
                reasons.setdefault(name, []).extend(f"{split.name}: {reason}" for reason in why)
    return reasons
