"""Directional CLIP similarity: does an image move the way its text does? Mean cosine in [-1, 1]; higher is better.

    cos(e(edited) - e(source), t(target) - t(neutral))

e and t are unit embeddings of images and texts, by a CLIP that judges. Texts are taken as they are, without templates
or prefix. (Gal et al., StyleGAN-NADA, SIGGRAPH 2022, eq. 3, average over templates; Brooks et al., InstructPix2Pix,
CVPR 2023, use single captions.)

An image that did not move scores 0. If such images were left out, a method could gain by doing nothing when it is
unsure; the mean without them is in the details. An image of another person with the target attribute also moves the
right way, so read this beside `attributes_kept`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.edits import edit_pairs, interval, per_source
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO
from t2ibench.stats.finite import finite

TRACKS = ("edit", "adapt")
STILL = 1e-3  # unit embeddings nearer than this did not move: their direction is that of rounding
QUESTIONS = {"directional_similarity*": "does an image change the way its text does?"}


@dataclass(frozen=True)
class Config:
    # the data set's CLIP, else ViT-L/14 of OpenAI; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    clip: str = AUTO


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`directional_similarity`.

    Raises UserError if the CLIP reads the two texts of an edit as the same, and below two sources.
    """
    pairs = edit_pairs(evidence)
    neutral, target = ([prompt.tags[side] for prompt in pairs.prompts] for side in ("neutral", "target"))
    texts = [evidence.text_features(config.clip, side) for side in (target, neutral)]
    check_texts(neutral, target, texts[0] - texts[1], config.clip)
    edited, source = pairs.features(lambda group: evidence.fake_image_features(config.clip, group))
    values, moved = directional(edited, source, *texts)
    estimate = Estimate(
        value=float(values.mean()),
        ci=interval(values, pairs.k, derive_seed(evidence.seed, "directional_similarity")),
        n=len(values),
        better="higher",
        protocol={
            **evidence.extractor_protocol(config.clip),
            **pairs.protocol,
            "estimator": "mean cosine of differences",
            "templates": 1,
            "unmoved": {"score": 0, "below": STILL},
        },
        interval="BCa bootstrap over sources",
        details={
            **pairs.counts,
            **evidence.words(config.clip, [*target, *neutral]),
            "unmoved": int((~moved).sum()),
            "mean_of_moved": float(values[moved].mean()) if moved.any() else None,
            "image_similarity": float(F.cosine_similarity(edited.double(), source.double()).mean()),
            pairs.what: pairs.by_edit(values),
            f"unmoved_by_{pairs.what.removesuffix('s')}": {
                name: round(row["n"] * row["mean"]) for name, row in pairs.by_edit(~moved).items()
            },
            "per_sample": per_source(values, pairs.k, pairs.asked),
        },
    )
    return {"directional_similarity": estimate}


def directional(edited: Tensor, source: Tensor, target: Tensor, neutral: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of edited - source with target - neutral, float64 [N], and whether each image moved, bool [N].

    All four are unit embeddings [N, D]. The cosine of an image that did not move is 0. Raises ValueError for embeddings
    that are not finite.
    """
    finite("directional_similarity", edited=edited, source=source, target=target, neutral=neutral)
    image, text = edited.double() - source.double(), target.double() - neutral.double()
    moved = image.norm(dim=1) >= STILL
    return (F.cosine_similarity(image, text) * moved).clamp(-1, 1).numpy(), moved.numpy()


def check_texts(neutral: Sequence[str], target: Sequence[str], difference: Tensor, clip: str) -> None:
    """Raises UserError for the first edit whose two texts have the same embedding, which gives no direction.

    difference: target minus neutral embedding of each edit, [N, D].
    """
    finite("directional_similarity", difference=difference)
    for before, after, length in zip(neutral, target, difference.norm(dim=1).tolist(), strict=True):
        if length < STILL:
            raise UserError(
                f"the edit from {before!r} to {after!r} has no direction under {clip}: give texts that say different "
                f"things"
            )
