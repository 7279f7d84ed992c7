"""Features of a CLIP's convolutional image tower at each scale, for perceptual losses and projected discriminators."""

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.networks.clip.model import Clip


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
    sides = (clip.preprocess.size, clip.preprocess.size)
    x = F.interpolate((images + 1) / 2, sides, mode="bilinear", antialias=True)
    x = clip.preprocess.normalise(x).contiguous(memory_format=torch.channels_last)
    x = tower.act1(tower.bn1(tower.conv1(x)))
    x = tower.act2(tower.bn2(tower.conv2(x)))
    x = tower.act3(tower.bn3(tower.conv3(x)))
    scales = [x]
    x = tower.avgpool(x)
    for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        x = stage(x)
        scales.append(x)
    return scales
