"""Every setting of StyleCLIP's three variants; the defaults are those that work with the zoo's generator and guide CLIP.

Where the released code ("reference") and the paper differ, both can be chosen.
"""

from dataclasses import dataclass
from typing import Literal

from t2ibench.errors import UserError


@dataclass(frozen=True)
class Config:
    variant: Literal["optimization", "mapper", "global"] = "global"
    generator: str = "stylegan2-avatars"  # of the zoo, or a file: .pkl, .pt or .safetensors
    clip: str = "clip-guide-avatars"  # of the zoo, or model:tag of open_clip; never the one that scores
    truncation_psi: float = 0.7  # of the source images, all rows, towards the stored mean w
    neutral: str = "a person"  # what a source shows, where only a prompt is given: its domain's noun

    # global directions
    templates: Literal["plain", "imagenet"] = "plain"  # around both texts; imagenet is the reference
    relevance: Literal["vjp", "table"] = "vjp"  # of a style channel: gradients for one prompt, or the reference's table for all prompts
    alpha: float = 4.1  # edit strength; a negative value reverses the edit
    beta: float = 0.15  # edit only channels whose |relevance| reaches this
    select: Literal["beta", "automatic", "top"] = "beta"  # automatic: the largest beta in 0.10 … 0.29 that keeps more than `channels`
    channels: int = 20  # for automatic and top; the reference has 20 for faces, 100 otherwise
    scaling: Literal["reference", "paper"] = "reference"  # sigma * relevance / largest relevance, or the relevance alone (eq. 6)
    max_resolution: int = 128  # layers above are not edited; the paper edits all but toRGB
    statistics_samples: int = 20_000  # latents behind mean and deviation of each channel; the reference takes 100,000
    statistics_cutoff: int | None = None  # psi acts on rows below it there; None: on all. The released PyTorch port has 8
    images: int = 32  # codes that relevance is averaged over; the reference takes 100
    probes: int = 16  # vjp: random directions an image from which the size of each channel's effect is estimated
    step: float = 5.0  # table: each channel is moved by +- this many deviations
    base: Literal["restore", "cumulative"] = "restore"  # table: cumulative leaves visited channels at their mean, a fault of the release
    center: Literal["mean", "own"] = "mean"  # table: step from the channel's mean (reference) or from the image's own value (eq. 5)
    unit_differences: bool = True  # table: normalise an image's difference before averaging (reference), or not (eq. 5)

    def __post_init__(self) -> None:
        for name, low in (("beta", 0.0), ("channels", 1), ("images", 1), ("probes", 1), ("statistics_samples", 2)):
            if not getattr(self, name) >= low:
                raise UserError(f"styleclip: {name} is {getattr(self, name)}, expected at least {low:g}")
        if not self.step > 0:
            raise UserError(f"styleclip: step is {self.step}, expected more than 0")
