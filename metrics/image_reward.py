"""ImageReward v1.0 (Xu et al., NeurIPS 2023): how much do people like an image for its text? Higher is better.

A BLIP that was trained on rankings by people (`t2ibench/networks/image_reward.py`). The reward has no bounds; over the
images of its training it has mean 0 and standard deviation 1. It reads 35 tokens of a text, and texts that are longer
are counted. The weights are the published `ImageReward.pt` of THUDM/ImageReward (Apache-2.0) and `vocab.txt` of
bert-base-uncased, which t2ibench neither ships nor downloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from t2ibench.core.records import Estimate
from t2ibench.scoring import preferences
from t2ibench.scoring.evidence import Evidence, Samples, in_batches

if TYPE_CHECKING:  # it imports transformers
    from t2ibench.networks.image_reward import ImageReward

READS_TEXTS = True
IN_PARTS = True
QUESTIONS = {"image_reward": "how much would people like this image for its text, as ImageReward learned it?"}
BATCH = 16  # images in memory at once
ADVICE = "download ImageReward.pt of THUDM/ImageReward and vocab.txt of bert-base-uncased from Hugging Face, and name "
ADVICE += "them as `weights` and `vocabulary`"


@dataclass(frozen=True)
class Config:
    weights: str = "ImageReward.pt"
    vocabulary: str = "vocab.txt"  # of bert-base-uncased
    group: str = "captions"


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`image_reward`. Raises UserError below two images, and for weights that are missing."""
    for path in (config.weights, config.vocabulary):
        preferences.check_there("image_reward", path, ADVICE)
    texts = preferences.texts_of(evidence, config.group, "image_reward")
    network = evidence.models.image_reward(config.weights, config.vocabulary)
    files = {name: evidence.models.file(path) for name, path in vars(config).items() if name != "group"}
    samples = evidence.samples(config.group)
    values = evidence.in_parts(
        ["image_reward", config.group, *files.values()],
        in_batches(len(texts), BATCH),
        lambda numbers: rewards(network, samples, texts, numbers),
        f"ImageReward: {len(texts):,} images",
    ).astype(np.float64)
    protocol = {
        **files,
        **preferences.asked(evidence, config.group),
        "resize": network.preprocess.id,
        "estimator": "mean reward",
    }
    details = dict[str, object]()
    if cut := network.cut(texts):
        label = f"{cut:,} of {len(texts):,} texts were cut: ImageReward reads 35 tokens"
        details = {"cut_texts": cut, "of_texts": len(texts), "labels": [label]}
    estimate = preferences.estimate(evidence, "image_reward", config.group, values, protocol, details)
    return {"image_reward": estimate}


def rewards(network: ImageReward, samples: Samples, texts: Sequence[str], numbers: range) -> np.ndarray:
    """The rewards of images by their numbers among those that exist, [len(numbers)]. They may differ in size.

    texts: of all images that exist.
    """
    images = [
        torch.from_numpy(np.ascontiguousarray(samples.store.read([row])[0]))
        for row in samples.rows[numbers.start : numbers.stop]
    ]
    shown = torch.stack([network.shown(image) for image in images])
    return network.rewards(shown, texts[numbers.start : numbers.stop]).numpy()
