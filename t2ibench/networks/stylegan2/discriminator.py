"""The StyleGAN2 discriminator (Karras et al., CVPR 2020), with minibatch standard deviation, and a smaller one."""

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.networks.ranks import whole
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import GAIN, SLOPE, Linear, downsample

GROUP = 4  # samples that share one standard deviation


class Discriminator(nn.Module):
    """Logits [B] of images in [-1, 1], [B, 3, H, H]; positive means real.

    A logit also depends on the other images of the batch (see `spread`), so batches must always be composed alike.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        sizes = config.resolutions[::-1]
        self.from_rgb = Convolution(3, config.channels(sizes[0]), 1)
        self.blocks = nn.ModuleList(Block(config.channels(r), config.channels(r // 2)) for r in sizes[:-1])
        last = config.channels(4)
        self.mix = Convolution(last + 1, last, 3)
        self.hidden, self.out = Linear(last * 16, last), Linear(last, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.from_rgb(images)
        for block in self.blocks:
            x = block(x)
        x = self.mix(spread(x)).flatten(1)
        return cast(Tensor, self.out(F.leaky_relu(self.hidden(x), SLOPE) * GAIN)[:, 0])


class SmallDiscriminator(nn.Module):
    """Logits [B] of small images, by 4x4 convolutions of stride 2 and batch normalisation (Radford et al., ICLR 2016).

    A batch is always normalised by its own statistics, also in evaluation mode.
    """

    def __init__(self, resolution: int, width: int = 32) -> None:
        super().__init__()
        steps = resolution.bit_length() - 3  # down to 4 pixels
        widths = [width * min(2**k, 6) for k in range(steps)]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for a, b in pairwise(widths):
            layers += [
                nn.Conv2d(a, b, 4, 2, 1, bias=False),
                nn.BatchNorm2d(b, track_running_stats=False),
                nn.LeakyReLU(SLOPE),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4))
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.layers(images)[:, 0, 0, 0])


class Convolution(nn.Module):
    """A convolution with equalised learning rate.

    down: filter and halve the size afterwards.
    active: add a bias and apply a leaky ReLU.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down: bool = False, active: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.scale, self.down, self.active = 1 / math.sqrt(inputs * kernel * kernel), down, active

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)
        x = F.leaky_relu(x, SLOPE) * GAIN if self.active else x
        return downsample(x) if self.down else x


class Block(nn.Module):
    """Two convolutions and a shortcut; halves the size. The sum of both paths is scaled by sqrt(1/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, inputs, 3)
        self.second = Convolution(inputs, outputs, 3, down=True)
        self.short = Convolution(inputs, outputs, 1, down=True, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.short(x)) * math.sqrt(0.5)


@whole
def spread(x: Tensor) -> Tensor:
    """Add one channel to x [B, C, H, W]: the mean standard deviation of each sample's group (Karras et al., ICLR 2018).

    A group has `GROUP` samples, taken with a stride: sample i, i + B / GROUP and so on. A batch whose size is not a
    multiple of GROUP is one group.
    """
    batch, _, height, width = x.shape
    group = GROUP if batch % GROUP == 0 else batch
    deviation = (
        x.view(group, batch // group, *x.shape[1:]).var(dim=0, unbiased=False).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    )
    return torch.cat([x, deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)], dim=1)
