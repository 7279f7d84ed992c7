"""CLIP R-precision: how often an image's own prompt is the nearest of 100 in a CLIP that judges. In [0, 1], higher is
better, chance 0.01.

The other 99 are drawn anew for every sample from the other prompts of the group, without replacement, those of the same
words left out; which ones depends on the sample alone, so every method meets the same. Xu et al. (CVPR 2018) rank with
the encoder that trained the generator, and Park et al. (NeurIPS 2021) draw from other classes with replacement: their
numbers do not compare.

A tie for the first place is a failure, and is counted. `oracle` says what a judge could reach that knows every
attribute: captions are partial, so several of a pool may be true of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import hypergeom

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, made_for, protocol
from t2ibench.stats.intervals import wilson_by_cluster
from t2ibench.stats.retrieval import distractors, first_places

READS_TEXTS = True
QUESTIONS = {"r_precision": "how often does an image fit its own text better than the other texts of a pool?"}


@dataclass(frozen=True)
class Config:
    # the data set's CLIP, else ViT-L/14 of OpenAI; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    clip: str = AUTO
    group: str = "captions"
    pool: int = 100
    ties: Literal["fail", "random"] = "fail"  # random: one in as many as share the first place
    seed: int = 0  # of the pools


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`r_precision`. Raises UserError where the group has too few different prompts for a pool."""
    samples, prompts = evidence.samples(config.group), made_for(evidence, config.group)
    by_id = {prompt.id: prompt.text for prompt in samples.prompts}
    place, texts = {id: i for i, id in enumerate(by_id)}, list(by_id.values())
    own = np.array([place[id] for id in prompts], dtype=np.int64)
    ks = [k for k, ok in zip(samples.k, samples.ok, strict=True) if ok]
    seeds = [derive_seed(config.seed, "r_precision", id, k) for id, k in zip(prompts, ks, strict=True)]
    others = distractors(texts, own, seeds, config.pool)
    images = evidence.fake_image_features(config.clip, config.group).double()
    cosines = (images @ evidence.text_features(config.clip, texts).double().T).numpy()
    failing, drawn, tied = first_places(
        np.take_along_axis(cosines, own[:, None], 1)[:, 0], np.take_along_axis(cosines, others, 1)
    )
    hits = failing if config.ties == "fail" else drawn
    marks, settings = (
        iter(failing.astype(int)),
        {"pool": config.pool, "distractors": "other_prompt", "ties": config.ties, "seed": config.seed},
    )
    estimate = Estimate(
        value=float(hits.mean()),
        ci=wilson_by_cluster(hits, prompts),
        n=len(hits),
        better="higher",
        protocol={**protocol(evidence, config.clip, config.group), "estimator": "top-1", **settings},
        interval="Wilson over prompts",
        details={
            "ties": int(tied.sum()),
            "ties_fail": float(failing.mean()),
            "ties_random": float(drawn.mean()),
            "chance": 1 / config.pool,
            **evidence.words(config.clip, texts),
            "per_sample": "".join(str(next(marks)) if there else "-" for there in samples.ok),
        },
    )
    return {"r_precision": estimate}


def oracle(consistent: np.ndarray, own: np.ndarray, texts: Sequence[str], pool: int = 100) -> np.ndarray:
    """What a judge that knows which captions are true reaches in expectation, drawing among the true ones of a pool:
    [N], each in [0, 1].

    consistent: bool [N, C], whether caption c is true of image i. own: [N], the row of each image's caption. The number
    of true distractors among the `pool - 1` drawn is hypergeometric. An image of which its own caption is not true
    counts 0.
    """
    _, label = np.unique(np.array(texts), return_inverse=True)
    differs = label[None, :] != label[own][:, None]  # [N, C]
    among, true = differs.sum(1), (consistent & differs).sum(1)
    if among.min() < pool - 1:
        raise UserError(f"{among.min()} captions differ from one of them, a pool of {pool} needs {pool - 1}: give more")
    drawn = np.arange(pool)
    chances = hypergeom.pmf(drawn[None, :], among[:, None], true[:, None], pool - 1)  # [N, pool]
    return np.where(consistent[np.arange(len(own)), own], (chances / (1 + drawn)).sum(1), 0.0)
