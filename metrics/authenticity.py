"""Authenticity (Alaa et al., ICML 2022): are images no copies of training images? In [0, 1]; higher is better.

An image is authentic if its nearest training image has another training image that is nearer to it than the image is
(`t2ibench/scoring/nearest.py`). The value is the share of authentic images, a hundredth of AuthPct of dgm-eval, of
training images without exact duplicates: of those that are there twice, every copy would be authentic.

It is no proof of copying. Real images that were never trained on score below 1, too: read it beside the baseline
`real`, and look at the pairs (`t2ibench nearest`). A failed image is left out. The details name the images that are
nearest to a training image, which is the order in which to look at them.
"""

from dataclasses import dataclass

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count
from t2ibench.core.records import Estimate
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, clusters, extractor_of, made_for, protocol
from t2ibench.scoring.nearest import authentic, distinct, nearest, small
from t2ibench.stats.intervals import wilson_by_cluster
from t2ibench.stats.paired import spell_samples

COMPARES = True
QUESTIONS = {"authenticity": "how many of the images are no copies of training images?"}
LOOK_AT = 8  # pairs in the details


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the data set's judge; or any by name
    group: str = "captions"
    fewest: Count = 10  # images that exist


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`authenticity`. Raises UserError below `fewest` images, and for a data set without training images."""
    samples, train = evidence.samples(config.group), evidence.train
    ids, extractor = made_for(evidence, config.group), extractor_of(evidence, config.extractor)
    if len(ids) < config.fewest:
        raise UserError(
            f"authenticity: {len(ids)} made images of {config.group!r}, at least {config.fewest} are needed"
        )
    rows = distinct(train.images.digests())
    if len(rows) < 2:
        raise UserError(f"authenticity: {train.dataset} has {len(rows)} training images, at least 2 are needed")
    made, training = evidence.fake_features(extractor, config.group), evidence.real_features(extractor, train)[rows]
    hits = authentic(made, training)
    found = nearest(made, small(samples.store, samples.rows), training, small(train.images, rows))
    order = np.argsort(found.features.distance, kind="stable")[:LOOK_AT]
    estimate = Estimate(
        value=float(hits.mean()),
        ci=wilson_by_cluster(hits, clusters(ids)),
        n=len(hits),
        better="higher",
        protocol={
            **protocol(evidence, extractor, config.group, train),
            "estimator": "share of images whose nearest training image has a nearer one",
            "duplicates": "left out",
        },
        interval="Wilson over prompts",
        details={
            "training_images": len(rows),
            "duplicates": len(train) - len(rows),
            "look_at": [
                {
                    "prompt": ids[place],
                    "train": train.ids[rows[int(found.features.row[place])]],
                    "cosine": round(1 - float(found.features.distance[place]), 4),
                    "grey_levels": round(float(found.pixels.distance[place]), 2),
                }
                for place in order
            ],
            "per_sample": spell_samples(hits.astype(float), samples.ok),
        },
    )
    return {"authenticity": estimate}
