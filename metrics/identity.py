"""Identity: how alike source and edited image are in what makes the person. Mean cosine in [-1, 1]; higher is better.

`arcface_similarity` is computed if a file of ArcFace's weights is given. It compares the face features of StyleCLIP's
identity loss, on the same crop (`t2ibench/networks/arcface.py`), and is meant for photographs aligned as in FFHQ.

`face_similarity` is computed otherwise, from the attribute judge's penultimate features. It is not face recognition: no
network was trained to tell these people apart, and no threshold says "the same person". The features describe the whole
image, so they are changed in two ways before the cosine:

- They are centred on the mean of the real images; otherwise the cosine of any two faces is near 1.
- The directions of clothes and background are projected out, and with them the directions of the edited attribute and
  of the attributes that its new value covers (nuisance attribute projection; Solomonoff et al., ICASSP 2005). The
  directions come from a linear regression of the real images' features on all attributes at once, so an attribute that
  is only correlated with a nuisance stays.

An image that did not change scores 1. Another person scores about `another_source` of the details, the mean over
neighbouring sources. The projection is linear and the features are not, so a perfect edit scores below 1. How far below
depends on the edit, so compare methods on the same edits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import attribute_of, canonical, covers
from t2ibench.scoring.edits import EditPairs, check_literals, edit_pairs, interval, literal, per_source
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.finite import finite
from t2ibench.tracks.contract import EDITS, SOURCES

TRACKS = ("edit",)
ROUNDING = 1e-6  # directions shorter than this share of the longest do not count
QUESTIONS = {"face_similarity": "is it still the same person?", "arcface_similarity": "is it still the same person?"}


@dataclass(frozen=True)
class Config:
    arcface: str | None = None  # the file model_ir_se50.pth; without it no number is called ArcFace's
    # attributes that are not of the person; those that a data set does not have are ignored
    nuisance: tuple[str, ...] = ("background", "clothing", "clothing_colour")


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`arcface_similarity` or `face_similarity`.

    Raises UserError below two sources. For ArcFace also if the file is missing or has other weights; otherwise also for
    a data set without attributes or with too few real images.
    """
    pairs, further = edit_pairs(evidence), dict[str, Any]()
    if config.arcface is not None:
        name, extractor = "arcface_similarity", f"arcface:{config.arcface}"
        values, others = plain(evidence, pairs, extractor)
        further["estimator"] = "mean cosine"
    else:
        check_literals(pairs, "identity without arcface")
        name, extractor = "face_similarity", evidence.judge
        values, others = without_nuisance(evidence, pairs, config.nuisance)
        further["estimator"] = "mean cosine of centred features without nuisance directions"
        further |= {
            "nuisance": list(config.nuisance),
            "reference": evidence.reference.contents,
            "train": evidence.train.described,
        }
    estimate = Estimate(
        value=float(values.mean()),
        ci=interval(values, pairs.k, derive_seed(evidence.seed, name)),
        n=len(values),
        better="higher",
        protocol={**evidence.extractor_protocol(extractor), **pairs.protocol, **further},
        interval="BCa bootstrap over sources",
        details={
            **pairs.counts,
            "another_source": float(others.mean()),
            "edits": pairs.by_edit(values),
            "another_source_by_edit": {edit: row["mean"] for edit, row in pairs.by_edit(others).items()},
            "per_sample": per_source(values, pairs.k, pairs.asked),
        },
    )
    return {name: estimate}


def plain(evidence: Evidence, pairs: EditPairs, extractor: str) -> tuple[np.ndarray, np.ndarray]:
    """The cosine of each edit pair, [N], and the mean cosine of two neighbouring sources, repeated N times."""
    edited, sources = (evidence.fake_features(extractor, group).double().numpy() for group in (EDITS, SOURCES))
    return cosines(sources[pairs.source], edited[pairs.edited]), np.full(len(pairs), neighbours(sources))


def without_nuisance(evidence: Evidence, pairs: EditPairs, nuisance: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """The same as `plain`, of the judge's features, centred and projected for each edit."""
    table, train = evidence.reference.attributes, evidence.train.attributes
    if table is None or train is None:
        raise UserError(
            f"{evidence.train.dataset} has no attributes that could be told from the person: leave identity out"
        )
    real, covered_by = evidence.real_features(evidence.judge).double().numpy(), covers(train)
    edited, sources = (
        evidence.fake_features(evidence.judge, group).double().numpy() - real.mean(0) for group in (EDITS, SOURCES)
    )
    effects = attribute_effects(real, table)
    asked = np.array([literal(prompt) for prompt in pairs.prompts], dtype=object)
    values, others = np.empty(len(pairs)), np.empty(len(pairs))
    for edit in dict.fromkeys(asked):
        covered = [attribute for attribute, by in covered_by.items() if edit in by]
        removed = dict.fromkeys([*nuisance, attribute_of(edit), *covered])
        taken = [effects[attribute] for attribute in removed if attribute in effects]
        out, rows = without(taken, real.shape[1]), asked == edit
        before = sources @ out
        values[rows] = cosines(before[pairs.source[rows]], edited[pairs.edited[rows]] @ out)
        others[rows] = neighbours(before)
    return values, others


def attribute_effects(features: np.ndarray, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The effect of each attribute value on the features, with the other attributes held fixed.

    features: [N, D]. table: the attributes of the N images.
    Returns float64 [values, D] for each attribute; its rows sum to 0.

    Least squares with one column for each value. A column is centred over the rows that show the attribute and 0 on the
    others, so the effect of being covered counts for the covering value. Raises UserError unless there are more images
    than columns.
    """
    finite("identity", features=features)
    values = canonical(table, map(str, table.columns))
    blocks: dict[str, np.ndarray] = {}
    for name in values:
        columns, seen = pd.get_dummies(values[name]).to_numpy(float), values[name].notna().to_numpy()
        if columns.shape[1] > 1:
            blocks[name] = np.where(seen[:, None], columns - columns[seen].mean(0), 0.0)
    design = np.concatenate([np.ones((len(values), 1)), *blocks.values()], axis=1)
    if len(design) <= design.shape[1]:
        raise UserError(
            f"identity: {len(design)} real images for {design.shape[1]} attribute values: use a larger reference"
        )
    weights = np.linalg.lstsq(design, features, rcond=None)[0][1:]
    ends = np.cumsum([block.shape[1] for block in blocks.values()])[:-1]
    parts = zip(blocks, np.split(weights, ends), strict=False) if blocks else []
    return {name: rows - rows.mean(0) for name, rows in parts}


def without(effects: list[np.ndarray], dimension: int) -> np.ndarray:
    """The projection [D, D] that removes the span of all rows [·, D] from features; multiply it from the right."""
    finite("identity", effects=np.concatenate([np.zeros((1, dimension)), *effects]))
    rows = np.concatenate([np.zeros((1, dimension)), *effects])
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    basis = directions[lengths > ROUNDING * lengths.max()]
    return np.eye(dimension) - basis.T @ basis


def neighbours(sources: np.ndarray) -> float:
    """The mean cosine of each row with the one before it [N, D]: two different people."""
    return float(cosines(sources, np.roll(sources, 1, axis=0)).mean())


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of a with the same row of b, both [N, D]: [N] in [-1, 1].

    Equal rows have cosine 1. If one of the rows is zero the cosine is 0. Raises ValueError for numbers that are not
    finite.
    """
    finite("identity", a=a, b=b)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.clip(np.divide((a * b).sum(1), lengths, out=np.zeros(len(a)), where=lengths > 0), -1, 1)
