"""The StyleGAN2 generator (Karras et al., CVPR 2020) in plain PyTorch: Z -> W -> W+ -> S -> image.

Each of these spaces can be entered by a method of `Generator`. Parameters have the names of NVlabs' PyTorch release,
except `blocks` for `synthesis` and `const` for `synthesis.b4.const`.

Three things make it fast. Modulation scales the input of a convolution and demodulation its output, so the whole batch
shares the weights and no grouped convolution is needed; the numbers are the same as if the weights of each sample were
scaled. The gain of an activation is multiplied into what comes before it, since a leaky ReLU is positively homogeneous.
Feature maps are channels-last and changed in place: new maps of a batch cost more in page faults than in arithmetic.
benchmarks/speed/stylegan2.py compares the speed with that of the public code's portable path.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.networks.stylegan2.layout import Config, Layer

SLOPE, GAIN = 0.2, math.sqrt(2.0)  # of every leaky ReLU
MEAN_DECAY = 0.995  # of the running mean of w
Noise = Literal["const", "none"] | Sequence[Tensor]


class Generator(nn.Module):
    """The generator in four steps, from latents to images.

    mapping: z [B, z_dim] to w [B, w_dim].
    truncate: w to w_plus [B, L, w_dim].
    style: w_plus to s [B, C].
    synthesis: s to images [B, 3, H, H], floats in about [-1, 1], not clamped.

    Row i of each result depends on row i of its input alone.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.layers = config, config.layers
        self.mapping = Mapping(config)
        self.const = nn.Parameter(torch.randn(config.channels(4), 4, 4))
        self.blocks = nn.ModuleDict({f"b{resolution}": nn.ModuleDict() for resolution in config.resolutions})
        for layer in self.layers:
            self._block(layer)[layer.kind] = _modulated(layer, config)

    def truncate(self, w: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w_plus [B, L, w_dim]: w [B, w_dim] in every row, moved towards the mean w.

        psi: the distance from the mean is multiplied by it.
        cutoff: only rows before it are moved; None moves all.
        """
        rows = w[:, None].expand(-1, self.config.rows, -1)
        if psi == 1.0:
            return rows
        drawn = self.mapping.w_avg.lerp(rows, psi)
        return drawn if cutoff is None else torch.cat([drawn[:, :cutoff], rows[:, cutoff:]], dim=1)

    def style(self, w_plus: Tensor) -> Tensor:
        """s [B, C]: the scales of the input channels of all convolutions.

        Those of toRGB layers are without the factor 1 / sqrt(fan-in).
        """
        return torch.cat([self._layer(layer).affine(w_plus[:, layer.row]) for layer in self.layers], dim=1)

    def synthesis(self, s: Tensor, noise: Noise = "const") -> Tensor:
        """Images [B, 3, H, H] of styles s [B, C].

        noise: "const" for the generator's fixed maps, "none", or one map [B or 1, 1, r, r] for each layer with noise,
        in
            order.
        """
        x = self.const.to(s.dtype)[None].expand(len(s), -1, -1, -1).clone(memory_format=torch.channels_last)
        maps = iter(noise if not isinstance(noise, str) else ())
        image: Tensor | None = None
        for layer in self.layers:
            module, styles = self._layer(layer), s[:, layer.start : layer.stop]
            if isinstance(module, ToRGB):
                rgb = module(x, styles).to(torch.promote_types(x.dtype, torch.float32))
                image = rgb if image is None else upsample(image) + rgb
            else:
                x = module(x, styles, noise if isinstance(noise, str) else next(maps))
        assert image is not None  # every resolution has a toRGB
        return image

    def forward(self, z: Tensor, psi: float = 1.0, noise: Noise = "const") -> Tensor:
        return self.synthesis(self.style(self.truncate(self.mapping(z), psi)), noise)

    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """(1, r, r) of each noise map that `synthesis` takes."""
        return [(1, layer.resolution, layer.resolution) for layer in self.layers if not layer.is_rgb]

    def _block(self, layer: Layer) -> nn.ModuleDict:
        return self.blocks[f"b{layer.resolution}"]  # type: ignore[return-value]

    def _layer(self, layer: Layer) -> "Modulated | ToRGB":
        return self._block(layer)[layer.kind]  # type: ignore[return-value]


class Linear(nn.Module):
    """A fully connected layer with equalised learning rate.

    Weights have unit variance and are scaled by rate / sqrt(fan-in) when used.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full([outputs], bias / rate))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Mapping(nn.Module):
    """From z [B, z_dim] to w [B, w_dim].

    z is divided by its root mean square. Fully connected layers with a learning rate of 0.01 follow, each with a leaky
    ReLU. The buffer `w_avg` is the mean w.
    """

    w_avg: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        inside = config.mapping_features or config.w_dim
        sizes = [config.z_dim] + [inside] * (config.mapping_layers - 1) + [config.w_dim]
        for k, (inputs, outputs) in enumerate(pairwise(sizes)):
            self.add_module(f"fc{k}", Linear(inputs, outputs, rate=0.01))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.children():
            x = F.leaky_relu(layer(x), SLOPE) * GAIN
        return x


class Modulated(nn.Module):
    """A 3x3 convolution: styles scale its input channels, and its output channels are brought back to unit variance.

    conv0 doubles the resolution: a transposed convolution, then the filter [1, 3, 3, 1] in both directions.
    """

    noise_const: Tensor
    filter: Tensor

    def __init__(self, layer: Layer, outputs: int, config: Config) -> None:
        super().__init__()
        self.up, self.clamp = layer.kind == "conv0", config.clamp
        self.affine = Linear(config.w_dim, layer.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, layer.channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(layer.resolution, layer.resolution))
        self.register_buffer("filter", fir(4.0).expand(outputs, 1, 4, 4).contiguous(), persistent=False)

    def forward(self, x: Tensor, styles: Tensor, noise: Literal["const", "none"] | Tensor) -> Tensor:
        """x [B, I, r, r] and styles [B, I] -> [B, O, r', r']."""
        energy = self.weight.square().sum(dim=(2, 3))  # [O, I]
        demodulate = (styles.square() @ energy.T + 1e-8).rsqrt() * GAIN
        x = scaled(x, styles)
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = F.conv2d(x, self.filter.to(x.dtype), padding=1, groups=x.shape[1])
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = scaled(x, demodulate)
        if not isinstance(noise, str) or noise == "const":
            noise = self.noise_const if isinstance(noise, str) else noise
            x = x.add_((noise * (self.noise_strength * GAIN)).to(x.dtype))
        x = F.leaky_relu(x.add_((self.bias * GAIN).to(x.dtype)[:, None, None]), SLOPE, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to three colours, not demodulated."""

    def __init__(self, layer: Layer, config: Config) -> None:
        super().__init__()
        self.clamp = config.clamp
        self.affine = Linear(config.w_dim, layer.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, layer.channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        weight = self.weight[:, :, 0, 0] * (styles / math.sqrt(x.shape[1]))[:, None]  # [B, 3, I]
        rgb = torch.einsum("boi, bihw -> bohw", weight, x) + self.bias[:, None, None]
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)


def _modulated(layer: Layer, config: Config) -> Modulated | ToRGB:
    return ToRGB(layer, config) if layer.is_rgb else Modulated(layer, config.channels(layer.resolution), config)


def scaled(x: Tensor, scales: Tensor) -> Tensor:
    """x [B, C, r, r] times the scale of each channel, [B, C]. Changes x in place if no gradient is recorded."""
    scales = scales.to(x.dtype)[:, :, None, None]
    return x * scales if torch.is_grad_enabled() else x.mul_(scales)


def fir(gain: float = 1.0) -> Tensor:
    """The filter [1, 3, 3, 1] x [1, 3, 3, 1] of sum `gain`, float32 [4, 4]."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return gain * taps[:, None] * taps / 64


def upsample(images: Tensor) -> Tensor:
    """Double the size as the reference does: zeros between pixels, padding (2, 1) and the filter with gain 4.

    This equals bilinear interpolation with a border of zeros.
    """
    return F.interpolate(F.pad(images, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]


def downsample(x: Tensor) -> Tensor:
    """Halve the size: the filter of sum 1 with padding 1, then every second pixel."""
    return F.conv2d(x, fir().to(x).expand(x.shape[1], 1, 4, 4), stride=2, padding=1, groups=x.shape[1])
