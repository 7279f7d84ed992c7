"""Likeness of an image and its reference by the features of a network. Mean cosine in [-1, 1]; higher is better.

`dino_i` is DINO-I (Ruiz et al., DreamBooth, CVPR 2023): the class token of DINO, where its weights are given, as
`extractor: dino:dino_deitsmall16_pretrain.pth` (ViT-S/16, which ImagenHub and MagicBrush take; DreamBench++ takes
ViT-S/8, and the protocol says which). `image_similarity_…` is the same value of any other extractor.

The reference is the real image of a caption, the image before an edit, or the image A of a composition
(`t2ibench/scoring/references.py`). A method that copies it scores 1. Read it beside the details `another`, what two
different references have in common.
"""

from dataclasses import dataclass, field

from t2ibench.core.records import Estimate
from t2ibench.core.settings import LATER
from t2ibench.scoring import references
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, extractor_of

TRACKS = ("text_to_image", "edit", "adapt", "compose")
COMPARES_IN = ("text_to_image",)
QUESTIONS = {
    "dino_i": "how alike are an image and its reference, as DINO sees them?",
    "image_similarity_*": "how alike are an image and its reference, by the features of a network?",
}


@dataclass(frozen=True)
class Config:
    # Inception where its weights are on disk, else the data set's judge; or any by name, such as dino:FILE
    extractor: str = AUTO
    # an attribute, such as DreamBench's `subject`: the references are all real images of the same value
    of: str = field(default="", metadata=LATER)


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`dino_i` or `image_similarity_…`. Raises UserError for a caption without real image, and below two references."""
    extractor = extractor_of(evidence, config.extractor)
    short = evidence.short(extractor)
    id = "dino_i" if short.startswith("dino_") else f"image_similarity_{short}"
    return {id: references.similarity(evidence, extractor, id, config.of)}
