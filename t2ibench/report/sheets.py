"""Sheets of images with text: labelled rows and columns, or a caption under every image."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from t2ibench.core.storage import publish

INK, FAINT, PAPER = (25, 25, 30), (130, 130, 140), (255, 255, 255)
GAP, PAD = 6, 14


def table(
    rows: Sequence[Sequence[np.ndarray | None]],
    left: Sequence[str],
    top: Sequence[str],
    side: int = 112,
    margin: int = 150,
) -> Image.Image:
    """A table of images with labelled rows and columns.

    rows: images, uint8 [3, H, W]; None is drawn as a dash.
    left, top: the labels of the rows and of the columns.
    side: the width and height of each image, in pixels.
    margin: the width of the row labels at least, in pixels.
    """
    small, font = _font(12), _font(14)
    margin = max(
        [margin, *(int(font.getlength(word)) + 12 for text in left for word in text.split())]
    )  # whole words beside the images
    head = max((len(lines) for lines in (_wrap(text, small, side) for text in top)), default=0) * 15 + (
        GAP if any(top) else 0
    )
    width = PAD + margin + len(rows[0]) * (side + GAP) - GAP + PAD
    sheet = Image.new("RGB", (width, PAD + head + len(rows) * (side + GAP) - GAP + PAD), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(top):
        lines = _wrap(text, small, side)
        start = PAD + head - GAP - 15 * len(lines)
        _write(draw, lines, (PAD + margin + column * (side + GAP), start), small, FAINT, 15)
    for row, (images, text) in enumerate(zip(rows, left, strict=True)):
        y = PAD + head + row * (side + GAP)
        lines = _wrap(text, font, margin - 10)
        _write(draw, lines, (PAD, y + max(0, (side - 17 * len(lines)) // 2)), font, INK, 17)
        for column, image in enumerate(images):
            x = PAD + margin + column * (side + GAP)
            if image is None:
                draw.line((x + side // 2 - 4, y + side // 2, x + side // 2 + 4, y + side // 2), fill=FAINT)
            else:
                sheet.paste(_scaled(image, side), (x, y))
    return sheet


def captioned(images: Sequence[np.ndarray], captions: Sequence[str], columns: int, side: int = 160) -> Image.Image:
    """Images, uint8 [3, H, W], each with its whole caption under it."""
    font = _font(12)
    texts = [_wrap(caption, font, side) for caption in captions]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    heights = [side + 4 + 15 * max(len(texts[i]) for i in row) + PAD for row in rows]
    sheet = Image.new("RGB", (2 * PAD + columns * (side + PAD) - PAD, PAD + sum(heights)), PAPER)
    draw, y = ImageDraw.Draw(sheet), PAD
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = PAD + column * (side + PAD)
            sheet.paste(_scaled(images[i], side), (x, y))
            _write(draw, texts[i], (x, y + side + 4), font, INK, 15)
        y += height
    return sheet


def save(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, whole or not at all."""
    publish(path, png(sheet))


def png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _scaled(image: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).resize(
        (side, side), Image.Resampling.LANCZOS
    )


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _wrap(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of whole words that fit `width` pixels; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _write(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    at: tuple[int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    ink: tuple[int, int, int],
    step: int,
) -> None:
    for i, line in enumerate(lines):
        draw.text((at[0], at[1] + i * step), line, ink, font)
