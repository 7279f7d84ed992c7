"""How often people agree with the judge on the images of a method, and with one another; and which pairs are withheld.

n of the N images of a judged cell are drawn, so each counts with the weight w = N / n. Thus every number is about all
pair images of the method. It is sum(w a) / sum(w) (Hájek 1971), over the images for which every rater could tell the
answer. Its interval is Wilson's at Kish's effective n, sum(w)^2 / sum(w^2): the number of equally weighted images that
would tell as much.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t2ibench.checks.audit.answers import Answers
from t2ibench.core.errors import UserError
from t2ibench.data.attributes import attribute_of
from t2ibench.report.audits import KIND
from t2ibench.stats.intervals import score_interval

LEAST_AGREEMENT = 0.85  # a pair with less is withheld
# A pair with fewer images gets no verdict. With 10 images, a true agreement of 0.95 comes out below 0.85 nine times in
# a hundred.
LEAST_IMAGES = 10
ONE_RATER = (
    "one rater: the protocol asks for two who do not see each other's answers, and there is no kappa between raters"
)
CELL = np.array([2, 1])  # 2 i + j, as in t2ibench.stats.judge_errors


def audit_of(key: Mapping[str, Any], answers: Sequence[Answers]) -> dict[str, Any]:
    """The content of an audit, as JSON values.

    key: what `draw` wrote of the images. answers: what every rater said of them.

    It holds the agreement with the judge in the cell of a pair and in each attribute, the kappas in the cell, and a
    verdict on every pair. Raises UserError where there is no image whose two attributes every rater could tell.
    """
    drawn = key["drawn"]
    cells = [image["cell"] for image in drawn.values()]
    weights = np.array([key["judged_cells"][cell] / cells.count(cell) for cell in cells])
    judged = np.array([[int(digit) for digit in cell] for cell in cells])  # [M, 2]
    said = np.array(
        [[rater.said[image] for image in drawn] for rater in answers], float
    )  # [R, M, 2], NaN where it cannot be told
    told = ~np.isnan(said).any(axis=0)  # [M, 2]
    whole = told.all(axis=1)
    if not whole.any():
        raise UserError(
            f"{key['audit']}: there is no image of which the raters could tell both attributes, so nothing can be said"
        )
    seen, by_judge, counted = (said @ CELL)[:, whole], (judged @ CELL)[whole], weights[whole]
    agreed = (seen == by_judge).mean(0)  # of the raters
    attribute = np.array([[attribute_of(literal) for literal in image["literals"]] for image in drawn.values()])
    single, twice = (said == judged).mean(0), np.stack([weights, weights], 1)
    by_attribute = {name: told & (attribute == name) for name in dict.fromkeys(attribute.ravel().tolist())}
    pair = np.array([image["pair"] for image in drawn.values()])[whole]
    pairs = {name: pair_verdict(agreed[pair == name], counted[pair == name]) for name in dict.fromkeys(pair.tolist())}
    raters = {rater.rater: row for rater, row in zip(answers, seen, strict=True)}
    return {
        **{"schema": 1, "kind": KIND, "audit": key["audit"]},
        **{
            name: key[name]
            for name in (
                "suite",
                "track",
                "method",
                "seed",
                "identity",
                "images",
                "judge",
                "not_judged",
                "judged_cells",
            )
        },
        "drawn": len(drawn),
        "raters": {a.rater: {"cannot_tell": sum(None in both for both in a.said.values())} for a in answers},
        "agreement": {
            "cell": share(agreed, counted),
            "attributes": {name: share(single[rows], twice[rows]) for name, rows in by_attribute.items() if rows.any()},
        },
        "kappa": {
            "raters": [
                {"of": [a, b], **kappa(raters[a], raters[b], counted)} for a, b in itertools.combinations(raters, 2)
            ],
            "judge": [{"of": ["judge", a], **kappa(by_judge, raters[a], counted)} for a in raters],
        },
        "rule": {"agreement": LEAST_AGREEMENT, "images": LEAST_IMAGES},
        "pairs": pairs,
        "withheld": [name for name, row in pairs.items() if row["verdict"] == "withheld"],
        "notes": [ONE_RATER] if len(answers) == 1 else [],
    }


def share(agreed: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """The weighted mean of the agreement, with its interval.

    agreed: [M], for each image the share of the raters who agree with the judge, in [0, 1]. weights: [M].
    """
    value, effective = float(agreed @ weights / weights.sum()), float(weights.sum() ** 2 / (weights**2).sum())
    return {"value": value, "ci": list(score_interval(value, effective)), "n": len(agreed), "effective_n": effective}


def kappa(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Cohen's kappa (1960) of two raters who sorted the same images: (p - e) / (1 - e).

    p is their agreement, and e is the agreement that chance would give. The interval is the interval of p, put into the
    same formula with e held fixed, as in Cohen's standard error. Where the two always agree, it still has a width,
    unlike the delta method's and a bootstrap's; elsewhere it is rather too wide. Kappa is None where both gave the same
    answer to every image, so that e = 1.
    """
    weight = weights / weights.sum()
    agreed = (first == second).astype(float)
    chance = sum(float(weight[first == label].sum() * weight[second == label].sum()) for label in np.unique(first))
    if np.isclose(chance, 1):
        return {"kappa": None, "ci": None, "n": len(first)}
    agreement = share(agreed, weights)
    value, low, high = ((p - chance) / (1 - chance) for p in (agreement["value"], *agreement["ci"]))
    return {"kappa": value, "ci": [low, high], "n": len(first)}


def pair_verdict(agreed: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Whether a pair is kept or withheld, with its agreement. A pair with too few images has only their number."""
    if len(agreed) < LEAST_IMAGES:
        return {"n": len(agreed), "verdict": "too few images"}
    agreement = share(agreed, weights)
    return {**agreement, "verdict": "withheld" if agreement["value"] < LEAST_AGREEMENT else "kept"}
