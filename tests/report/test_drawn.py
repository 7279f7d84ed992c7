"""Sheets of drawn samples: which are drawn, and when a sheet is that of a record."""

import io
from pathlib import Path

import numpy as np
import pytest
from made_site import COUNT, made
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.report import drawn
from t2ibench.report.site.write import write


def test_samples_are_drawn_at_even_distances_and_a_missing_image_is_an_empty_square(tmp_path):
    contents = made(tmp_path)
    record = contents.records[1]
    path = drawn.draw(record, tmp_path, tmp_path / "out")
    assert path == tmp_path / "out" / "sheets" / "s" / "text_to_image" / record["method"] / "0.webp"
    sheet = drawn.read(record, tmp_path / "out")
    assert sheet is not None
    assert (len(sheet.texts), sheet.total) == (COUNT + 8, COUNT + 8)  # all of them, there are fewer than DRAWN
    assert sheet.texts[3].endswith(" 3 (failed)")
    assert sheet.texts[4].endswith(" 4 (black)")
    with Image.open(io.BytesIO(sheet.content)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    step = drawn.SIDE + drawn.GAP
    assert (sheet.width, sheet.height) == (8 * step - drawn.GAP, 4 * step - drawn.GAP) == image.size
    tiles = [pixels[i // 8 * step + 48, i % 8 * step + 48] for i in range(8)]
    for i in (0, 1, 2, 4, 7):
        np.testing.assert_allclose(tiles[i], 40 + 5 * i, atol=4)
    np.testing.assert_allclose(tiles[3], drawn.EMPTY, atol=4)


def test_a_sheet_is_drawn_once_and_of_other_images_anew(tmp_path):
    record = made(tmp_path).records[0]
    path = drawn.draw(record, tmp_path, tmp_path)
    assert path is not None
    before = path.stat().st_mtime_ns
    drawn.draw(record, tmp_path, tmp_path)
    assert path.stat().st_mtime_ns == before
    assert drawn.read({**record, "images": "others"}, tmp_path) is None
    drawn.draw({**record, "images": "others"}, tmp_path, tmp_path)
    assert drawn.read(record, tmp_path) is None
    assert drawn.draw(record, tmp_path / "nowhere", tmp_path) is None
    path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"0\.webp: not a sound sheet of samples"):
        drawn.read(record, tmp_path)


def test_a_cell_without_images_shows_its_sheet_and_one_without_a_sheet_says_so(tmp_path):
    contents = made(tmp_path / "work")
    drawn.draw(contents.records[0], tmp_path / "work", tmp_path / "out")
    bare = type(contents)(contents.records, results=[tmp_path / "out"])
    page = write(bare, tmp_path / "site").with_name("samples.s.text_to_image.html").read_text("utf-8")
    assert page.count('src="images/sheets/') == 1
    assert page.count("no images kept") == 3
    assert Path(tmp_path / "site" / "images" / "sheets" / "s.text_to_image" / "plain.0.webp").exists()
