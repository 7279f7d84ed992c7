"""Every setting of StyleGAN-NADA. The defaults work with the zoo's networks.

Nothing of the paper beyond its abstract could be checked, so "reference" means the released code, and there is no
preset "paper".
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import BelowOne, Count, NotNegative, Positive, Share, Whole, check_ranges
from t2ibench.core.settings import LATER, recorded

LOSSES = ("direction", "global", "patch", "manifold", "texture")  # each with a weight `lambda_…`


@dataclass(frozen=True)
class Config:
    generator: str = "stylegan2-avatars"  # of the zoo, or a file: .pkl, .pt or .safetensors
    # "auto": all guides of the data set; or of the zoo, or model:tag of open_clip; never one that scores
    clips: tuple[str, ...] = ("auto",)
    clip_weights: tuple[NotNegative, ...] = ()  # of each clip's loss, 1 unless given; a clip of weight 0 is not loaded

    # images
    truncation_psi: float = 0.7  # towards the parent's stored mean w, in parent and child alike
    strength: float = 1.0  # share of the way from the parent's weights to the adapted ones; beyond 1 exaggerates
    # an adaptation that is used for every text: a name of the zoo, a file such as step-00150.safetensors, or a child
    # that the released code wrote, such as anime.pt, beside the generator that it was adapted from
    weights: str = ""
    source: str = "a face avatar"  # the generator's own domain, used if only a prompt is given
    # named: a prompt is drawn in the domain that it names, or in the parent's; every: each prompt is trained for
    prompts: Literal["named", "every"] = "named"
    domains: tuple[str, ...] = ()  # targets that a prompt may name, beside those in the zoo

    # training
    steps: Count = 500
    keep_every: Whole = 100  # steps after which weights are also kept; 0: only the last ones
    batch: Count = 8  # the reference has 2 to 4
    learning_rate: Positive = 0.002  # of Adam; the reference has 0.002 * 4/5
    seed: int = 0
    templates: Literal["plain", "imagenet"] = "plain"  # around both texts; imagenet is the reference
    lambda_direction: NotNegative = 1.0
    lambda_global: NotNegative = 0.0  # the loss that chooses layers, here as a training loss: for ablations
    # the text that this loss compares with: the target, or "a " and the target (reference)
    global_text: Literal["target", "reference"] = field(default="target", metadata=LATER)
    # images of the target, or folders of them, which the direction loss goes to instead of the target text; they then
    # stand for every target that is asked for
    target_images: tuple[str, ...] = field(default=(), metadata=LATER)
    target_latents: Count = field(default=16, metadata=LATER)  # the generator's images that the direction starts from
    # losses of the release that no figure of its authors uses
    lambda_patch: NotNegative = field(default=0.0, metadata=LATER)  # on a patch of each image, by parts of animals
    patch_side: Count = field(default=510, metadata=LATER)  # pixels (reference: 510, which needs more than 510)
    lambda_manifold: NotNegative = field(
        default=0.0, metadata=LATER
    )  # on how near before and after are, as the texts are
    lambda_texture: NotNegative = field(default=0.0, metadata=LATER)  # on the distance to an image of a texture
    texture: str = field(default="", metadata=LATER)  # that image
    texture_clip: str = field(default="RN50:openai", metadata=LATER)  # whose embeddings are compared
    # ours, against images that fool CLIP: it sees this many moved copies of each image; 0: the image (reference)
    views: Whole = 4
    view_scale: BelowOne = 0.3  # a view shows between 1 - view_scale of the sides and all
    floor: Positive = 1e-3  # a shorter displacement of features counts as one of this length
    # the layers that learn if `layers` is 0
    phase: Literal["default", "texture", "shape", "shape_expanded", "no_fine", "all"] = "all"
    train_affine: bool = True  # train affine layers (reference for StyleGAN2)
    train_kernels: bool = True  # train convolutions (reference); without them no strokes can be drawn
    train_noise: bool = False  # train the strengths of noise maps (reference); without, noise cannot serve a target
    # k: how many layers learn, chosen anew every `layers_every` steps; below 1: a share of W+'s rows; 0: see `phase`
    layers: NotNegative = 0.0
    layers_every: Count = 1  # steps between choices
    layers_iterations: Count = 1  # steps of descent on the latents behind a choice
    layers_batch: Count = 8  # latents behind a choice
    row_map: Literal["corrected", "reference"] = "corrected"  # reference: row r > 1 trains the layer before its own
    mixing: Share = 0.0  # share of steps whose images cross two latents over at a random row
    paired: bool = True  # parent and child draw with the same noise and the same crossover; False: the reference
    noise: Literal["random", "const"] = "random"  # fresh noise in every layer, or the generator's own maps
    training_psi: float = 1.0

    # mining, the second step for changes of shape: a latent mapper for the adapted generator
    mining_steps: Whole = 0  # 0: no mining; the reference takes 50,001
    mining_codes: Count = 5000
    mining_batch: Count = 4  # the reference has 2
    mining_optimiser: Literal["ranger", "adam"] = "adam"  # the reference has ranger
    mining_learning_rate: Positive = 0.5
    mining_schedule: Literal["constant", "cosine"] = "cosine"  # the reference has constant
    mining_residual: float = 0.1
    mining_clip: NotNegative = 1.0  # on each CLIP that has a weight
    mining_l2: NotNegative = 0.8
    mining_id: NotNegative = 0.1  # 0 for what is no face
    mining_norm: NotNegative = 0.5  # on the length of the first CLIP's embeddings
    identity: str = "guide"  # features of the identity term: the first CLIP's ("guide"), or a file of ArcFace's weights

    def __post_init__(self) -> None:
        counted = "auto" not in self.clips  # else nobody knows yet how many they are
        if counted:
            object.__setattr__(self, "clip_weights", self.clip_weights or (1.0,) * len(self.clips))  # a frozen class
        check_ranges(self, "stylegan_nada")
        if counted and len(self.clips) != len(self.clip_weights):
            raise UserError(
                f"stylegan_nada: {len(self.clips)} clips with {len(self.clip_weights)} clip_weights, expected one for "
                f"each"
            )
        if self.clip_weights and not sum(self.clip_weights) > 0:
            raise UserError(f"stylegan_nada: clip_weights are {list(self.clip_weights)}, expected one above 0")
        weights = {name: getattr(self, f"lambda_{name}") for name in LOSSES}
        if not sum(weights.values()) > 0:
            given = ", ".join(f"lambda_{name} is {value}" for name, value in weights.items())
            raise UserError(f"stylegan_nada: {given}: expected one above 0")
        if bool(self.texture) != (self.lambda_texture > 0):
            given = f"texture is {self.texture!r}" if self.texture else f"lambda_texture is {self.lambda_texture}"
            other = "lambda_texture, above 0," if self.texture else "texture, an image,"
            raise UserError(f"stylegan_nada: {given}, which has no effect alone: give {other} too")


@dataclass(frozen=True)
class Training(Config):
    """The settings of `t2ibench train`, which also needs the domain to move to."""

    target: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.target.strip():
            raise UserError(
                "stylegan_nada: target is missing: name the domain, --set target='a pencil sketch of a face'"
            )


# The command of the released code's README. Its scripts and notebook have other budgets: see budgets.yaml.
REFERENCE: dict[str, Any] = {
    "truncation_psi": 0.7,
    "strength": 1.0,
    "steps": 301,
    "keep_every": 150,
    "batch": 2,
    "learning_rate": 0.0016,
    "seed": 2,
    "templates": "imagenet",
    "lambda_direction": 1.0,
    "lambda_global": 0.0,
    "global_text": "reference",
    "target_latents": 16,
    "lambda_patch": 0.0,
    "patch_side": 510,
    "lambda_manifold": 0.0,
    "lambda_texture": 0.0,
    "texture_clip": "RN50:openai",
    "views": 0,
    "phase": "default",
    "train_affine": True,
    "train_kernels": True,
    "train_noise": True,
    "layers": 18.0,
    "layers_every": 1,
    "layers_iterations": 1,
    "layers_batch": 8,
    "row_map": "reference",
    "mixing": 0.0,
    "paired": False,
    "noise": "random",
    "training_psi": 1.0,
    "mining_codes": 5000,
    "mining_batch": 2,
    "mining_optimiser": "ranger",
    "mining_learning_rate": 0.5,
    "mining_schedule": "constant",
    "mining_residual": 0.1,
    "mining_clip": 1.0,
    "mining_l2": 0.8,
    "mining_id": 0.1,
    "mining_norm": 0.5,
    "identity": "model_ir_se50.pth",
}
PRESETS: dict[str, dict[str, Any]] = {"embedded": {}, "reference": REFERENCE}
DECIDE_IMAGES = (
    "generator",
    "clips",
    "clip_weights",
    "truncation_psi",
    "strength",
    "weights",
    "source",
    "prompts",
    "domains",
    "identity",
)
DECIDE_LENGTH = ("steps", "keep_every")
FILES = ("target_images", "texture", "texture_clip")  # of which contents count, not names


def training_settings(config: Config) -> dict[str, Any]:
    """The settings that decide each step of an adaptation, without the number of steps and the names of networks."""
    left_out = {*DECIDE_IMAGES, *DECIDE_LENGTH, *FILES, "target"}
    counted = recorded(config)  # a later setting at its default changes no adaptation that was made before it
    names = [name for name in counted if not name.startswith("mining_")]
    return {name: getattr(config, name) for name in names if name not in left_out}
