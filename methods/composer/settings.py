"""Shapes of the network: the paper's, and small ones that keep every mechanism.

No weights or code of the paper are public. Its base model has "2B" parameters; a trunk of 512 channels, multipliers 1,
2, 3, 4, three blocks a level and attention at 32, 16 and 8 comes to 2.13B, and is what the lab's published video model
has as defaults.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import BelowOne, Count, Positive, Range, Share, Whole, check_ranges
from t2ibench.core.settings import LATER
from t2ibench.methods.composer.diffusion import TIMES

Steps = Annotated[int, Range(1, TIMES)]  # of a sampler


@dataclass(frozen=True)
class Shape:
    """The trunk, and what it reads of each condition."""

    image_size: int = 64
    base_channels: int = 48
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_res_blocks: int = 1
    attention: tuple[int, ...] = (16, 8)  # sides of the maps that have attention
    head_channels: int = 48
    # groups of several channels: a channel that is a group of its own loses its mean, and with it the tint of x_t
    gn_groups: int = 16
    dropout: float = 0.1
    out_channels: int = 3  # 6: the noise, and the range of its variance (which DDIM and DPM-Solver do not read)
    ctx_dim: int = 192
    embed_dim: int = 128  # of the sentence and the image embedding
    words_dim: int = 128  # of the text encoder's last hidden states
    max_words: int = 32
    tokens: int = 4  # for the image embedding, and as many for the palette
    local_channels: int = 8
    local_hidden: int = 32
    cond_size: int = 64  # side of the maps that are read: image_size, or four times that
    seg_channels: int = 1  # 1: a silhouette; else one channel a part and one of their boundaries
    palette: int = 156
    # what the trunk predicts; a small training needs v, or images keep the tint of their noise
    prediction: Literal["epsilon", "v"] = "epsilon"

    def __post_init__(self) -> None:
        """Raises UserError for sizes that no network can have."""
        sides = [self.image_size // 2**level for level in range(len(self.channel_mult))]
        if self.image_size % 2 ** (len(sides) - 1):
            raise UserError(
                f"composer: image_size {self.image_size} cannot be halved {len(sides) - 1} times: use another "
                f"channel_mult"
            )
        if sides[-1] not in self.attention:
            raise UserError(
                f"composer: attention is at {list(self.attention)}, expected the lowest side {sides[-1]} among them"
            )
        for name, width in (("gn_groups", self.gn_groups), ("head_channels", self.head_channels)):
            uneven = [m * self.base_channels for m in self.channel_mult if m * self.base_channels % width]
            if uneven:
                raise UserError(
                    f"composer: {name} is {width}, which does not divide a level of {uneven[0]} channels: use a divisor"
                )
        if self.context in [side**2 for side in sides if side in self.attention]:
            raise UserError(
                f"composer: {self.context} context tokens are as many as a level with attention has pixels, which "
                f"diffusers cannot mask: "
                "change max_words"
            )
        if self.cond_size not in (self.image_size, 4 * self.image_size):
            raise UserError(
                f"composer: cond_size is {self.cond_size}, expected {self.image_size} or {4 * self.image_size}"
            )

    @property
    def context(self) -> int:
        """Tokens of the cross-attention: image embedding, palette, words."""
        return 2 * self.tokens + self.max_words


SHAPES: dict[str, dict[str, Any]] = {
    "xs": {
        "image_size": 32,
        "base_channels": 32,
        "channel_mult": (1, 2, 3),
        "head_channels": 32,
        "gn_groups": 8,
        "ctx_dim": 128,
    }
    | {"dropout": 0.0, "cond_size": 32, "prediction": "v"},
    "s": {},
    "m": {
        "base_channels": 64,
        "num_res_blocks": 2,
        "attention": (32, 16, 8),
        "head_channels": 64,
        "gn_groups": 32,
        "ctx_dim": 256,
    }
    | {"max_words": 77, "cond_size": 256},
    "paper": {
        "base_channels": 512,
        "num_res_blocks": 3,
        "attention": (32, 16, 8),
        "head_channels": 64,
        "gn_groups": 32,
        "ctx_dim": 512,
    }
    | {"embed_dim": 768, "words_dim": 768, "max_words": 77, "cond_size": 256, "out_channels": 6},
}
Size = Literal["xs", "s", "m", "paper"]


@dataclass(frozen=True)
class UpsamplerShape:
    """A network from images of image_size / factor to images of image_size. It reads no condition.

    patch: pixels a side that are folded into the channels of one position of the trunk; 2 takes a quarter of the cost.
    """

    image_size: int = 64
    factor: int = 2
    patch: int = 1
    base_channels: int = 32
    channel_mult: tuple[int, ...] = (1, 1, 2, 4)
    num_res_blocks: int = 1
    attention: tuple[int, ...] = (8,)  # sides of the maps that have attention
    head_channels: int = 32
    gn_groups: int = 32
    dropout: float = 0.0
    prediction: Literal["epsilon", "sample"] = "epsilon"  # "sample": the image, which a small training learns sooner


# The paper's upsamplers have 1.1B and 300M parameters; it does not give their channels. These are the channels of the
# lab's earlier models, with more at the lowest sides of the first, as the paper says. (320; 1, 2, 3, 5 has 1.02B.)
UPSAMPLERS: dict[str, dict[str, Any]] = {
    "xs": {"patch": 2, "channel_mult": (1, 2, 3), "attention": (), "prediction": "sample"},
    "s": {"image_size": 128, "attention": (16,), "gn_groups": 8},
    "paper-256": {
        "image_size": 256,
        "factor": 4,
        "base_channels": 320,
        "channel_mult": (1, 2, 4, 5),
        "num_res_blocks": 3,
    }
    | {"attention": (32,), "head_channels": 64, "dropout": 0.1},
    "paper-1024": {
        "image_size": 1024,
        "factor": 4,
        "base_channels": 192,
        "channel_mult": (1, 1, 2, 2, 4, 4),
        "num_res_blocks": 2,
    }
    | {"attention": ()},
}
UpsamplerSize = Literal["xs", "s", "paper-256", "paper-1024"]


@dataclass(frozen=True)
class PriorShape:
    """A transformer from the embedding of a sentence to that of an image; both have embed_dim numbers."""

    embed_dim: int = 128
    layers: int = 4
    heads: int = 4
    head_channels: int = 64


PRIORS: dict[str, dict[str, Any]] = {
    "xs": {},
    "paper": {"embed_dim": 768, "layers": 24, "heads": 32},
}  # the paper's: 1B
PriorSize = Literal["xs", "paper"]


@dataclass(frozen=True)
class Config:
    """How a trained base is sampled."""

    weights: str = "composer-avatars"
    guidance_scale: float = 1.5  # w in w * eps(c2) + (1 - w) * eps(c1); the paper's 3 is too much for the small base
    sampler: Literal["dpmpp2m", "ddim"] = "dpmpp2m"
    steps: Steps = 6  # the paper: 50, solver not named; more than 6 change little at 32 pixels
    threshold: BelowOne = 0.995  # each predicted x0 is brought back to this quantile of |x0|; 0: none
    upsampler: str = "composer-upsampler-avatars"  # weights; "": images have the size of the base
    upsampler_steps: Steps = 1  # enough for a network that predicts the image itself; the paper: 20
    prior: str = "composer-prior-avatars"  # weights that make an image embedding from a caption; "": none
    prior_steps: Steps = 10  # the paper: 100
    prior_scale: float = 3.0
    prior_candidates: Count = 1  # embeddings that are drawn; the one nearest to the caption is taken
    inversion_steps: Steps = 20  # of DDIM, on each of the two ways
    # how many times each step of an inversion is made, each time with the noise of where the last one led; 1: the paper
    inversion_iterations: Count = field(default=1, metadata=LATER)
    edit_scale: float = 2.0  # w on the way back from an inversion; at 1 few edits reach their target
    renoise: Share = 0.0  # share r in [0, 1] of new noise in x_T before the way back, for variations
    edit_keeps: str = ""  # letters of the source's own conditions that stay while its caption changes
    ignores: str = ""  # letters of conditions that are never read, for ablations
    source_side: Count = 64  # side in pixels at which images are taken apart; that of the training images

    def __post_init__(self) -> None:
        """Raises UserError for a setting out of its range."""
        check_ranges(self, "composer")


# No code or weights were released, so there is no preset "reference".
PRESETS: dict[str, dict[str, Any]] = {
    "embedded": {},
    "paper": {"guidance_scale": 3.0, "steps": 50, "upsampler_steps": 20, "prior_steps": 100, "prior_scale": 3.0},
}


@dataclass(frozen=True)
class Optimisation:
    """The settings of every training. What the paper does not say follows the lab's other models, or is ours."""

    seed: int = 0
    batch: Count = 32
    learning_rate: Positive = 3e-4  # the larger ones: 2e-4
    warmup: Whole = 500  # steps
    clip_norm: Positive = 1.0
    # of the passes of training; weights, losses and sampling are float32
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    ema: BelowOne = 0.999  # decay of the averaged weights; the paper: 0.9999, for a million steps
    steps: Count = 20_000  # the budget if `train` is given none
    images: Whole = 0  # only so many of the split's first images; 0: all


@dataclass(frozen=True)
class Training(Optimisation):
    """One training of a base."""

    size: Size = "xs"
    phase1_frac: Share = 0.6  # share of the budget during which the image embedding is the only condition
    p_none: Share = 0.1  # probability that every condition is dropped
    p_every: Share = 0.1  # probability that none is dropped
    p_drop: Share = 0.5  # otherwise: of dropping each condition
    p_drop_intensity: Share = 0.7  # higher, because intensity holds nearly all of the image
    p_drop_phase1: Share = 0.1  # of dropping the image embedding while it is the only condition
    schedule: Literal["constant", "cosine"] = "cosine"  # of the learning rate; cosine: down to 0 (ours)
    clip: str = ""  # "" takes clip-guide-<data set>
    start: str = ""  # weights of the same shape that it begins with, such as those of a shorter training; "": none
    sketch: str = "canny"
    instances: str = "parts"
    depth: str = "layers"


@dataclass(frozen=True)
class UpsamplerTraining(Optimisation):
    """One training of an upsampler."""

    size: UpsamplerSize = "xs"
    batch: Count = 16
    learning_rate: Positive = 1e-3
    warmup: Whole = 100
    ema: BelowOne = 0.99
    steps: Count = 2_000
    p_blur: Share = 0.5  # probability of blurring the small image, because the base's images are not quite sharp
    # its features measure for the card how far images are from the originals; "" takes attribute-judge-<data set>
    judge: str = ""


@dataclass(frozen=True)
class PriorTraining(Optimisation):
    """One training of a prior."""

    size: PriorSize = "xs"
    batch: Count = 128
    learning_rate: Positive = 1e-3
    warmup: Whole = 100
    ema: BelowOne = 0.99
    steps: Count = 1_000
    p_drop: Share = 0.1  # probability of dropping the caption, for guidance
    clip: str = ""  # "" takes clip-guide-<data set>


# Of trainings: the sizes, batches and iterations that the paper gives. It gives neither rates nor averages: these are
# those of unCLIP, whose networks it takes up.
PAPER: dict[type, dict[str, Any]] = {
    Training: {"size": "paper", "batch": 1024, "steps": 1_200_000, "phase1_frac": 1_000_000 / 1_200_000}
    | {"learning_rate": 1.2e-4, "ema": 0.9999, "schedule": "constant"},
    UpsamplerTraining: {"size": "paper-256", "batch": 512, "learning_rate": 1.2e-4, "ema": 0.9999},
    PriorTraining: {"size": "paper", "batch": 4096, "learning_rate": 1.1e-4, "ema": 0.9999},
}
