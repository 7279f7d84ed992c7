"""Every setting of StyleT2I: `Config` for drawing images, and one class for the training of each part.

The defaults of a training are those of its released script ("reference"), or ours if the part was not released. theta
is the released value for CelebA-HQ and CUB; it is 10 for FFHQ's and 15 for NABirds' generator. The embedded data has
smaller defaults (`EMBEDDED`). Where code and paper differ, both can be chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from t2ibench.core import settings
from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count, NotNegative, Positive, Range, Whole, check_ranges
from t2ibench.core.settings import LATER

T = TypeVar("T")
# Further trainings with one piece taken out, for the ablations. "cold" ones begin without a warm start, which already
# gives the most of what the contrastive loss is for.
SENTENCE: dict[str, dict[str, Any]] = {
    "sentence": {},
    "sentence-cold": {"warm_images": 0},
    "sentence-cosine": {"warm_images": 0, "loss": "cosine"},
    "sentence-free": {"lambda_norm": 0.0},
}
ATTRIBUTE: dict[str, dict[str, Any]] = {"attribute": {}, "attribute-anywhere": {"lambda_spatial": 0.0}}


@dataclass(frozen=True)
class Config:
    # weights of the zoo, of a folder in T2IBENCH_WEIGHTS, or last.pt, which the released code writes
    sentence: str = "stylet2i-sentence-avatars"
    attribute: str = "stylet2i-attribute-avatars"  # used only if `caa` is on
    generator: str = "stylegan2-avatars"  # the one that both were trained for
    caa: bool = True  # Compositional Attribute Adjustment; the reference (the released sampler) has none
    caa_scale: NotNegative = 1.0  # length of the direction that is added for an attribute
    caa_space: Literal["flat", "per_layer"] = "flat"
    # ours beside the paper's constants: the cosine up to which an attribute counts as missing (the paper: 0), and the
    # unit of caa_scale: 1 (the paper), or the length of the sentence's step
    caa_threshold: Annotated[float, Range(-1, 1)] = field(default=0.0, metadata=LATER)
    caa_unit: Literal["one", "step"] = field(default="one", metadata=LATER)
    # of the track `edit`: how many times an attribute's direction is added for each attribute that the target names
    edit_strength: float = field(default=1.0, metadata=LATER)
    projection_steps: Whole = field(default=200, metadata=LATER)  # of the descent to a real image's latent
    # for last.pt, which holds neither: the word vectors, a file in GloVe's format, and the truncation of its training
    vectors: str = field(default="", metadata=LATER)
    truncation_psi: float = field(default=0.5, metadata=LATER)

    def __post_init__(self) -> None:
        check_ranges(self, "stylet2i")
        if self.released and not self.vectors:
            raise UserError(
                f"stylet2i: {self.sentence} holds no word vectors: name GloVe's file with `vectors`, or the lines "
                f"of it that your captions need (the release: glove.840B.300d.txt)"
            )
        if self.released and self.caa and self.attribute == Config.attribute:
            raise UserError(
                "stylet2i: the authors released no attribute directions: set caa to false, or name as `attribute` ones "
                "that were trained for this generator"
            )
        if not self.released and (self.vectors or self.truncation_psi != Config.truncation_psi):
            raise UserError(
                f"stylet2i: vectors and truncation_psi are for a file of the released code, {self.sentence} has its "
                f"own: leave them out"
            )

    @property
    def released(self) -> bool:
        """Whether `sentence` is a file of the released code."""
        return Path(self.sentence).suffix in (".pt", ".pth") or Path(self.sentence).is_file()


@dataclass(frozen=True)
class Training:
    """The settings that Text-to-Direction and Attribute-to-Direction share."""

    generator: str = ""  # of the zoo, or a file; "": stylegan2-<data set>
    clip: str = ""  # never the one that scores; "": clip-guide-<data set>
    truncation_psi: float = 0.5  # towards the stored mean w, in training and in sampling
    vectors: str = ""  # a file of word vectors in GloVe's format, which stay as they are; "": learned
    word_size: Count = 300
    text_width: Count = 512
    width: Whole = 0  # of the hidden layers; 0: that of the output
    space: Literal["w_plus", "w"] = "w_plus"
    inputs: Literal["reference", "normalized"] = "reference"  # normalized: sentence vectors and w of one scale
    text: Literal["words", "clip"] = "words"  # sentence vectors by words and a GRU (paper), or by the guide (ours)
    theta: NotNegative = 8.0  # longest direction without a penalty
    lambda_norm: NotNegative = 1.0  # 0: no norm penalty
    batch: Count = 40
    learning_rate: Positive = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    warm_images: Whole = 0  # ours: generated images of each kind for the warm start (see warm_start.py); 0: none
    steps: Count = 60_000  # if `train` is given neither steps nor minutes

    def __post_init__(self) -> None:
        check_ranges(self, "stylet2i")
        if self.warm_images and self.text != "clip":
            given = f"warm_images is {self.warm_images} and text {self.text!r}"
            raise UserError(f"stylet2i: {given}, expected text 'clip', in whose space images stand for texts")


@dataclass(frozen=True)
class SentenceSettings(Training):
    """Text-to-Direction."""

    loss: Literal["contrastive", "cosine"] = "contrastive"  # cosine: without negatives
    contrastive_scale: Literal["reference", "paper", "exp"] = "reference"  # CLIP's stored ln(scale) | 1 | CLIP's scale
    captions: Literal["all", "first"] = "all"  # first: one caption an image, as the released reader of CUB does
    # kept: a caption of the batch that also fits an image counts against it (reference); masked: not where it names no
    # attribute beyond those of the image's own caption (ours; for data with a vocabulary)
    false_negatives: Literal["kept", "masked"] = "kept"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "contrastive" and self.batch < 2:
            raise UserError(f"stylet2i: batch is {self.batch}, the contrastive loss needs at least 2")
        if self.loss == "cosine" and self.false_negatives == "masked":
            raise UserError("stylet2i: false_negatives is masked, but the cosine loss has no negatives: leave it out")


@dataclass(frozen=True)
class AttributeSettings(Training):
    """Attribute-to-Direction, which was not released."""

    phrase: Literal["plain", "sentence"] = "plain"  # "long hair", or "this person has long hair"
    negative: Literal["image", "text"] = "image"  # of the semantic loss: the image a step back, or another value's text
    margin: float = 1.0
    lambda_semantic: NotNegative = 1.0
    lambda_spatial: NotNegative = 1.0  # 0: no spatial constraint
    segmenter: str = ""  # weights, or package.module:function; "": stylet2i-parts-<data set>
    # where the attribute may show: its part in the image a step forward (paper), or in either of the two images
    masks: Literal["positive", "either"] = "positive"


@dataclass(frozen=True)
class PartsSettings:
    """The segmenter of parts; ours."""

    images: Count = 400  # images with masks to train on
    held_out: Count = 64  # images to validate on
    width: Count = 32
    batch: Count = 16
    learning_rate: Positive = 3e-3
    steps: Count = 600


@dataclass(frozen=True)
class ClipSettings:
    """A fine-tuned guide; the released script for CelebA-HQ."""

    # a CLIP of the zoo, or model:tag of open_clip (the paper: ViT-B-32-quickgelu:openai); "": clip-guide-<data set>
    base: str = ""
    finetune: Literal["projections", "last_block"] = "projections"  # reference, by a fault | what is meant
    batch: Count = 192  # 256 for CUB
    learning_rate: Positive = 5e-4
    steps: Count = 121_000  # 1,000 epochs of 23,379 images


SMALL = {
    "truncation_psi": 1.0,
    "theta": 18.0,
    "word_size": 64,
    "text_width": 128,
    "width": 384,
    "inputs": "normalized",
    "text": "clip",
    "batch": 16,
    "learning_rate": 3e-4,
    "schedule": "cosine",
    "warm_images": 4000,
}
EMBEDDED: dict[type, dict[str, Any]] = {
    SentenceSettings: {
        **SMALL,
        "space": "w",
        "theta": 22.0,
        "batch": 40,
        "contrastive_scale": "exp",
        "false_negatives": "masked",
        "steps": 3600,
    },
    AttributeSettings: {**SMALL, "phrase": "sentence", "masks": "either", "steps": 800},
    PartsSettings: {},
    ClipSettings: {"batch": 64, "steps": 1000},
}
# where the paper differs from the released code, whose settings are the defaults
PAPER: dict[type, dict[str, Any]] = {
    SentenceSettings: {"contrastive_scale": "paper"},
    ClipSettings: {"finetune": "last_block"},
}
# of drawing: the released sampler adjusts no attribute
PRESETS: dict[str, dict[str, Any]] = {"embedded": {}, "reference": {"caa": False}, "paper": {}}


def choose(cls: type[T], fixed: Mapping[str, Any], given: Mapping[str, Any], where: str) -> T:
    """Settings of one part; see `settings.configure_with_preset`."""
    embedded = dict(EMBEDDED[cls])
    if {**fixed, **given}.get("loss") == "cosine":
        embedded.pop("false_negatives", None)  # of a loss without negatives
    presets = {"embedded": embedded, "reference": {}, "paper": PAPER.get(cls, {})}
    return settings.configure_with_preset(cls, presets, fixed, given, where)
