"""Who says which attributes an image shows: the attribute judge of a data set, or heads cross-fitted on features that
it has none for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
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
    """made: values of the images of a group, indexed by its rows. real, probabilities: values and P(literal) of a
    split.

    reference: real images that the judge's errors may be counted on. render: makes more of them, where the data set can
    and the judge has seen none of them.
    """

    reference: Split
    made: Callable[[str], pd.DataFrame]
    real: Callable[[Split], pd.DataFrame]
    probabilities: Callable[[Split], pd.DataFrame]
    render: Callable[[Mapping[str, str], int], Split] | None
    protocol: Mapping[str, Any]


def pair_judge(evidence: Evidence, probe: str, groups: str) -> PairJudge:
    """The attribute judge of the data set; or, where `probe` names an extractor, heads on its features, cross-fitted on
    the training split.

    groups: the attribute whose images stay in one fold (an identity, a species); none: each image is a group.
    """
    if not probe:
        render = evidence.pair_images if evidence.can_render else None
        own = evidence.extractor_protocol(evidence.judge)
        return PairJudge(
            evidence.reference,
            evidence.fake_attributes,
            evidence.real_attributes,
            evidence.real_probabilities,
            render,
            own,
        )
    train = evidence.train
    assert train.attributes is not None
    assert train.vocabulary is not None
    if groups and groups not in train.attributes:
        raise UserError(
            f"groups: {train.dataset} has no attribute "
            f"{groups!r}{did_you_mean(groups, map(str, train.attributes.columns))}"
        )
    own = {**evidence.extractor_protocol(probe), "judge": "cross-fitted", "groups": groups, "train": train.digest}
    own |= {"folds": FOLDS, "strengths": list(STRENGTHS), "steps": STEPS}
    table = train.attributes[[name for name in train.vocabulary.phrases if name != groups]]
    labels = list(map(str, train.attributes[groups])) if groups else list(train.ids)
    fitted = stored(lambda: cross_fit(evidence.real_features(probe, train), table, labels), table, own)

    def made(group: str) -> pd.DataFrame:
        seen = fitted.probabilities(evidence.fake_features(probe, group))
        return likeliest(seen, fitted.attributes).set_index(evidence.samples(group).rows)

    def out_of_fold(split: Split) -> pd.DataFrame:
        assert split is train, "other images have no answers out of fold"
        return fitted.out_of_fold

    return PairJudge(
        train, made, lambda split: likeliest(out_of_fold(split), fitted.attributes), out_of_fold, None, own
    )


def literal_hits(evidence: Evidence, judge: PairJudge, group: str, literals: Sequence[str]) -> np.ndarray:
    """Whether the judge sees each literal in each sample, bool [N, L]; a sample without an image has none, nor has an
    unknown attribute.
    """
    samples = evidence.samples(group)
    hits = np.zeros((len(samples.prompts), len(literals)), bool)
    if samples.ok.any():
        judged = judge.made(group)
        known = [index for index, literal in enumerate(literals) if attribute_of(literal) in judged]
        values = canonical(judged, dict.fromkeys(attribute_of(literals[index]) for index in known))
        hits[np.flatnonzero(samples.ok)[:, None], known] = indicators(values, [literals[index] for index in known])
    return hits


def stored(fit: Callable[[], CrossFitted], table: pd.DataFrame, key: Mapping[str, Any]) -> CrossFitted:
    """Heads that are fitted once for all methods, of what `cache.cached` keeps of them (float32, also the first
    time).
    """
    made = cache(fit)
    answers = cached(["cross-fit", "answers", dict(key)], lambda: made().out_of_fold.to_numpy())
    heads = cached(["cross-fit", "heads", dict(key)], lambda: made().packed())
    return unpacked(values_of(table), answers, heads)
