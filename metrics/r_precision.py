"""CLIP R-precision: how often an image's own prompt is the nearest of 100. In [0, 1]; higher is better.

A CLIP that judges ranks the prompts; chance is 0.01. The other 99 prompts are drawn for each sample from the other
prompts of the group, without replacement; prompts with the same words are left out. The draw depends on the sample
only, so every method gets the same prompts. Xu et al. (CVPR 2018) rank with the encoder that trained the generator, and
Park et al. (NeurIPS 2021) draw from other classes with replacement, so their numbers cannot be compared with these.

A tie for the first place is a failure, and ties are counted. `oracle` computes what a judge that knows every attribute
could reach: captions are partial, so several prompts of a pool may be true of one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import hypergeom

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Several
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
    pool: Several = 100
    ties: Literal["fail", "random"] = "fail"  # random: one in as many as share the first place
    seed: int = 0  # of the pools


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`r_precision`. Raises UserError if the group has too few different prompts for a pool."""
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
            "per_sample": "".join(str(next(marks)) if succeeded else "-" for succeeded in samples.ok),
        },
    )
    return {"r_precision": estimate}


def oracle(consistent: np.ndarray, own: np.ndarray, texts: Sequence[str], pool: int = 100) -> np.ndarray:
    """Expected R-precision of each image for a judge that knows which captions are true of it: [N], in [0, 1].

    consistent: whether caption c is true of image i, bool [N, C].
    own: the row of each image's caption, [N].
    The judge picks at random among the true captions of a pool. The number of true distractors among the `pool - 1`
    drawn is hypergeometric. An image whose own caption is not true of it counts 0.
    """
    _, label = np.unique(np.array(texts), return_inverse=True)
    differs = label[None, :] != label[own][:, None]  # [N, C]
    among, true = differs.sum(1), (consistent & differs).sum(1)
    if among.min() < pool - 1:
        raise UserError(f"{among.min()} captions differ from one of them, a pool of {pool} needs {pool - 1}: give more")
    drawn = np.arange(pool)
    chances = hypergeom.pmf(drawn[None, :], among[:, None], true[:, None], pool - 1)  # [N, pool]
    return np.where(consistent[np.arange(len(own)), own], (chances / (1 + drawn)).sum(1), 0.0)
