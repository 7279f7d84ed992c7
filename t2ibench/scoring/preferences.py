"""The values of networks that were trained to tell which of two images people prefer for a text.

A network of this kind gives each image of a caption a number. Such numbers compare for one caption: which of two images
fits it better. So methods are compared prompt by prompt, as the records allow (`per_sample`), and a mean over other
prompts is another number. A method that was trained on such a network wins by it; its record says so (`judge_overlap`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate, digest
from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import clusters, made_for
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.stats.paired import spell


def texts_of(evidence: Evidence, group: str, metric: str) -> list[str]:
    """The text of every image that exists, in the order of the features.

    Raises UserError, begun with `metric`, below two images.
    """
    samples = evidence.samples(group)
    texts = [prompt.text for prompt, ok in zip(samples.prompts, samples.ok, strict=True) if ok]
    if len(texts) < 2:
        raise UserError(f"{metric}: {len(texts)} made images of {group!r}, at least 2 are needed for an interval")
    if "" in texts:
        raise UserError(f"{metric}: the images came without texts: give --prompts, or leave {metric} out")
    return texts


def check_there(metric: str, path: str, advice: str) -> None:
    """Raises UserError for a file or folder of weights that is not there; `advice` says where it is published."""
    if not Path(path).exists():
        raise UserError(f"{metric}: {path} is missing: {advice}")


def estimate(
    evidence: Evidence, id: str, group: str, values: np.ndarray, protocol: Mapping[str, Any], details: Mapping[str, Any]
) -> Estimate:
    """The mean of the values of all images, [M]; the details keep that of each sample."""
    finite(id, values=values)
    samples = evidence.samples(group)
    every = np.full(len(samples), np.nan)
    every[samples.rows] = values
    return Estimate(
        value=float(values.mean()),
        ci=cluster_mean_interval(values, clusters(made_for(evidence, group)), derive_seed(evidence.seed, id)),
        n=len(values),
        better="higher",
        protocol=protocol,
        interval="BCa bootstrap over prompts",
        details={**details, "sd": float(values.std(ddof=1)), "per_sample": spell(every, 6)},
    )


def asked(evidence: Evidence, group: str) -> dict[str, Any]:
    """The prompts that were asked for, as protocols name them. Real images do not enter it."""
    samples = evidence.samples(group)
    rows = [[prompt.text, k] for prompt, k in zip(samples.prompts, samples.k, strict=True)]
    return {"group": group, "prompts": digest(rows), "images": len(rows)}
