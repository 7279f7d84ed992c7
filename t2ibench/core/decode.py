"""What an image file becomes: RGB, 8 bits a channel. Everything here is a rule that decides pixels.

- Grey levels of 16 bits are scaled to 8 (65,535 becomes 255). Colours of 16 bits lose their lower byte, as in Pillow.
  Levels without a known range (32 bits, floats) are refused.
- `exif`: a photo may say that it is to be turned. Viewers and Hugging Face's imagefolder turn it; clean-fid,
  pytorch-fid and torch-fidelity do not.
- `alpha`: transparent pixels have no colour until they lie on one. clean-fid and its peers drop the channel, which
  shows whatever colour stands under it.
- A file of several frames or pages is refused: which of them is the image?
- CMYK and palettes become RGB as Pillow does it, without colour profiles, as in all peers.
"""

import functools
import io
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from t2ibench.core.errors import UserError

MAX_PIXELS = 64_000_000  # larger files are refused before they are decoded
# what Pillow raises for files that are broken or of a kind that it does not know
BROKEN = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)
READING = "rgb-2"  # how a file becomes pixels; raised when the same file becomes other pixels
REFUSE, DROP = "refuse", "drop"
TURNED, NOT_TURNED, SIXTEEN, DROPPED, LAID = "turned", "not turned", "16 bits", "alpha dropped", "on "  # the rules


@functools.cache
def formats() -> list[str]:
    """The formats that are read, as this Pillow has them. Others, such as EPS, would start programs of others."""
    Image.init()
    wanted = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")
    return [name for name in wanted if name in Image.OPEN]


@dataclass(frozen=True)
class Decoding:
    """The choices of reading that the conventions of the field make differently.

    exif: "turn" turns a photo as its EXIF orientation says; "ignore" does not.
    alpha: what becomes of transparent pixels: "refuse" is an error; "drop" takes the colours under them, as clean-fid,
        pytorch-fid and torch-fidelity do; a colour (`white`, `#808080`) is put behind them.
    """

    exif: Literal["turn", "ignore"] = "turn"
    alpha: str = REFUSE

    def __post_init__(self) -> None:
        """Raises UserError for a value that is none of these."""
        if self.exif not in ("turn", "ignore"):
            raise UserError(f"exif is {self.exif!r}, expected 'turn' or 'ignore'")
        if self.alpha not in (REFUSE, DROP):
            try:
                ImageColor.getrgb(self.alpha)
            except ValueError as error:
                raise UserError(
                    f"alpha is {self.alpha!r}, expected 'refuse', 'drop' or a colour such as white or '#808080'"
                ) from error


SHOWN = Decoding()  # as viewers and Hugging Face's imagefolder show an image
PEERS = Decoding(exif="ignore")  # as clean-fid, pytorch-fid and torch-fidelity read it


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image, RGB uint8 [H, W, 3], and the rules that it met (`turned`, `16 bits`, `on white` …)."""

    pixels: np.ndarray
    rules: tuple[str, ...]


def decoded(path: Path, decoding: Decoding = SHOWN) -> Decoded:
    """The pixels of an image file.

    Raises UserError for a file that is missing, too large, cut short, not an image, or one that the rules refuse.
    """
    try:
        return _decoded(path, path.read_bytes, str(path), decoding)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except BROKEN as error:
        raise UserError(f"{path}: cannot be read as an image ({error}): replace the file") from error


def decoded_bytes(content: bytes, where: str, decoding: Decoding = SHOWN) -> Decoded:
    """The pixels of the bytes of an image file. where: the beginning of error lines. Raises as `decoded` does."""
    try:
        return _decoded(io.BytesIO(content), lambda: content, where, decoding)
    except BROKEN as error:
        reason = str(error).partition(" <_io")[0]
        raise UserError(f"{where}: cannot be read as an image ({reason}): replace it") from error


def _decoded(file: Path | io.BytesIO, content: Callable[[], bytes], where: str, decoding: Decoding) -> Decoded:
    try:
        with Image.open(file, formats=formats()) as image:
            return rgb(image, where, decoding)
    except ValueError:  # a PNG whose texts or colour profile are larger than Pillow reads; none of them is a pixel
        if not (bare := without_texts(content())):
            raise
        with Image.open(io.BytesIO(bare), formats=formats()) as image:
            return rgb(image, where, decoding)


def rgb(image: Image.Image, where: str, decoding: Decoding = SHOWN) -> Decoded:
    """The pixels of an open image. where: the beginning of error lines."""
    if image.width * image.height > MAX_PIXELS:
        raise UserError(f"{where}: {image.width}x{image.height} pixels, at most {MAX_PIXELS:,} are read: scale it down")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a photo of a phone with its preview
        raise UserError(
            f"{where}: holds {getattr(image, 'n_frames', 2)} frames or pages: save the one that is meant as a file of "
            f"its own"
        )
    orientation, deep = _orientation(image), image.mode.startswith(("I", "F"))
    plain, laid = _opaque(_grey(image, where) if deep else image, where, decoding)
    turn = orientation != 1 and decoding.exif == "turn"
    rules = (
        *([TURNED if turn else NOT_TURNED] if orientation != 1 else []),
        *([SIXTEEN] if deep else []),
        *([laid] if laid else []),
    )
    return Decoded(np.asarray(_turned(plain, orientation) if turn else plain), rules)


def without_texts(content: bytes) -> bytes:
    """A PNG without its texts and its colour profile; empty for a file that is no PNG."""
    start = b"\x89PNG\r\n\x1a\n"
    if not content.startswith(start):
        return b""
    return start + b"".join(
        chunk for kind, chunk in _chunks(content[len(start) :]) if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
    )


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG: the name of each, and all its bytes."""
    at = 0
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 8], content[at:end]
        at = end


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or none that can be read. Pillow turns TIFF by itself."""
    if image.format == "TIFF":
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, struct.error, ValueError, TypeError, KeyError):
        return 1
    return orientation if orientation in range(2, 9) else 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image as its orientation says."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = image.copy()
    image.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(image)


def _grey(image: Image.Image, where: str) -> Image.Image:
    """Grey levels of 16 bits as 8, with the transparency that a key among them says. Raises UserError for others."""
    tags: Mapping[int, Any] = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    levels = np.asarray(image)
    known = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not known or levels.min() < 0 or levels.max() > 65_535:
        raise UserError(
            f"{where}: its levels are {image.mode} (32 bits or floats), whose range is not known: save it with 8 or 16 "
            f"bits a channel"
        )
    bits = tags.get(258, (16,))
    highest = 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    scaled = (levels.astype(np.uint32) * 255 + highest // 2) // highest
    if tags.get(262) == 0:  # white is zero
        scaled = 255 - scaled
    grey = Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
    if isinstance(key := image.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8)))
    return grey


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _opaque(image: Image.Image, where: str, decoding: Decoding) -> tuple[Image.Image, str]:
    """The image in RGB, and what became of its transparent pixels; "" for an image that has none."""
    if not _has_alpha(image):
        return image.convert("RGB"), ""
    whole = image.convert("RGBA")
    alpha = whole.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return image.convert("RGB"), ""
    if decoding.alpha == DROP:
        return image.convert("RGB"), DROPPED
    if decoding.alpha == REFUSE:
        share = float((np.asarray(alpha) < 255).mean())
        raise UserError(
            f"{where}: {share:.0%} of its pixels are transparent: save it on a background, or name one (`alpha`: "
            f"white, '#808080' …; drop takes the colours under them, as clean-fid does)"
        )
    ground = Image.new("RGBA", image.size, (*ImageColor.getrgb(decoding.alpha)[:3], 255))
    ground.alpha_composite(whole)
    return ground.convert("RGB"), f"{LAID}{decoding.alpha}"
