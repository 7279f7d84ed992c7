"""What judges the attributes of an image: the attribute judge of a data set, cross-fitted heads on features, or a model
that answers questions.

The heads are for data sets that have no attribute judge, the questions for those on which none can be trained.
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
from t2ibench.networks.vqa.contract import NO, YES, Answers, counted
from t2ibench.networks.vqa.questions import about, filled
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

VQA = "vqa:"  # begins the name of a judge that answers questions
YES_OR_NO = "{} Please answer yes or no."


@dataclass(frozen=True)
class PairJudge:
    """A judge of attributes, and the real images on which its errors are counted.

    reference: real images that did not train the judge.
    fake: values of the made images of a group; the index is `samples(group).rows`.
    real: values of the images of a split.
    probabilities: P(literal) of the images of a split, one column for each literal.
    render: makes more such real images; None if the data set cannot, or if the judge is trained on the split.
    protocol: what decides the judgements.
    outcomes: how many questions about made images were answered, malformed and failed, by group; empty for a judge
        that is not asked.
    """

    reference: Split
    fake: Callable[[str], pd.DataFrame]
    real: Callable[[Split], pd.DataFrame]
    probabilities: Callable[[Split], pd.DataFrame]
    render: Callable[[Mapping[str, str], int], Split] | None
    protocol: Mapping[str, Any]
    outcomes: Callable[[], Mapping[str, Mapping[str, int]]] = dict


def pair_judge(evidence: Evidence, probe: str, groups: str, judge: str = "", literals: Sequence[str] = ()) -> PairJudge:
    """The judge of a cell.

    probe: name of an extractor, for heads on its features that are cross-fitted on the training split; empty: the
        attribute judge of the data set.
    groups: an attribute such as the identity or the species; all images with one value of it stay in one fold. Empty:
        each image is a group of its own.
    judge: "vqa:NAME" for a model that is asked about `literals`; empty: as the other two say.
    """
    if judge:
        return vqa_judge(evidence, judge.removeprefix(VQA), literals)
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


def vqa_judge(evidence: Evidence, name: str, literals: Sequence[str]) -> PairJudge:
    """A judge that is asked one yes-or-no question about each literal: "Does this person have long hair?".

    The value of an attribute is the literal with the largest P(yes) among those to which the answer is yes; None if
    there is none. A malformed answer is no yes. P(literal) is P(yes) / (P(yes) + P(no)).

    name: of a model, as of `Models.vqa`. Raises UserError without a vocabulary.
    """
    vocabulary, sets = evidence.train.vocabulary, (YES, NO)
    if vocabulary is None:
        raise UserError(f"{evidence.train.dataset} has no words for its attributes, so {VQA}{name} cannot be asked")
    questions = [filled(YES_OR_NO, about(vocabulary, literal)) for literal in literals]
    outcomes: dict[str, Mapping[str, int]] = {}

    def asked(rows: Sequence[int]) -> list[tuple[int, str]]:
        return [(row, question) for row in rows for question in questions]

    def made(group: str) -> pd.DataFrame:
        rows = [int(row) for row in evidence.samples(group).rows]
        answers = evidence.fake_answers(name, asked(rows), sets, group)
        outcomes[group] = counted(answers.chosen)
        return said(answers, literals).set_index(pd.Index(rows))

    def of(split: Split) -> Answers:
        return evidence.real_answers(name, asked(range(len(split))), sets, split)

    def probabilities(split: Split) -> pd.DataFrame:
        given = of(split).probabilities.astype(np.float64)
        share = given[:, 0] / np.maximum(given.sum(1), 1e-12)
        return pd.DataFrame(share.reshape(-1, len(literals)), columns=list(literals))

    protocol = {
        **evidence.vqa_protocol(name, sets),
        "judge": "questions",
        "template": YES_OR_NO,
        "questions": questions,
    }
    render = evidence.pair_images if evidence.can_render else None
    return PairJudge(
        evidence.reference,
        made,
        lambda split: said(of(split), literals),
        probabilities,
        render,
        protocol,
        lambda: dict(outcomes),
    )


def said(answers: Answers, literals: Sequence[str]) -> pd.DataFrame:
    """The value of every attribute, one row an image, from the answers to one question about each literal.

    answers: of the first image about every literal, then of the second …
    """
    p = np.where(answers.chosen == 0, answers.probabilities[:, 0], -1.0).reshape(-1, len(literals))
    columns: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(map(attribute_of, literals)):
        members = [k for k, literal in enumerate(literals) if attribute_of(literal) == name]
        values = np.array([*(literals[k].partition("=")[2] for k in members), None], dtype=object)
        best = np.where(p[:, members].max(1) < 0, len(members), p[:, members].argmax(1))
        columns[name] = values[best]
    return pd.DataFrame(columns, dtype=object)


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
