"""Which part of an image is shown, and how large: named choices, because scores depend on them.

| crop | what becomes of an image of W x H pixels |
|---|---|
| `squash` | resized to size x size, whatever its aspect ratio |
| `center` | its shorter side is resized to `size`, then the middle is cut out (torchvision's Resize and CenterCrop) |
| `square` | the middle square of min(W, H) is cut out, then resized to `size` (GigaGAN, text2image-benchmark) |
| `box` | the square of 1.5 times the longer side of its box is cut out, then resized to size x size (StackGAN) |
| `none` | it stays as it is |

Filters are Pillow's, which look at every pixel (antialiasing).
"""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from t2ibench.core.errors import UserError

Crop = Literal["squash", "center", "square", "box", "none"]
Filter = Literal["bicubic", "bilinear", "lanczos"]
Box = tuple[float, float, float, float]  # left, top, width, height, in pixels of the file
CROPS, FILTERS = ("squash", "center", "square", "box", "none"), ("bicubic", "bilinear", "lanczos")


@dataclass(frozen=True)
class Framing:
    """How images of any size become images of one size.

    size: pixels a side; None: they are not resized.
    crop, filter: as in the table above.
    """

    size: int | None = None
    crop: Crop = "squash"
    filter: Filter = "bicubic"

    def __post_init__(self) -> None:
        """Raises UserError for a value that is none of these, or where two do not go together."""
        for key, value, known in (("crop", self.crop, CROPS), ("filter", self.filter, FILTERS)):
            if value not in known:
                raise UserError(f"{key} is {value!r}, expected one of {', '.join(known)}")
        if self.size is not None and not 1 <= self.size <= 8192:
            raise UserError(f"size is {self.size}, expected 1 to 8192 pixels, or null to leave the images as they are")
        if self.crop == "none" and self.size is not None:
            raise UserError(f"crop is none and size {self.size}: none leaves images as they are, take the size out")
        if self.crop == "center" and self.size is None:
            raise UserError("crop is center and size null: center needs a size")

    @property
    def cuts(self) -> bool:
        """Whether images of every size come out square where `size` is None."""
        return self.crop in ("square", "box")

    def name(self, width: int, height: int, box: Box | None = None) -> str:
        """What is done to an image of this size, for its digest; empty if it stays as it is."""
        if (self.size is None or (width, height) == (self.size, self.size)) and not self.cuts:
            return ""
        region = self._region(width, height, box)
        if region == (0, 0, width, height) and self.size in (None, width) and self.size in (None, height):
            return ""
        if (self.crop, self.filter) == ("squash", "bicubic"):
            return str(self.size)
        cut = f" {','.join(map(str, region))}" if self.crop == "box" else ""
        return f"{self.size or ''} {self.crop} {self.filter}{cut}".strip()

    def apply(self, image: Image.Image, box: Box | None = None, nearest: bool = False) -> Image.Image:
        """The image, cut and resized. nearest: for masks, whose values must not be mixed."""
        method = Image.Resampling.NEAREST if nearest else Image.Resampling[self.filter.upper()]
        region = self._region(*image.size, box)
        if region != (0, 0, *image.size):
            image = image.crop(region)
        if self.size is None:
            return image
        if self.crop != "center":
            return image if image.size == (self.size, self.size) else image.resize((self.size, self.size), method)
        width, height = image.size
        short = min(width, height)
        width, height = (self.size if side == short else int(self.size * side / short) for side in (width, height))
        image = image if image.size == (width, height) else image.resize((width, height), method)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))

    def _region(self, width: int, height: int, box: Box | None) -> tuple[int, int, int, int]:
        """The part that is cut out before anything is resized: left, top, right, bottom."""
        if self.crop == "square":
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            return left, top, left + side, top + side
        if self.crop == "box" and box is not None:
            return box_region(box, width, height)
        return 0, 0, width, height


def unboxed(name: str, size: int | None, crop: Crop, filter: Filter) -> Framing:
    """The framing of a data set without boxes. name: of the data set, the beginning of the error line.

    Raises UserError for the crop `box`, and as `Framing`.
    """
    if crop == "box":
        raise UserError(f"{name}: crop is box, but these images have no boxes: take center, squash or square")
    return Framing(size, crop, filter)


def box_region(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The 0.75 rule of StackGAN, AttnGAN, DM-GAN and DF-GAN: left, top, right, bottom.

    It is a square of 1.5 times the longer side of the box around the middle of the box, cut off at the borders of the
    image, so it may not be square there. Raises UserError for a box that shows nothing of the image.
    """
    x, y, w, h = (int(value) for value in box)
    r, cx, cy = int(max(w, h) * 0.75), (2 * x + w) // 2, (2 * y + h) // 2
    left, top, right, bottom = max(0, cx - r), max(0, cy - r), min(width, cx + r), min(height, cy + r)
    if left >= right or top >= bottom:
        raise UserError(
            f"the box {tuple(box)} lies outside of its image of {width}x{height} pixels: get the boxes again"
        )
    return left, top, right, bottom
