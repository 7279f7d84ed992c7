"""Every setting of StyleCLIP's three variants; the defaults are those that work with the zoo's generator and guide
CLIP.

Where the released code ("reference") and the paper differ, both can be chosen.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count, NotNegative, Positive, Several, Whole, check_ranges
from t2ibench.core.settings import LATER

# What the script of each variant does. The mapper's loss compares faces by ArcFace: its file must be there, or another
# `identity` be named.
REFERENCE: dict[str, Any] = {
    "truncation_psi": 0.7,
    "clip_input": "reference",
    "identity": "model_ir_se50.pth",
    "l2": "reference",
    # optimization
    "latent": "w_plus",
    "start": "source",
    "steps": 300,
    "learning_rate": 0.1,
    "lambda_l2": 0.008,
    "lambda_id": 0.0,
    "stop_at": None,
    # mapper
    "mapper": "levels",
    "levels": "reference",
    "pixelnorm_axis": "rows",
    "residual": 0.1,
    "mapper_steps": 50_000,
    "mapper_batch": 2,
    "mapper_codes": 5000,
    "mapper_optimiser": "ranger",
    "mapper_learning_rate": 0.5,
    "mapper_schedule": "constant",
    "mapper_clip": 1.0,
    "mapper_l2": 0.8,
    "mapper_id": 0.1,
    # global
    "templates": "imagenet",
    "relevance": "table",
    "alpha": 4.1,
    "beta": 0.15,
    "select": "beta",
    "scaling": "reference",
    "max_resolution": 128,
    "statistics_samples": 100_000,
    "statistics_cutoff": None,
    "images": 100,
    "step": 5.0,
    "base": "cumulative",
    "center": "mean",
    "unit_differences": True,
}
# What the paper says otherwise: eq. 1 and 4 (lengths, not squares), eq. 5 and 6, and app. C for faces.
PAPER: dict[str, Any] = {
    **REFERENCE,
    "clip_input": "normalized",
    "l2": "paper",
    "alpha": 3.0,
    "select": "automatic",
    "channels": 20,
    "scaling": "paper",
    "max_resolution": 1024,
    "base": "restore",
    "center": "own",
    "unit_differences": False,
}
PRESETS: dict[str, dict[str, Any]] = {"embedded": {}, "reference": REFERENCE, "paper": PAPER}


@dataclass(frozen=True)
class Config:
    variant: Literal["optimization", "mapper", "global"] = "global"
    generator: str = "stylegan2-avatars"  # of the zoo, or a file: .pkl, .pt or .safetensors
    clip: str = "auto"  # the guide of the data set; or one of the zoo, or model:tag of open_clip; never one that scores
    truncation_psi: float = 0.7  # of the source images, all rows, towards the stored mean w
    neutral: str = "a person"  # what a source shows, where only a prompt is given: its domain's noun
    # a file of latents W+ [N, L, w_dim], .pt or .npy, such as test_faces.pt: seed s starts from row s modulo N
    latents: str = field(default="", metadata=LATER)
    # what finds a real image's latent: weights of ours, or a published file such as e4e_ffhq_encode.pt; "": the mean w
    encoder: str = ""
    projection_steps: Whole = 200  # descent on that latent, so that the image is drawn again more closely

    # what leads it beside pixels: the heads of LPIPS, weights/v0.1/vgg.pth or alex.pth; "": features of the guide
    lpips: str = field(default="", metadata=LATER)
    lpips_trunk: str = field(default="", metadata=LATER)  # the file of torchvision's network below these heads

    # optimization and mapper
    # reference: images in [-1, 1] as they are, a fault of the release
    clip_input: Literal["normalized", "reference"] = "normalized"
    # features of L_ID: "guide" (of the guide CLIP, no face network), or the file of ArcFace's weights
    identity: str = "guide"
    # |v - v0|^2 (mapper: its mean over entries), or |v - v0| (mapper: |M_t(v)|)
    l2: Literal["reference", "paper"] = "reference"

    # optimization
    latent: Literal["w_plus", "s"] = "w_plus"
    # mean: from the mean w with neither L2 nor identity, the release's "free generation"
    start: Literal["source", "mean"] = "source"
    steps: Count = 60  # the released script takes 300, its notebook 40
    learning_rate: Positive = 0.1  # at its highest, of Adam
    lambda_l2: NotNegative = 0.008
    lambda_id: NotNegative = 0.3  # of the guide's features; the notebook has 0.005, of ArcFace's
    rows: tuple[int, ...] = ()  # of W+ that may change; (): all
    stop_at: float | None = None  # a code stays where its image has this cosine with the text
    batch: Count = 4  # codes in one pass, which is filled up where fewer are asked for

    # mapper
    # networks for coarse, medium and fine rows; one for all; one a layer of S
    mapper: Literal["levels", "single", "style"] = "levels"
    # reference: hair styles and expressions without fine, others all
    levels: Literal["all", "coarse+medium", "reference"] = "all"
    pixelnorm_axis: Literal["rows", "features"] = "rows"  # reference | what is meant
    residual: float = 0.1
    mapper_weights: str = ""  # a checkpoint of the released code, used for its text instead of training
    # several of them, each used for the text that it was trained for
    mappers: tuple[str, ...] = field(default=(), metadata=LATER)
    mapper_steps: Count = 200  # the reference takes 50,000
    mapper_batch: Count = 4  # the reference has 2
    mapper_codes: Count = 5000  # latents to train on
    # a file of latents W+ to train on in their place, such as train_faces.pt (the reference's way)
    mapper_latents: str = field(default="", metadata=LATER)
    mapper_optimiser: Literal["ranger", "adam"] = "adam"  # the reference has ranger
    mapper_learning_rate: Positive = 0.5
    mapper_schedule: Literal["constant", "cosine"] = "cosine"  # the reference has constant
    mapper_clip: NotNegative = 1.0
    mapper_l2: NotNegative = 0.8
    mapper_id: NotNegative = 0.1

    # global directions
    templates: Literal["plain", "imagenet"] = "plain"  # around both texts; imagenet is the reference
    # of a channel: from gradients for all texts or for one, or the reference
    relevance: Literal["jacobian", "vjp", "table"] = "jacobian"
    alpha: float = 6.0  # edit strength; a negative value reverses the edit. The paper's figures have about 4
    beta: NotNegative = 0.15  # where select is beta: edit only channels whose |relevance| reaches this
    # automatic: the largest beta in 0.10 … 0.29 that keeps more than `channels`
    select: Literal["beta", "automatic", "top"] = "top"
    # how many most relevant ones top keeps; also for automatic. The reference has 20 for faces, 100 otherwise
    channels: Count = 20
    # sigma * relevance / largest relevance, or the relevance alone (eq. 6)
    scaling: Literal["reference", "paper"] = "reference"
    max_resolution: Count = 128  # layers above are not edited; the paper edits all but toRGB
    # latents behind mean and deviation of each channel; the reference takes 100,000
    statistics_samples: Several = 20_000
    # psi acts on rows below it there; None: on all. The released PyTorch port has 8
    statistics_cutoff: Whole | None = None
    images: Count = 16  # codes that relevance is averaged over; the reference takes 100
    # vjp: random cotangents an image from which the length of each effect is estimated; the CLIP's dimension: exact
    probes: Count = 16
    step: Positive = 5.0  # table: each channel is moved by +- this many deviations
    # table: cumulative leaves visited channels at their mean, a fault of the release
    base: Literal["restore", "cumulative"] = "restore"
    # table: step from the channel's mean (reference) or from the image's own value (eq. 5)
    center: Literal["mean", "own"] = "mean"
    unit_differences: bool = True  # table: normalise an image's difference before averaging (reference), or not (eq. 5)

    # files of the released code, used as they are instead of what is computed here
    directions: str = field(default="", metadata=LATER)  # fs3.npy, where relevance is table: all channels that it has
    statistics: str = field(default="", metadata=LATER)  # S_mean_std
    codes: str = field(default="", metadata=LATER)  # S, or W.npy: the sample behind relevance and statistics

    def __post_init__(self) -> None:
        if self.directions and self.relevance != "table":
            raise UserError(f"styleclip: directions name a table, and relevance is {self.relevance}: set it to table")
        if bool(self.lpips) != bool(self.lpips_trunk):
            raise UserError("styleclip: lpips are the heads and lpips_trunk the network below them: name both, or none")
        if self.mapper_latents and self.variant != "mapper":
            raise UserError(
                f"styleclip: mapper_latents are for the variant mapper, this is {self.variant}: leave it out"
            )
        if self.mappers and self.variant != "mapper":
            raise UserError(f"styleclip: mappers are for the variant mapper, this is {self.variant}: leave them out")
        if self.mappers and self.mapper_weights:
            raise UserError("styleclip: mapper_weights is one mapper, mappers are several: name one of the settings")
        if self.mapper_latents and (self.mapper_weights or self.mappers):
            raise UserError("styleclip: released mappers are used as they are: leave mapper_latents out")
        for name in ("directions", "statistics", "codes"):
            if getattr(self, name) and self.variant != "global":
                raise UserError(f"styleclip: {name} are for the variant global, this is {self.variant}: leave them out")
        check_ranges(self, "styleclip")
