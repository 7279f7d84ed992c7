"""The settings of the training of each part. The defaults are the released code's; `PAPER` holds where a paper differs,
and the embedded data has smaller ones.

`EMBEDDED` also holds choices of ours: widths for a laptop, averaged generator weights, bfloat16 arithmetic, a schedule
that follows the budget, and one pass of D's trunk for a matching and a mismatched text (as in the paper's Algorithm 1,
which pairs a real image with a wrong text).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from t2ibench.core import settings
from t2ibench.core.errors import UserError
from t2ibench.core.ranges import BelowOne, Count, NotNegative, Positive, SomeShare, Whole, check_ranges
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.networks import Shape
from t2ibench.methods.gan_cls.sampling import Augment
from t2ibench.methods.gan_cls.text_encoder import EncoderShape

S = TypeVar("S", bound="Shape | EncoderShape")
Precision = Literal["float32", "bfloat16"]
Schedule = Literal["epoch", "progress"]  # an epoch is a number of steps, or an equal share of the budget
VARIANTS: dict[str, dict[str, float]] = {
    "gan": {"cls_weight": 0.0, "interp_weight": 0.0},
    "gan-cls": {"cls_weight": 0.5, "interp_weight": 0.0},
    "gan-int": {"cls_weight": 0.0, "interp_weight": 1.0},
    "gan-int-cls": {"cls_weight": 0.5, "interp_weight": 1.0},
}


@dataclass(frozen=True)
class GanSettings(Shape):
    """main_cls_int.lua as shipped for CUB."""

    text_encoder: str = ""  # weights of the zoo; "" takes char-cnn-rnn-<data set>
    text_dim: Whole = 0  # width of a caption embedding; 0: that of the encoder
    cls_weight: NotNegative = 0.5
    interp_weight: NotNegative = 1.0
    interp_type: Literal[1, 2] = 1
    strict_official: bool = False  # True: keep the interpolated half of G's batch even if its weight is 0
    mismatch: Literal["wrong-image", "wrong-text"] = "wrong-image"  # reference | paper
    # ours: a mismatch is, of so many that are drawn, the one whose caption is most like the own one; 1: the paper
    mismatch_of: Count = 1
    class_column: str = ""  # attribute that holds the class; "": any other image is a mismatch
    captions: Count = 4  # captions of an image whose embeddings are averaged
    replace: bool = True  # they are drawn with replacement (the COCO script: without, 3 captions)
    augment: Augment = "reference"
    noise: Literal["normal", "uniform"] = "normal"
    batch: Count = 64
    learning_rate: Positive = 2e-4
    beta1: BelowOne = 0.5
    schedule: Schedule = "epoch"
    epochs: Count = 600
    decay_every: Count = 100  # the learning rate is halved at the start of every epoch that this divides
    # ours: weight of the squared gradient of D at real images (Mescheder et al., ICML 2018); 0: none
    r1: NotNegative = 0.0
    r1_every: Count = 8  # steps between two penalties; a penalty is multiplied by this number
    ema: BelowOne = 0.0  # ours: decay of averaged generator weights, 0 for none
    # ours: deviation of the noise on all images that the discriminator sees, which are in [-1, 1]; without it, flat
    # colours give every generated image of a flat drawing away
    instance_noise: NotNegative = 0.0
    noise_until: SomeShare = 1.0  # ours: the share of the training after which there is no instance noise any more
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        check_ranges(self, "gan_cls")
        if self.mismatch_of > 1 and not self.cls_weight:
            raise UserError(
                f"gan_cls: mismatch_of is {self.mismatch_of}, but without cls_weight no mismatch is looked at: leave "
                f"it out"
            )
        if self.noise_until < 1 and not self.instance_noise:
            raise UserError("gan_cls: noise_until is for instance_noise, which is 0: leave it out")


@dataclass(frozen=True)
class TextSettings(EncoderShape):
    """The CVPR release's training (RMSprop), with the encoder of the ICML release for CUB."""

    image_side: str = "joint"  # or "attributes", or a CLIP of the zoo ("clip-guide-avatars"): see train_text.py
    image_width: Count = 64  # of the joint image encoder
    class_column: str = ""
    batch: Count = 40
    optimiser: Literal["rmsprop", "adam"] = "rmsprop"
    init: NotNegative = 0.08  # parameters are U(-init, init); 0 keeps PyTorch's defaults
    learning_rate: Positive = 7e-4
    decay: Positive = 0.98  # of the learning rate, an epoch
    schedule: Schedule = "epoch"
    epochs: Count = 200
    precision: Precision = "float32"


@dataclass(frozen=True)
class StyleSettings:
    """Ours: the paper gives the loss and nothing else."""

    generator: str = ""  # weights of the zoo; "" takes gan-int-cls-<data set>
    # D's image trunk, or principal components and a perceptron (style_network.py)
    network: Literal["trunk", "whitened"] = "trunk"
    width: Count = 64  # channels of the trunk's first convolution; units of a layer of the perceptron
    components: Count = 512  # of `whitened`
    blocks: Count = 3
    fitted_on: Count = 6000  # images from which the components are computed
    emphasis: NotNegative = 0.0  # a direction of z weighs its change of the image to this power; 0: the paper's loss
    pool: Whole = 0  # images drawn at once; each is read `reuse` times, in batches; 0: every batch is drawn anew
    reuse: Count = 1
    batch: Count = 64
    learning_rate: Positive = 2e-4
    beta1: BelowOne = 0.5
    schedule: Schedule = "epoch"  # epoch: the rate is constant; progress: half a cosine down to 0
    precision: Precision = "float32"


EMBEDDED: dict[type, dict[str, Any]] = {
    GanSettings: {
        "nt": 64,
        "ngf": 32,
        "ndf": 24,
        "third_act": True,
        "conv_bias": False,
        "mismatch": "wrong-text",
        "captions": 1,
        "augment": "none",
        "batch": 32,
        "learning_rate": 4e-4,
        "schedule": "progress",
        "epochs": 4,
        "decay_every": 2,
        "r1": 0.2,
        "ema": 0.998,
        "instance_noise": 0.1,
        "noise_until": 0.8,
        "mismatch_of": 4,
        "precision": "bfloat16",
    },
    TextSettings: {
        "channels": (96, 160, 192),
        "length": 168,
        "out": 256,
        "image_side": "attributes",
        "image_width": 16,
        "batch": 64,
        "optimiser": "adam",
        "init": 0.08,
        "learning_rate": 3e-3,
        "schedule": "progress",
        "epochs": 200,
        "decay": 0.98,
    },
    StyleSettings: {
        "network": "whitened",
        "width": 384,
        "emphasis": 0.5,
        "pool": 8192,
        "reuse": 2,
        "batch": 256,
        "learning_rate": 2e-3,
        "beta1": 0.9,
        "schedule": "progress",
        "precision": "bfloat16",
    },
}
NEEDS = {"noise_until": "instance_noise", "mismatch_of": "cls_weight"}  # without which a setting has no effect
# where the paper's Algorithm 1 differs from the released code, whose settings are the defaults
PAPER: dict[type, dict[str, Any]] = {GanSettings: {"mismatch": "wrong-text"}}
T = TypeVar("T")


def choose(cls: type[T], fixed: Mapping[str, Any], given: Mapping[str, Any], where: str) -> T:
    """Settings of one part; see `settings.configure_with_preset`."""
    asked = {**vars(cls), **EMBEDDED[cls], **fixed, **given}  # a dataclass has its defaults as attributes
    embedded = {key: value for key, value in EMBEDDED[cls].items() if key not in NEEDS or asked[NEEDS[key]]}
    presets = {"embedded": embedded, "reference": {}, "paper": PAPER.get(cls, {})}
    return settings.configure_with_preset(cls, presets, fixed, given, where)


def card_facts(train: Split, val: Split, seed: int, optimised_for: str | list[str]) -> dict[str, Any]:
    """What the card of trained weights says beside the recipe.

    optimised_for: a purpose, or the names of the weights that guided the training.
    """
    data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest}
    return {"data": data, "seed": seed, "optimised_for": optimised_for}


def shape_of(cls: Callable[..., S], config: Mapping[str, Any]) -> S:
    """The part of a config that a network is built from."""
    values: dict[str, Any] = {field.name: config[field.name] for field in dataclasses.fields(cast(Any, cls))}
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
