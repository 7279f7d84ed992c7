"""PickScore v1 (Kirstain et al., NeurIPS 2023): which image of a text do people pick? Cosine; higher is better.

A CLIP ViT-H/14 that was trained on choices of users. The value is the mean cosine of an image and its text, in [-1, 1].
Three scales of it circulate, and two of them stand in the details:

    scaled       the logit scale of the weights (about 100) times the cosine, about 20
    reward_26    the same divided by 26, as code for training takes it as a reward

Over the images of one text, the softmax of `scaled` is the published probability that each of them is picked.

The weights are the published folder yuvalkirstain/PickScore_v1 (MIT), which t2ibench neither ships nor downloads. Any
folder of a CLIP of transformers is read in the same way (`t2ibench/networks/clip/huggingface.py`), in float32.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from t2ibench.core.records import Estimate
from t2ibench.scoring import preferences
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.finite import finite

READS_TEXTS = True
QUESTIONS = {"pick_score": "would people pick this image for its text, as PickScore learned it?"}
ADVICE = "download yuvalkirstain/PickScore_v1 from Hugging Face, and name its folder as `clip` (--clip)"


@dataclass(frozen=True)
class Config:
    clip: str = "PickScore_v1"  # the folder of the published weights
    group: str = "captions"


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`pick_score`. Raises UserError below two images, and for weights that are missing."""
    preferences.check_there("pick_score", config.clip, ADVICE)
    texts = preferences.texts_of(evidence, config.group, "pick_score")
    images = evidence.fake_image_features(config.clip, config.group)
    values = cosines(images, evidence.text_features(config.clip, texts))
    scale = evidence.models.clip(config.clip).logit_scale
    protocol = {
        **evidence.extractor_protocol(config.clip),
        **preferences.asked(evidence, config.group),
        "estimator": "mean cosine",
    }
    details = {**views(float(values.mean()), scale), **evidence.words(config.clip, texts)}
    return {"pick_score": preferences.estimate(evidence, "pick_score", config.group, values, protocol, details)}


def cosines(images: Tensor, texts: Tensor) -> np.ndarray:
    """The cosine of each image embedding with its text's, [N, D] each, of any norm: float64 [N].

    Raises ValueError for embeddings that are not finite, or that are zero.
    """
    finite("pick_score", images=images, texts=texts)
    lengths = images.double().norm(dim=1) * texts.double().norm(dim=1)
    if (lengths == 0).any():
        raise ValueError(
            f"pick_score needs embeddings with a direction, row {int((lengths == 0).nonzero()[0])} is zero"
        )
    return ((images.double() * texts.double()).sum(1) / lengths).numpy()


def views(cosine: float, scale: float) -> dict[str, float]:
    """The other scales of a mean cosine. scale: the logit scale of the weights."""
    finite("pick_score", cosine=cosine, scale=scale)
    return {"scaled": scale * cosine, "reward_26": scale * cosine / 26}
