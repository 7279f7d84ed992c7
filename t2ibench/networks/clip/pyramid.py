"""Features of a CLIP's image tower at several depths, for perceptual losses and projected discriminators."""

from typing import cast

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.clip.model import Clip

DEPTHS = 4  # of a transformer: after each quarter of its blocks


def stages(clip: Clip, images: Tensor) -> list[Tensor]:
    """Features [B, C, h, w] at several depths: those of `pyramid`, or of a transformer's patches; differentiable.

    images: floats in about [-1, 1]. Raises UserError for an image tower of another kind.
    """
    tower = clip.model.visual
    if not isinstance(tower, VisionTransformer):
        return pyramid(clip, images)
    blocks = len(tower.transformer.resblocks)
    depths = sorted({max(0, (quarter + 1) * blocks // DEPTHS - 1) for quarter in range(DEPTHS)})
    outputs = tower.forward_intermediates(_read(clip, images), indices=depths, intermediates_only=True)
    return cast(list[Tensor], outputs["image_intermediates"])


def pyramid(clip: Clip, images: Tensor) -> list[Tensor]:
    """Features [B, C, h, w] of the stem before its pooling and of the four stages, from fine to coarse; differentiable.

    images: floats in about [-1, 1].
    Unlike in `Clip.image_features`, colours out of range are not clipped, so that a generator gets a gradient back into
    the range. Raises UserError for an image tower that is not a ResNet.
    """
    tower = clip.model.visual
    if not isinstance(tower, ModifiedResNet):
        raise UserError(
            f"{clip.name}: its image tower is a {type(tower).__name__}, features of every scale need a ResNet: use "
            f"another CLIP"
        )
    x = _read(clip, images).contiguous(memory_format=torch.channels_last)
    x = tower.act1(tower.bn1(tower.conv1(x)))
    x = tower.act2(tower.bn2(tower.conv2(x)))
    x = tower.act3(tower.bn3(tower.conv3(x)))
    scales = [x]
    x = tower.avgpool(x)
    for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        x = stage(x)
        scales.append(x)
    return scales


def _read(clip: Clip, images: Tensor) -> Tensor:
    sides = (clip.preprocess.size, clip.preprocess.size)
    return clip.preprocess.normalise(F.interpolate((images + 1) / 2, sides, mode="bilinear", antialias=True))
