"""The 64x64 generator and the two discriminators of the released Torch7 code (main_cls_int.lua, main_cls.lua).

The residual blocks are in the code and not in the paper. The released code sets the biases of convolutions to zero
before every step, so `conv_bias=False` is the same network. A network that keeps the biases needs `reset_conv_biases`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from t2ibench.core.ranges import Count


@dataclass(frozen=True)
class Shape:
    """Widths and switches of a generator and its discriminator.

    The defaults are the released script for CUB and Flowers.
    """

    text_dim: int = 1024  # T, width of a caption embedding
    nz: Count = 100  # width of the noise
    nt: Count = 128  # width that each network projects the embedding to
    ngf: Count = 128
    ndf: Count = 64
    # whether an activation follows the third convolution of D: not for CUB and Flowers, but in the COCO script
    third_act: bool = False
    text_norm: bool = True  # batch norm on D's projected text; False in the COCO script
    large: bool = False  # a second residual block after each of G's (an option of the COCO script)
    conv_bias: bool = True  # False: biases that training keeps at zero anyway are left out


class Residual(nn.Module):
    """x + branch(x), without an activation after the sum.

    The branch has 1x1, 3x3 and 3x3 convolutions with batch norm; between them there are `width` channels.
    """

    def __init__(self, channels: int, width: int, activation: nn.Module, bias: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=bias),
            nn.BatchNorm2d(width),
            activation,
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
            nn.BatchNorm2d(width),
            activation,
            nn.Conv2d(width, channels, 3, padding=1, bias=bias),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Generator(nn.Module):
    """G(z, h): noise [B, nz] and caption embeddings [B, T] to images in [-1, 1], [B, 3, 64, 64].

    The joint code is z, then text.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        n, bias = shape.ngf, shape.conv_bias

        def up(a: int, b: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
            return [nn.ConvTranspose2d(a, b, 4, stride, padding, bias=bias), nn.BatchNorm2d(b)]

        def blocks(channels: int, width: int) -> list[nn.Module]:
            return [Residual(channels, width, nn.ReLU(), bias) for _ in range(1 + shape.large)] + [nn.ReLU()]

        self.text = nn.Sequential(nn.Linear(shape.text_dim, shape.nt), nn.LeakyReLU(0.2))
        self.image = nn.Sequential(
            *up(shape.nz + shape.nt, 8 * n, stride=1, padding=0),  # 4x4; no activation before the block
            *blocks(8 * n, 2 * n),
            *up(8 * n, 4 * n),  # 8x8; none here either
            *blocks(4 * n, n),
            *up(4 * n, 2 * n),  # 16x16
            nn.ReLU(),
            *up(2 * n, n),  # 32x32
            nn.ReLU(),
            nn.ConvTranspose2d(n, 3, 4, 2, 1, bias=bias),
            nn.Tanh(),
        )
        initialise(self)

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        return self.image(torch.cat([z, self.text(text)], dim=1)[:, :, None, None])


class Discriminator(nn.Module):
    """D(x, h): the probability, [B], that images [B, 3, 64, 64] are real and belong to the embeddings [B, T]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        n, bias, leaky = shape.ndf, shape.conv_bias, nn.LeakyReLU(0.2)
        self.trunk = nn.Sequential(
            *trunk(n, shape.third_act, bias), Residual(8 * n, 2 * n, leaky, bias), leaky
        )  # [B, 8n, 4, 4]
        norm = [nn.BatchNorm1d(shape.nt)] if shape.text_norm else []
        self.text = nn.Sequential(nn.Linear(shape.text_dim, shape.nt), *norm, leaky)
        self.joint = nn.Sequential(
            nn.Conv2d(8 * n + shape.nt, 8 * n, 1, bias=bias),
            nn.BatchNorm2d(8 * n),
            leaky,
            nn.Conv2d(8 * n, 1, 4, bias=bias),
        )
        initialise(self)

    def logits(self, images: Tensor, text: Tensor) -> Tensor:
        """Log-odds of `forward`, [B]. The losses take them: they are exact even if the probability rounds to 0 or 1."""
        return self.match(self.trunk(images), text)

    def match(self, features: Tensor, text: Tensor) -> Tensor:
        """Log-odds [B] from `trunk` features [B, 8n, 4, 4] and embeddings [B, T].

        So one pass over an image serves several texts.
        """
        replicated = self.text(text)[:, :, None, None].expand(-1, -1, 4, 4)
        return self.joint(torch.cat([features, replicated], dim=1)).flatten()

    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        return self.logits(images, text).sigmoid()


def trunk(n: int, third_act: bool, bias: bool, final: bool = False) -> list[nn.Module]:
    """Four convolutions with stride 2, [B, 3, 64, 64] to [B, 8n, 4, 4].

    final: add an activation at the end, which D only has after its residual block.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, n, 4, 2, 1, bias=bias), nn.LeakyReLU(0.2)]
    for channels, activated in ((n, True), (2 * n, third_act), (4 * n, final)):
        layers += [nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=bias), nn.BatchNorm2d(2 * channels)]
        layers += [nn.LeakyReLU(0.2)] if activated else []
    return layers


class ImageEncoder(nn.Module):
    """D's image trunk, then a 4x4 convolution: images [B, 3, 64, 64] to [B, out].

    It is the style encoder S (out = nz), for which the paper gives no layers, and the image side of a joint embedding.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*trunk(width, third_act=True, bias=True, final=True), nn.Conv2d(8 * width, out, 4))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).flatten(1)


def initialise(network: nn.Module) -> None:
    """Initialise convolutions by N(0, 0.02) and batch norms by N(1, 0.02), both with zero bias.

    Linear layers keep their default. A network on the device "meta" has no numbers and stays as it is: to draw there
    loads torch's compiler, which takes seconds.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    reset_conv_biases(network)


@torch.no_grad()
def reset_conv_biases(network: nn.Module) -> None:
    """Set the bias of every convolution to zero, as the released code does before each step of G and of D."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            module.bias.zero_()
