"""CLIP score: mean cosine of an image and its prompt, unscaled, in a CLIP that judges. In [-1, 1]; higher is better.

Publications use the same name for two rescaled forms, which the details give: the mean of 2.5 max(cos, 0) (Hessel et
al., EMNLP 2021), and 100 max(mean cos, 0) (torchmetrics). Two cosines can be compared only if they come from the same
CLIP and if the texts have the same prefix. Here the texts have no prefix. If the judging CLIP also guided a method, the
record of that method says so (`judge_overlap`).
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, clusters, made_for, protocol
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import cluster_mean_interval

READS_TEXTS = True
QUESTIONS = {"clip_score*": "how near is an image to its text, as a CLIP sees both?"}


@dataclass(frozen=True)
class Config:
    # the data set's CLIP, else ViT-L/14 of OpenAI; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    clip: str = AUTO
    group: str = "captions"


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`clip_score`, with the cosine of every sample in its details, in the order of the samples.

    Raises UserError below two images.
    """
    samples, prompts = evidence.samples(config.group), made_for(evidence, config.group)
    if len(prompts) < 2:
        raise UserError(f"{len(prompts)} made images of {config.group!r}, at least 2 are needed for an interval")
    texts = [prompt.text for prompt, ok in zip(samples.prompts, samples.ok, strict=True) if ok]
    values = cosines(
        evidence.fake_image_features(config.clip, config.group), evidence.text_features(config.clip, texts)
    )
    estimate = Estimate(
        value=float(values.mean()),
        ci=cluster_mean_interval(values, clusters(prompts), derive_seed(evidence.seed, "clip_score")),
        n=len(values),
        better="higher",
        protocol={**protocol(evidence, config.clip, config.group), "estimator": "mean cosine", "prefix": ""},
        interval="BCa bootstrap over prompts",
        details={
            **views(values),
            **evidence.words(config.clip, texts),
            "sd": float(values.std(ddof=1)),
            "per_sample": spelled(values, samples.ok),
        },
    )
    return {"clip_score": estimate}


def cosines(images: Tensor, texts: Tensor) -> np.ndarray:
    """Cosine of each image embedding with its text's, both [N, D] of any norm: float64 [N] in [-1, 1].

    Raises ValueError for embeddings that are not finite, or are zero and so have no direction.
    """
    finite("clip_score", images=images, texts=texts)
    images, texts = images.double(), texts.double()
    lengths = images.norm(dim=1) * texts.norm(dim=1)
    if (lengths == 0).any():
        row = int((lengths == 0).nonzero()[0])
        raise ValueError(f"clip_score needs embeddings with a direction, row {row} is zero")
    return ((images * texts).sum(1) / lengths).clamp(-1, 1).numpy()


def views(values: np.ndarray) -> dict[str, float]:
    """The two published scales of the same cosines.

    If some cosines are negative, the two differ by more than a factor: the first clamps each image, the second the
    mean.
    """
    finite("clip_score", values=values)
    return {
        "hessel_2.5": float(2.5 * np.maximum(values, 0).mean()),
        "torchmetrics_100": float(max(100 * values.mean(), 0.0)),
    }


def spelled(values: np.ndarray, ok: np.ndarray) -> str:
    """One number for each sample, a dash where its image is missing; one string, so that a record keeps few lines."""
    numbers = iter(values)
    return " ".join(f"{next(numbers):.5f}" if succeeded else "-" for succeeded in ok)
