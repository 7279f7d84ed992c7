"""t2ibench/report/sheets.py: images stand where their labels say, and no label runs into an image."""

import numpy as np

from t2ibench.report import sheets

RED, BLUE = (np.stack([np.full((8, 8), v, np.uint8) for v in colour]) for colour in ((255, 0, 0), (0, 0, 255)))


def colour(sheet, right: int, below: int) -> tuple[int, ...]:
    """The pixel at a place counted from the lower right corner, in whole images of 112 pixels and their gaps."""
    x, y = (
        size - sheets.PAD - 56 - steps * (112 + sheets.GAP)
        for size, steps in zip(sheet.size, (right, below), strict=True)
    )
    return sheet.getpixel((x, y))


def test_rows_and_columns_stand_where_they_belong_and_a_gap_holds_a_dash():
    sheet = sheets.table([[RED, BLUE], [BLUE, None]], ["one", "two"], ["first", "a second, longer label of a column"])
    assert colour(sheet, 1, 1) == (255, 0, 0)
    assert colour(sheet, 0, 1) == colour(sheet, 1, 0) == (0, 0, 255)
    assert colour(sheet, 0, 0) == sheets.FAINT
    gap = np.asarray(sheet)[-sheets.PAD - 112 : -sheets.PAD, -sheets.PAD - 112 : -sheets.PAD]
    assert (gap != sheets.PAPER).any(2).sum() == 9  # the rest is paper


def test_a_long_row_label_widens_the_margin():
    pixels = np.asarray(sheets.table([[RED]], ["an-unconditional-method-of-a-very-long-name"], [""]))
    ink = pixels.max(axis=2) < 200  # dark: letters only
    assert ink.any()
    left_of_image = pixels.shape[1] - sheets.PAD - 112
    assert not ink[:, left_of_image - 4 :].any()


def test_captions_are_shown_whole():
    short, long = (
        sheets.captioned([RED], [text], 1) for text in ("a", "many words that need more lines than one " * 4)
    )
    assert long.height > short.height + 5 * 15
