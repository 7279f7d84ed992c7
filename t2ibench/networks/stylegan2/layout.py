"""The layout of a StyleGAN2 generator, computed without building it: layers, rows of W+ and channels of style space S.

It is config-f of Karras et al. (CVPR 2020): the "skip" architecture, with min(channel_base / resolution, channel_max)
channels. S consists of the *input* channels of all modulated convolutions, in the order in which they run: conv1 and
toRGB at 4 pixels, then conv0, conv1 and toRGB of each resolution. A toRGB shares its row of W+ with the conv0 of the
next resolution.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count, Positive, check_ranges


@dataclass(frozen=True)
class Config:
    resolution: int = 64
    z_dim: Count = 512
    w_dim: Count = 512
    mapping_layers: Count = 8
    channel_base: Count = 32768  # config-f; config-e and small configs of the ADA release halve it
    channel_max: Count = 512
    clamp: Positive | None = None  # activations are cut off at +-clamp, as in models trained in mixed precision (256)
    mapping_features: Count | None = None  # of the layers inside the mapping; None: as many as w has

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise UserError(f"stylegan2: resolution is {self.resolution}, expected a power of two of at least 8")
        check_ranges(self, "stylegan2")
        if self.channel_base < self.resolution:
            raise UserError(
                f"stylegan2: channel_base is {self.channel_base}, which leaves no channel at {self.resolution} pixels"
            )

    def channels(self, resolution: int) -> int:
        return min(self.channel_base // resolution, self.channel_max)

    @property
    def resolutions(self) -> list[int]:
        """4, 8, … resolution."""
        return [2**k for k in range(2, self.resolution.bit_length())]

    @cached_property
    def layers(self) -> tuple["Layer", ...]:
        """Every modulated convolution, in the order of S."""
        layers: list[Layer] = []
        start = 0
        for resolution in self.resolutions:
            row = 2 * (resolution.bit_length() - 3) - 1  # of conv0; conv1 has the next, toRGB the one after
            wide, narrow = self.channels(max(resolution // 2, 4)), self.channels(resolution)
            kinds: list[tuple[Kind, int, int]] = [
                ("conv0", wide, row),
                ("conv1", narrow, row + 1),
                ("torgb", narrow, row + 2),
            ]
            for kind, channels, of in kinds[1:] if resolution == 4 else kinds:
                layers.append(Layer(f"b{resolution}.{kind}", kind, resolution, channels, of, start))
                start += channels
        return tuple(layers)

    @property
    def rows(self) -> int:
        """L, the rows of W+: 2 log2(resolution) - 2."""
        return self.layers[-1].row + 1

    @property
    def style_channels(self) -> int:
        """C, the channels of S."""
        return self.layers[-1].stop


Kind = Literal["conv0", "conv1", "torgb"]


@dataclass(frozen=True)
class Layer:
    """One modulated convolution.

    name: as in NVlabs' keys, after `synthesis.`.
    kind: "conv0", "conv1" or "torgb".
    resolution: of its output, in pixels.
    channels: number of its input channels.
    row: the row of W+ that it reads.
    start: its styles are s[:, start:stop].
    """

    name: str
    kind: Kind
    resolution: int
    channels: int
    row: int
    start: int

    @property
    def stop(self) -> int:
        return self.start + self.channels

    @property
    def is_rgb(self) -> bool:
        return self.kind == "torgb"
