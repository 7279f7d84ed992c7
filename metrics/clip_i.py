"""CLIP-I (Ruiz et al., DreamBooth, CVPR 2023): how alike are an image and its reference to a CLIP? Higher is better.

The mean cosine of the embeddings of a made image and of its reference, in [-1, 1]. The reference is the real image of a
caption, the image before an edit, or the image A of a composition (`t2ibench/scoring/references.py`). The value depends
on the CLIP and on how it crops. MagicBrush and ImagenHub take ViT-B/32 of OpenAI, which is the one here where the data
set brings none; DreamBooth does not say which it took.

A method that copies the reference scores 1. Read it beside the details `another`, what two different references have
in common.
"""

from dataclasses import dataclass, field

from t2ibench.core.records import Estimate
from t2ibench.core.settings import LATER
from t2ibench.scoring import references
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO

TRACKS = ("text_to_image", "edit", "adapt", "compose")
COMPARES_IN = ("text_to_image",)
PUBLISHED = "ViT-B-32-quickgelu:openai"
QUESTIONS = {"clip_i": "how alike are an image and its reference, as a CLIP sees them?"}


@dataclass(frozen=True)
class Config:
    # the data set's CLIP, else PUBLISHED; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    clip: str = AUTO
    # an attribute, such as DreamBench's `subject`: the references are all real images of the same value
    of: str = field(default="", metadata=LATER)


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`clip_i`. Raises UserError for a caption without a real image, and below two references."""
    return {"clip_i": references.similarity(evidence, config.clip, "clip_i", config.of)}
