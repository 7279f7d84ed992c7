"""The losses of StyleGAN-NADA: images should move in CLIP's space as the texts do.

Not here, as no figure of the authors uses them: the losses on patches, on the manifold and against a texture image, and
targets that are given as images instead of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.model import SAME
from t2ibench.networks.clip.templates import TEMPLATES, fill
from t2ibench.networks.models import Models


@dataclass(frozen=True)
class Guide:
    """One CLIP that guides the training.

    weight: the weight of its losses.
    delta_t: [D], the unit direction from the source text to the target text.
    target: [D], the unit features of the target text, by which layers are chosen.
    global_target: [D], those of the text that the global loss compares with.
    """

    clip: Clip
    weight: float
    delta_t: Tensor
    target: Tensor
    global_target: Tensor

    def features(self, images: Tensor) -> Tensor:
        """Unit features [B, D] of floats in about [-1, 1]; colours beyond the range keep their gradient."""
        return self.clip.image_features(images, clamp=False)


def guides(config: Config, source: str, target: str, models: Models) -> list[Guide]:
    """Every CLIP with a weight above 0; a CLIP that is named twice has the sum of both.

    Raises UserError if the texts are equal, or if a CLIP reads them as equal.
    """
    if " ".join(source.lower().split()) == " ".join(target.lower().split()):
        raise UserError(
            f"stylegan_nada: source and target are both {target!r}, so there is no direction between them: use "
            f"another target"
        )
    weighted_guides = []
    for name, weight in weighted(config).items():
        clip = models.clip(name)
        delta_t = text_direction(clip, source, target, TEMPLATES[config.templates]).to(clip.device)
        of_target = clip.encode_texts([target])[0].to(clip.device)
        reference = config.global_text == "reference"
        compared = clip.encode_texts([f"a {target}"])[0].to(clip.device) if reference else of_target
        weighted_guides.append(Guide(clip, weight, delta_t, of_target, compared))
    return weighted_guides


def weighted(config: Config) -> dict[str, float]:
    """The weight of every CLIP, by name, without weights of 0; a CLIP that is named twice has the sum of both."""
    weights: dict[str, float] = {}
    for name, weight in zip(config.clips, config.clip_weights, strict=True):
        weights[name] = weights.get(name, 0.0) + weight
    return {name: weight for name, weight in weights.items() if weight}


def text_direction(clip: Clip, source: str, target: str, templates: Sequence[str]) -> Tensor:
    """delta_t: the unit direction [D] between the mean features of both texts over all templates.

    As released, the means are not normalised before the subtraction. Raises UserError if the CLIP reads both texts as
    equal.
    """
    before, after = (
        clip.encode_texts([fill(template, text) for template in templates]).mean(0) for text in (source, target)
    )
    if (after - before).norm() < SAME:
        raise UserError(
            f"{clip.name} reads {source!r} and {target!r} as the same text, so there is no direction between them: "
            f"use another target"
        )
    return F.normalize(after - before, dim=0)


def direction_loss(before: Tensor, after: Tensor, delta_t: Tensor, floor: float = 1e-3) -> Tensor:
    """1 - cos(after - before, delta_t) of each image, [B], in [0, 2]; features [B, D] of unit norm, delta_t [D].

    A displacement shorter than `floor` is divided by `floor` instead of its length. So an image that has not moved
    costs 1, and has a finite gradient towards delta_t.
    """
    moved = after - before
    return 1 - (moved @ delta_t) / torch.linalg.vector_norm(moved, dim=1).clamp(min=floor)


def global_loss(features: Tensor, target: Tensor) -> Tensor:
    """1 - cos(image, target text) of each image, [B], in [0, 2]; features [B, D] and target [D] of unit norm."""
    return 1 - features @ target


def views(before: Tensor, after: Tensor, copies: int, scale: float, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """`copies` random views of images [B, 3, H, W], [copies * B, 3, H, W]: the same views of `before` and of `after`.

    A view is a crop whose sides are between 1 - scale and all of the image's. It may reach a twentieth beyond the
    image, where the border is repeated, and is mirrored or not. It has noise of deviation 0.05. Its resolution, which
    all views of a step share, is between a third and all of the image's. A pattern that fools CLIP in one place, or by
    its texture, does not survive this. Such views are used in CLIPDraw (Frans et al., 2021) and FuseDream (Liu et al.,
    2021).
    """
    count, (height, width) = copies * len(before), before.shape[2:]
    u = torch.rand(count, 6, generator=stream)
    side, shift = 1 - scale * u[:, :1], 2 * u[:, 1:3] - 1
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = side[:, 0] * torch.where(u[:, 3] < 0.5, -1.0, 1.0), side[:, 0]
    theta[:, :, 2] = (1 - side) * shift + 0.1 * (2 * u[:, 4:] - 1)
    noise = 0.05 * torch.randn(count, 3, height, width, generator=stream).to(before.device)
    where = F.affine_grid(theta.to(before.device), [count, 3, height, width], align_corners=False)

    share = int(torch.randint(max(1, round(height / 3)), height + 1, (), generator=stream)) / height
    coarse = [max(1, round(share * height)), max(1, round(share * width))]

    def viewed(images: Tensor) -> Tensor:
        moved = F.grid_sample(images.repeat(copies, 1, 1, 1), where, padding_mode="border", align_corners=False)
        small = F.interpolate(moved, coarse, mode="bicubic", antialias=True)
        return F.interpolate(small, [height, width], mode="bicubic") + noise

    return viewed(before), viewed(after)


def total_loss(config: Config, guides: Sequence[Guide], before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """Scalars by name: "direction" and "global", each summed over the guides, if it has a weight; and the whole "loss".

    before, after: images of the frozen and of the learning generator, floats [B, 3, H, W].
    """
    sums: dict[str, Tensor] = {}
    for guide in guides:
        end = guide.features(after)
        terms = {}
        if config.lambda_direction:
            with torch.no_grad():
                start = guide.features(before)
            terms["direction"] = direction_loss(start, end, guide.delta_t, config.floor).mean()
        if config.lambda_global:
            terms["global"] = global_loss(end, guide.global_target).mean()
        for name, term in terms.items():
            sums[name] = guide.weight * term + sums.get(name, 0.0)
    weights = {"direction": config.lambda_direction, "global": config.lambda_global}
    return {"loss": torch.stack([weights[name] * term for name, term in sums.items()]).sum(), **sums}
