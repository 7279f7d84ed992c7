"""The losses of StyleGAN-NADA: images should move in CLIP's space as the texts do, or towards images of the target.

All those of the released code; what they read beside texts is in images.py. As there, a loss without a weight is not
computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.stylegan_nada.images import PARTS, image_direction, target_files
from t2ibench.methods.stylegan_nada.settings import LOSSES, Config
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.model import SAME
from t2ibench.networks.clip.templates import TEMPLATES, bare, fill
from t2ibench.networks.models import Models


@dataclass(frozen=True)
class Guide:
    """One CLIP that guides the training.

    weight: the weight of its losses.
    delta_t: [D], the unit direction from the source text to the target text.
    target: [D], the unit features of the target text, by which layers are chosen.
    global_target: [D], those of the text that the global loss compares with.
    parts: [P, D], the unit direction between both texts for each part of an animal; empty without a loss on patches.
    nearness: the cosine between the mean features of both texts.
    """

    clip: Clip
    weight: float
    delta_t: Tensor
    target: Tensor
    global_target: Tensor
    parts: Tensor
    nearness: Tensor

    def features(self, images: Tensor) -> Tensor:
        """Unit features [B, D] of floats in about [-1, 1]; colours beyond the range keep their gradient."""
        return self.clip.image_features(images, clamp=False)


def guides(config: Config, source: str, target: str, models: Models, samples: Tensor | None = None) -> list[Guide]:
    """Every CLIP with a weight above 0; a CLIP that is named twice has the sum of both.

    samples: the generator's own images, floats [M, 3, H, W], from which the direction goes to the setting
        `target_images`, if that names some.

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
        templates = TEMPLATES[config.templates]
        if config.target_images and samples is not None:
            delta_t = image_direction(clip, target_files(config), samples).to(clip.device)
        else:
            delta_t = text_direction(clip, source, target, templates).to(clip.device)
        of_target = clip.encode_texts([target])[0].to(clip.device)
        reference = config.global_text == "reference"
        compared = clip.encode_texts([f"a {target}"])[0].to(clip.device) if reference else of_target
        parts = part_directions(clip, source, target, templates) if config.lambda_patch else delta_t[None][:0]
        nearness = nearness_of(clip, source, target, templates) if config.lambda_manifold else delta_t.new_ones(())
        device = clip.device
        weighted_guides.append(Guide(clip, weight, delta_t, of_target, compared, parts.to(device), nearness.to(device)))
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


def part_directions(clip: Clip, source: str, target: str, templates: Sequence[str]) -> Tensor:
    """The unit directions [P, D] between both texts for each part of an animal, as released: "the nose of a {}."."""
    directions = []
    for part in PARTS:
        before, after = (
            clip.encode_texts([template.format(part.format(bare(text))) for template in templates]).mean(0)
            for text in (source, target)
        )
        directions.append(F.normalize(after - before, dim=0))
    return torch.stack(directions)


def nearness_of(clip: Clip, source: str, target: str, templates: Sequence[str]) -> Tensor:
    """The cosine between the mean features of both texts over all templates, a scalar."""
    before, after = (
        F.normalize(clip.encode_texts([fill(template, text) for template in templates]).mean(0), dim=0)
        for text in (source, target)
    )
    return before @ after


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


def patch_loss(before: Tensor, after: Tensor, parts: Tensor, floor: float = 1e-3) -> Tensor:
    """1 - cos(after - before, part), weighted by the softmax of these cosines over parts; its mean, a scalar.

    before, after: features [B, D] of patches, of unit norm. parts: [P, D], unit directions.
    """
    moved = after - before
    cosines = moved @ parts.T / torch.linalg.vector_norm(moved, dim=1, keepdim=True).clamp(min=floor)  # [B, P]
    return ((1 - cosines) * cosines.softmax(1)).mean()


def manifold_loss(before: Tensor, after: Tensor, nearness: Tensor) -> Tensor:
    """How far the cosine between an image before and after is from that between the texts: its mean, a scalar."""
    return ((before * after).sum(1).clamp(-1, 1) - nearness).abs().mean()


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


def total_loss(
    config: Config,
    guides: Sequence[Guide],
    before: Tensor,
    after: Tensor,
    cut: tuple[Tensor, Tensor] | None = None,
    texture: Tensor | None = None,
) -> dict[str, Tensor]:
    """Scalars by name, each summed over the guides, if it has a weight: "direction", "global", …; and the whole "loss".

    before, after: images of the frozen and of the learning generator, floats [B, 3, H, W].
    cut: patches of both. texture: the loss against an image of a texture, which is counted once for each guide's
        weight, as in the release.
    """
    sums: dict[str, Tensor] = {}
    for guide in guides:
        terms = {}
        if config.lambda_direction or config.lambda_global or config.lambda_manifold:
            end = guide.features(after)
        if config.lambda_direction or config.lambda_manifold:
            with torch.no_grad():
                start = guide.features(before)
        if config.lambda_direction:
            terms["direction"] = direction_loss(start, end, guide.delta_t, config.floor).mean()
        if config.lambda_global:
            terms["global"] = global_loss(end, guide.global_target).mean()
        if config.lambda_manifold:
            terms["manifold"] = manifold_loss(start, end, guide.nearness)
        if config.lambda_patch and cut is not None:
            with torch.no_grad():
                patch = guide.features(cut[0])
            terms["patch"] = patch_loss(patch, guide.features(cut[1]), guide.parts, config.floor)
        if config.lambda_texture and texture is not None:
            terms["texture"] = texture
        for name, term in terms.items():
            sums[name] = guide.weight * term + sums.get(name, 0.0)
    weights = {name: getattr(config, f"lambda_{name}") for name in LOSSES}
    return {"loss": torch.stack([weights[name] * term for name, term in sums.items()]).sum(), **sums}
