"""The identity loss (Patashnik et al., StyleCLIP, ICCV 2021, sec. 4): how much of a face an edit changed.

There are two choices of features. ArcFace is the paper's face network, for photographs of faces; it needs a weights
file. The other choice is the guide CLIP: the features of its first stages are compared at each position. They show that
an image changed, but not whose face it is. Records call this "no face network".
"""

from collections.abc import Callable
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.arcface import ArcFace, face_crop
from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models

Features = Callable[[Tensor], Tensor]  # images in about [-1, 1], [B, 3, H, W], to features of unit norm [B, F]
GUIDE, STAGE = "guide", 2  # stage of the image tower: for a residual network 1/8 of the side


def identity_features(name: str, clip: Clip, models: Models) -> tuple[Features, str]:
    """The features behind L_ID, and their name in a record.

    name: "guide", or the file of ArcFace's weights.
    Raises UserError for a file that is missing or has other weights.
    """
    if name == GUIDE:
        return lambda images: guide_features(clip, images), f"features of {clip.name}, stage {STAGE}, no face network"
    network = ArcFace.from_file(Path(name)).to(models.device)
    return lambda images: network(face_crop(images)), "ArcFace IR-SE50"


def guide_features(clip: Clip, images: Tensor) -> Tensor:
    """Features of CLIP's image tower after stage `STAGE`: [B, positions * channels].

    They have unit norm at every position, and then as a whole. So the cosine of two images is the mean of the cosines
    at the positions. Raises UserError for an image tower without stages.
    """
    tower = clip.model.visual
    if not hasattr(tower, "forward_intermediates"):
        kind = type(tower).__name__
        raise UserError(
            f"{clip.name}: its image tower {kind} has no stages to compare: give ArcFace's file, or no weight to "
            f"identity"
        )
    pixels = clip.preprocess.normalise(clip.preprocess.resize((images + 1) / 2))
    # open_clip's residual tower leaves out the later stages when it is told not to stop early
    outputs = tower.forward_intermediates(pixels, indices=[STAGE], stop_early=False, intermediates_only=True)  # type: ignore[operator]
    [stage] = outputs["image_intermediates"]
    return F.normalize(F.normalize(stage, dim=1).flatten(1), dim=1)


def identity_loss(edited: Tensor, source: Tensor) -> Tensor:
    """L_ID = 1 - <f(edited), f(source)>: [B], in [0, 2].

    edited, source: features of unit norm, [B, F]. No gradient flows to the source.
    """
    return 1 - (edited * source.detach()).sum(1)
