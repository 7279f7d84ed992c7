"""P: the smoothed CIELab histogram over a codebook of colours (after S. Karayev's `rayleigh`, as the paper names it).

11 hues, each in 13 pairs of saturation and value, and 13 greys: 156 colours. "5 lightness values" are the full one and
four darker rows; read literally (`lights` = 5) there are 180 colours, as in some re-implementations; the strips that
the paper shows have 156.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

HUES = (0, 0.0833, 0.166, 0.25, 0.333, 0.5, 0.56333, 0.666, 0.73, 0.803, 0.916)  # fractions of a turn, in HSV
AT_MOST = 128  # pixels a side; larger images are averaged down before they are counted


@dataclass(frozen=True)
class Palette:
    """The settings of a palette.

    saturations, lights: the numbers of rows in the codebook.
    sigma: of the smoothing, in units of Lab.
    norm: smoothing by rows changes the sum of a histogram; "unit" brings it back to 1, "faithful" leaves it.
    """

    saturations: int = 5
    lights: int = 4
    sigma: float = 10.0
    norm: Literal["unit", "faithful"] = "unit"


PALETTE = Palette()


@functools.cache
def codebook(palette: Palette = PALETTE) -> np.ndarray:
    """The colours of the codebook in sRGB, float64 [K, 3] in [0, 1].

    They stand hue by hue, full values before darker rows. Greys are last, from white to black.
    """
    from skimage.color import hsv2rgb

    saturations = np.linspace(0, 1, palette.saturations + 2)[1:]  # the last is pure
    darker = np.linspace(1, 0.2, palette.lights + 2)[1:-1]
    rows = [
        *((s, 1.0) for s in saturations),
        *((1.0, value) for value in darker),
        *((0.4, value) for value in darker[:-1]),
    ]
    hsv = np.array([(hue, saturation, value) for hue in HUES for saturation, value in rows])
    return np.concatenate([hsv2rgb(hsv), np.linspace(1, 0, len(rows))[:, None].repeat(3, 1)])


@functools.cache
def lab_codebook(palette: Palette = PALETTE) -> np.ndarray:
    """The colours of the codebook in CIELab (D65), float64 [K, 3]."""
    from skimage.color import rgb2lab

    return rgb2lab(codebook(palette))


@functools.cache
def smoothing(palette: Palette = PALETTE) -> np.ndarray:
    """exp(-d^2 / (2 sigma^2)) of the Lab distances between colours, each row divided by its sum: [K, K]."""
    lab = lab_codebook(palette)
    weights = np.exp(-((lab[:, None] - lab[None]) ** 2).sum(-1) / (2 * palette.sigma**2))
    return weights / weights.sum(1, keepdims=True)


def strict_histogram(lab: np.ndarray, palette: Palette = PALETTE) -> np.ndarray:
    """The share of pixels that are nearest to each colour of the codebook: float64 [B, K], each row sums to 1.

    lab: pixels in CIELab, [B, N, 3].
    """
    colours = torch.from_numpy(lab_codebook(palette))
    pixels, inverse = np.unique(lab.reshape(-1, 3), axis=0, return_inverse=True)  # drawings have few colours
    nearest = torch.cat(
        [torch.cdist(chunk, colours).argmin(1) for chunk in torch.from_numpy(pixels).split(65_536)]
    ).numpy()
    nearest = nearest[inverse.reshape(-1)].reshape(lab.shape[:2])
    return np.stack([np.bincount(row, minlength=len(colours)) for row in nearest]) / lab.shape[1]


def smooth(histogram: np.ndarray, palette: Palette = PALETTE) -> np.ndarray:
    """A strict histogram [B, K] spread over similar colours; entries below 1e-5 become 0."""
    smoothed = histogram @ smoothing(palette).T
    smoothed[smoothed < 1e-5] = 0
    return smoothed / smoothed.sum(1, keepdims=True) if palette.norm == "unit" else smoothed


def palettes(images: Tensor, palette: Palette = PALETTE) -> Tensor:
    """P of uint8 images [B, 3, H, W]: float32 [B, K], on their device. It does not depend on where a pixel is."""
    from skimage.color import rgb2lab

    side = max(images.shape[2:])
    pixels = images.double() / 255
    if side > AT_MOST:
        pixels = torch.nn.functional.interpolate(pixels, scale_factor=AT_MOST / side, mode="area")
    lab = rgb2lab(pixels.permute(0, 2, 3, 1).flatten(1, 2).cpu().numpy())  # [B, N, 3]
    return torch.from_numpy(smooth(strict_histogram(lab, palette), palette)).float().to(images.device)
