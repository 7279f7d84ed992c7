"""What judges the attributes of an image: the attribute judge of a data set, or cross-fitted heads on features.

The heads are for data sets that have no attribute judge.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.cache import cached
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.attributes import attribute_of, canonical, indicators, likeliest
from t2ibench.data.split import Split
from t2ibench.scoring.attribute_pairs.cross_fit import (
    FOLDS,
    STEPS,
    STRENGTHS,
    CrossFitted,
    cross_fit,
    unpacked,
    values_of,
)
from t2ibench.scoring.evidence import Evidence


@dataclass(frozen=True)
class PairJudge:
    """A judge of attributes, and the real images on which its errors are counted.

    reference: real images that did not train the judge.
    fake: values of the made images of a group; the index is `samples(group).rows`.
    real: values of the images of a split.
    probabilities: P(literal) of the images of a split, one column for each literal.
    render: makes more such real images; None if the data set cannot, or if the judge is trained on the split.
    protocol: what decides the judgements.
    """

    reference: Split
    fake: Callable[[str], pd.DataFrame]
    real: Callable[[Split], pd.DataFrame]
    probabilities: Callable[[Split], pd.DataFrame]
    render: Callable[[Mapping[str, str], int], Split] | None
    protocol: Mapping[str, Any]


def pair_judge(evidence: Evidence, probe: str, groups: str) -> PairJudge:
    """The judge of a cell.

    probe: name of an extractor, for heads on its features that are cross-fitted on the training split; empty: the
        attribute judge of the data set.
    groups: an attribute such as the identity or the species; all images with one value of it stay in one fold. Empty:
        each image is a group of its own.
    """
    if not probe:
        render = evidence.pair_images if evidence.can_render else None
        protocol = evidence.extractor_protocol(evidence.judge)
        return PairJudge(
            evidence.reference,
            evidence.fake_attributes,
            evidence.real_attributes,
            evidence.real_probabilities,
            render,
            protocol,
        )
    train = evidence.train
    assert train.attributes is not None
    assert train.vocabulary is not None
    if groups and groups not in train.attributes:
        raise UserError(
            f"groups: {train.dataset} has no attribute "
            f"{groups!r}{did_you_mean(groups, map(str, train.attributes.columns))}"
        )
    protocol = {
        **evidence.extractor_protocol(probe),
        "judge": "cross-fitted",
        "groups": groups,
        "train": train.contents,
    }
    protocol |= {"folds": FOLDS, "strengths": list(STRENGTHS), "steps": STEPS}
    table = train.attributes[[name for name in train.vocabulary.phrases if name != groups]]
    labels = list(map(str, train.attributes[groups])) if groups else list(train.ids)
    fitted = stored(
        lambda: cross_fit(evidence.real_features(probe, train), table, labels), table, protocol, evidence.models.cache
    )

    def made(group: str) -> pd.DataFrame:
        probabilities = fitted.probabilities(evidence.fake_features(probe, group))
        return likeliest(probabilities, fitted.attributes).set_index(evidence.samples(group).rows)

    def out_of_fold(split: Split) -> pd.DataFrame:
        assert split is train, "other images have no answers out of fold"
        return fitted.out_of_fold

    return PairJudge(
        train, made, lambda split: likeliest(out_of_fold(split), fitted.attributes), out_of_fold, None, protocol
    )


def literal_hits(evidence: Evidence, judge: PairJudge, group: str, literals: Sequence[str]) -> np.ndarray:
    """Whether the judge sees each literal in each sample, bool [N, L].

    It is false for a sample without an image, and for a literal of an attribute that the judge does not know.
    """
    samples = evidence.samples(group)
    hits = np.zeros((len(samples.prompts), len(literals)), bool)
    if samples.ok.any():
        judged = judge.fake(group)
        known = [index for index, literal in enumerate(literals) if attribute_of(literal) in judged]
        values = canonical(judged, dict.fromkeys(attribute_of(literals[index]) for index in known))
        hits[np.flatnonzero(samples.ok)[:, None], known] = indicators(values, [literals[index] for index in known])
    return hits


def stored(fit: Callable[[], CrossFitted], table: pd.DataFrame, key: Mapping[str, Any], folder: Path) -> CrossFitted:
    """Heads that are fitted once and then read from the cache, so that all methods have the same judge.

    The first call, too, returns what the cache keeps of them, which is float32.

    fit: fits the heads.
    table: the attributes of the images that they are fitted on.
    key: everything that decides the heads.
    folder: the cache.
    """
    fitted = cache(fit)
    answers = cached(folder, ["cross-fit", "answers", dict(key)], lambda: fitted().out_of_fold.to_numpy())
    heads = cached(folder, ["cross-fit", "heads", dict(key)], lambda: fitted().packed())
    return unpacked(values_of(table), answers, heads)
