"""t2ibench/core/images.py: one rounding, lossless files, and one line for an unreadable one."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from t2ibench.core import decode, images
from t2ibench.core.errors import UserError


def test_every_grey_level_survives_the_way_to_floats_and_back():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(images.to_uint8(images.to_float(levels)), levels)


def test_rounding_is_half_up_and_clamped():
    values = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.5, 0.5 / 127.5 - 1, 0.49 / 127.5 - 1])
    assert images.to_uint8(values).tolist() == [0, 0, 128, 255, 255, 1, 0]


def test_nan_is_never_black():
    with pytest.raises(ValueError, match="NaN"):
        images.to_uint8(torch.tensor([0.0, float("nan")]))


def test_a_reader_of_uint8_refuses_what_would_pass_for_it():
    images.check_uint8(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "fid")
    for wrong in (torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, 3, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"fid reads uint8 images .* t2ibench\.core\.images\.to_uint8 makes them"):
            images.check_uint8(wrong, "fid")


def test_png_is_lossless():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 7), dtype=np.uint8)
    with Image.open(io.BytesIO(images.encode_png(pixels))) as image:
        assert np.array_equal(np.asarray(image).transpose(2, 0, 1), pixels)


def test_a_hash_tells_shape_and_pixels():
    zeros = np.zeros((3, 4, 6), np.uint8)
    assert images.pixel_hash(zeros) != images.pixel_hash(zeros.reshape(3, 6, 4))
    assert images.pixel_hash(zeros) != images.pixel_hash(zeros + 1)


def test_a_grid_keeps_the_order_row_by_row():
    tiles = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    sheet = images.grid(tiles, columns=3, gap=1)
    assert sheet.shape == (5, 8, 3)
    assert sheet[::3, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 255]]


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "cannot be read"), (b"\x89PNG\r\n\x1a\n123", "cannot be read"), (None, "is missing")]
)
def test_an_unreadable_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        images.read_image(path)
    assert str(path) in str(error.value)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 50)
    Image.new("RGB", (10, 6)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="10x6 pixels, at most 50"):
        images.read_image(tmp_path / "x.png")
