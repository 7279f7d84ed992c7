"""Vendi score (Friedman and Dieng, TMLR 2023): how many different images does a method draw for one text?

    exp(-sum_i w_i log w_i), w the eigenvalues of K / n, K the cosines of the features of the n images of a text

The value is the mean over texts. n equal images score 1, and n images without any likeness score n, so values compare
at one n only: every text must have equally many images. `order` q takes log(sum_i w_i^q) / (1 - q) in place of the
entropy. Eigenvalues of at most 0 are left out, and the others are not scaled to sum to 1, as in the released code
(vertaix/Vendi-Score).

Neither higher nor lower is better: equal images score 1, and noise scores best. Read it beside a metric of alignment.

- A suite's captions have one image each. So the metric asks for captions of its own, `prompts` of them with `images`
  images each. Where the data set knows what a caption says, the baseline `real` answers with different real images that
  show it. Elsewhere it repeats the one image of the caption, and scores 1.
- Of a folder of images, those with equal texts belong together.
- A failed image adds no variety: the score is that of the other images. A text without any image scores 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Positive, Several
from t2ibench.core.records import Estimate, digest
from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.data.split import Split
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, extractor_of
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.stats.paired import spell
from t2ibench.tracks.contract import Prompt

READS_TEXTS = True
QUESTIONS = {"vendi_score": "how many different images does a method draw for one text?"}
VARIETY, CAPTIONS = "variety", "captions"
NEGATIVE = 1e-6  # an eigenvalue of K / n further below 0 is no rounding


@dataclass(frozen=True)
class Config:
    extractor: str = AUTO  # Inception where its weights are on disk, else the data set's judge; or any by name
    prompts: Several = 32  # texts that are asked for
    images: Several = 8  # of each text
    order: Positive = 1.0  # q; 1 is the published score


def prompts(train: Split, reference: Split, config: Config) -> list[Prompt]:
    """Captions of the reference, drawn at random but the same ones each time. Raises UserError for too few."""
    rows = [row for row in permutation(derive_seed(VARIETY), len(reference)) if any(reference.captions[row])]
    if len(rows) < config.prompts:
        raise UserError(
            f"vendi_score: prompts is {config.prompts:,}, but {len(rows):,} images of {reference.dataset} "
            f"{reference.name} have a caption: ask for fewer"
        )
    return [_prompt(reference, int(row), config.images) for row in rows[: config.prompts]]


def _prompt(split: Split, row: int, images: int) -> Prompt:
    """The first caption of an image. What it says becomes a tag, so that the baseline `real` can show it anew."""
    literals = list(split.mentions[row][0]) if split.mentions is not None else []
    id, text = f"{VARIETY}/{split.ids[row]}", split.captions[row][0]
    if literals:
        return Prompt(id, text, VARIETY, images, None, {"literals": literals})
    return Prompt(id, text, VARIETY, images, split.ids[row])


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`vendi_score`.

    Raises UserError for texts with different numbers of images, for one image a text, and below two texts.
    """
    group = VARIETY if any(prompt.group == VARIETY for prompt in evidence.prompts) else CAPTIONS
    samples, extractor = evidence.samples(group), extractor_of(evidence, config.extractor)
    names = [prompt.id if group == VARIETY else prompt.text for prompt in samples.prompts]
    images = images_each(names)
    features = evidence.fake_features(extractor, group)
    values, cosines = by_text(features, samples, names, config.order)
    asked = [[prompt.text, k] for prompt, k in zip(samples.prompts, samples.k, strict=True)]
    numbers = np.array(list(values.values()))
    estimate = Estimate(
        value=float(numbers.mean()),
        ci=cluster_mean_interval(numbers, list(values), derive_seed(evidence.seed, "vendi_score")),
        n=len(values),
        better="none",
        protocol={
            **evidence.extractor_protocol(extractor),
            "group": group,
            "prompts": digest(sorted(asked)),
            "images": images,
            "kernel": "cosine",
            "order": config.order,
            "mean": "over texts",
        },
        interval="BCa bootstrap over texts",
        details={
            "images": images,
            "mean_cosine": float(np.mean(cosines)) if cosines else None,
            "failed": int((~samples.ok).sum()),
            "lowest": float(numbers.min()),
            "highest": float(numbers.max()),
            "per_sample": spell(numbers, 6),
        },
    )
    return {"vendi_score": estimate}


def images_each(names: Sequence[str]) -> int:
    """How many images every text has. names: the text of each image. Raises UserError as `score`."""
    counts: Mapping[str, int] = {name: names.count(name) for name in dict.fromkeys(names)}
    fewest, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    if counts[fewest] != counts[most]:
        raise UserError(
            f"vendi_score: {counts[fewest]} images of {fewest!r:.60} and {counts[most]} of {most!r:.60}: its range "
            f"depends on their number, so give as many of each text"
        )
    if counts[most] < 2 or len(counts) < 2:
        raise UserError(
            f"vendi_score: {len(counts):,} texts with {counts[most]} images each, at least 2 texts with 2 images each "
            f"are needed: give several images of equal texts"
        )
    return counts[most]


def by_text(
    features: Tensor, samples: Samples, names: Sequence[str], order: float
) -> tuple[dict[str, float], list[float]]:
    """The score of each text, and the mean cosine of two images of each text that has two.

    features: [M, D], of the samples that have an image. names: the text of each sample, [N].
    """
    if len(features) != int(samples.ok.sum()):
        raise ValueError(f"vendi_score: {len(features)} features of {int(samples.ok.sum())} images")
    place = np.cumsum(samples.ok) - 1
    values, means = dict[str, float](), list[float]()
    for name in dict.fromkeys(names):
        rows = [place[i] for i, other in enumerate(names) if other == name and samples.ok[i]]
        if not rows:
            values[name] = 1.0
            continue
        kernel = cosines(features[torch.as_tensor(np.array(rows))])
        values[name] = vendi(kernel, order)
        if len(rows) > 1:
            means.append(float((kernel.sum() - kernel.trace()) / (len(rows) * (len(rows) - 1))))
    return values, means


def cosines(features: Tensor) -> Tensor:
    """The kernel of features [n, D]: float64 [n, n]. Raises ValueError for a row that is zero or not finite."""
    finite("vendi_score", features=features)
    rows = features.double()
    if (zero := (rows == 0).all(1)).any():
        raise ValueError(f"vendi_score needs features with a direction, row {int(zero.nonzero()[0])} is zero")
    rows = F.normalize(rows, dim=1)
    return rows @ rows.T


def vendi(kernel: Tensor, order: float = 1.0) -> float:
    """The score of a symmetric kernel [n, n] with ones on its diagonal, in [1, n]. order: q above 0; may be infinite.

    Raises ValueError for a kernel that is not finite, not symmetric, or has eigenvalues below 0.
    """
    finite("vendi_score", kernel=kernel)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not torch.allclose(kernel, kernel.T):
        raise ValueError(f"vendi_score needs a symmetric kernel, got {list(kernel.shape)}")
    weights = torch.linalg.eigvalsh(kernel.double() / len(kernel))
    if weights[0] < -NEGATIVE:
        raise ValueError(f"vendi_score needs a positive kernel, its least eigenvalue is {float(weights[0]):g}")
    weights = weights[weights > 0]
    if math.isinf(order):
        return float(1 / weights.max())
    if order == 1:
        return float(torch.exp(-(weights * weights.log()).sum()))
    return float((weights**order).sum() ** (1 / (1 - order)))
