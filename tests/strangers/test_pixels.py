"""Which pixels a file has: 16 bits, EXIF, alpha, palettes, CMYK, frames, texts in a PNG, images of several sizes."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import image, lines, named, noise, one_line
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from t2ibench.core.decode import PEERS, SHOWN, Decoding
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash, read_image
from t2ibench.data.folders import Files, reading_of, store_of
from t2ibench.data.given_images import lines_on_reading, made_images, rules_of
from t2ibench.data.stores import ArrayImages, Joined, SeveralSizes, Subset, each
from t2ibench.datasets import image_folder as data
from t2ibench.methods.image_folder import Config, Method
from t2ibench.networks.extractors import extract
from t2ibench.networks.inception import resized
from t2ibench.networks.models import Models
from t2ibench.scoring.score_images import samples_of
from t2ibench.tracks.contract import TextToImage

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257


def refused(path: Path, decoding: Decoding = SHOWN) -> str:
    with pytest.raises(UserError) as error:
        read_image(path, decoding)
    return one_line(error.value)


# 16 bits


def png16(path: Path) -> None:
    Image.fromarray(RAMP).save(path)


def tiff16(path: Path) -> None:
    Image.fromarray(RAMP).save(path)


def big_endian(path: Path) -> None:
    Image.frombytes("I;16B", (16, 16), RAMP.astype(">u2").tobytes()).save(path)


def pgm16(path: Path) -> None:
    path.write_bytes(b"P5 16 16 65535\n" + RAMP.astype(">u2").tobytes())


def pgm10(path: Path) -> None:
    path.write_bytes(b"P5 16 16 1020\n" + (np.arange(256).reshape(16, 16) * 4).astype(">u2").tobytes())


def rgb16(path: Path) -> None:
    """A PNG of 16 bits a colour, which Pillow reads and does not write."""
    rows = np.repeat(RAMP[..., None], 3, 2).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    path.write_bytes(_png(16, 16, 16, 2, body))


def _png(width: int, height: int, bits: int, colour: int, body: bytes, extra: bytes = b"") -> bytes:
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, colour, 0, 0, 0])
    parts = [_chunk(b"IHDR", head), extra, _chunk(b"IDAT", zlib.compress(body)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("name", "write"),
    [("0.png", png16), ("0.tif", tiff16), ("b.tif", big_endian), ("0.pgm", pgm16), ("10.pgm", pgm10), ("c.png", rgb16)],
)
def test_sixteen_bits_are_scaled_and_not_cut(tmp_path, name, write):
    write(tmp_path / name)
    for decoding in (SHOWN, PEERS):
        pixels = read_image(tmp_path / name, decoding)
        assert pixels.shape == (16, 16, 3)
        assert np.abs(pixels[..., 0].reshape(-1).astype(int) - np.arange(256)).max() <= 1


def test_the_ends_of_sixteen_bits(tmp_path):
    levels = np.array([[0, 128, 129, 32767, 32768, 65406, 65407, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "0.png")
    assert read_image(tmp_path / "0.png")[0, :, 0].tolist() == [0, 0, 1, 127, 128, 254, 255, 255]


def test_levels_whose_range_is_not_known_are_refused(tmp_path):
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(RAMP.astype(np.int32)).save(tmp_path / "i.tif")
    for name in ("f.tif", "i.tif"):
        assert "whose range is not known: save it with 8 or 16 bits" in refused(tmp_path / name)


def test_a_grey_level_of_sixteen_bits_can_stand_for_transparency(tmp_path):
    body = b"".join(b"\0" + row.tobytes() for row in RAMP.astype(">u2"))
    (tmp_path / "0.png").write_bytes(_png(16, 16, 16, 0, body, _chunk(b"tRNS", (257 * 5).to_bytes(2, "big"))))
    assert "0% of its pixels are transparent" in refused(tmp_path / "0.png")
    grey = read_image(tmp_path / "0.png", Decoding(alpha="white"))[..., 0].reshape(-1)
    assert grey[4:7].tolist() == [4, 255, 6]


# EXIF


def turned_file(path: Path, orientation: int, pixels: np.ndarray) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=100, subsampling=0)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_photo_is_turned_as_viewers_turn_it_or_read_as_it_lies(tmp_path, orientation, suffix):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 255  # the upper left corner is white
    path = turned_file(tmp_path / f"0{suffix}", orientation, pixels)
    with Image.open(path) as stored:
        plain, expected = np.asarray(stored.convert("RGB")), np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(read_image(path, PEERS), plain)
    assert expected.shape == ((32, 16, 3) if orientation > 4 else (16, 32, 3))
    assert np.array_equal(expected, plain) == (orientation == 1)


def test_the_data_set_and_the_method_turn_and_the_score_does_not(tmp_path):
    turned_file(tmp_path / "0.jpg", 6, np.zeros((20, 40, 3), np.uint8))
    image(tmp_path / "1.jpg", size=(20, 40))
    lines(tmp_path / "metadata.jsonl", named({"0.jpg": "a", "1.jpg": "b"}))
    assert data.load(data.Config(tmp_path, None), "test").images.read([0, 1]).shape == (2, 3, 40, 20)
    assert Method(Config(tmp_path), Models()).text_to_image([TextToImage("a", 0)]).shape == (1, 3, 40, 20)
    made = made_images(tmp_path, None, None)
    assert each(made.images, [0])[0].shape == (3, 20, 40)
    said = lines_on_reading(made)
    assert f"{tmp_path.name}: 1 of 2 images have an EXIF orientation and were not turned, as clean-fid does it" in said
    turned = made_images(tmp_path, None, None, Decoding("turn"))
    assert turned.images.read([0, 1]).shape == (2, 3, 40, 20)
    assert (rules_of(turned), rules_of(made)) == ({"turned": 1}, {"another size": 1, "not turned": 1})
    assert (reading_of(turned.images), reading_of(made.images)) == ({"exif": "turn"}, {"exif": "ignore"})


def test_the_hashes_are_of_the_pixels_as_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    turned_file(tmp_path / "0.png", 6, pixels)
    half_red(tmp_path / "1.png")
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    ways = [Decoding(exif, alpha) for exif in ("turn", "ignore") for alpha in ("white", "drop")]
    for _ in range(2):  # taken, and kept
        stores = [Files(files, None, way) for way in ways]
        for store in stores:
            assert list(store.digests()) == [pixel_hash(image) for image in each(store, [0, 1])]
        assert [len({store.digests()[row] for store in stores}) for row in (0, 1)] == [2, 2]
    assert reading_of(stores[1]) == {"exif": "turn", "alpha": "drop"}


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x0c\0\0"]
)
def test_a_broken_orientation_turns_nothing(tmp_path, exif):
    Image.new("RGB", (40, 20)).save(tmp_path / "0.jpg", exif=exif)
    assert read_image(tmp_path / "0.jpg").shape == (20, 40, 3)


# alpha


def half_red(path: Path, **save) -> Path:
    """Red under half transparency, beside opaque green and fully transparent blue."""
    pixels = np.array([[[255, 0, 0, 128], [0, 255, 0, 255], [0, 0, 255, 0]]], np.uint8)
    Image.fromarray(pixels).save(path, **save)
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparent_pixels_are_refused_until_somebody_says_what_lies_behind_them(tmp_path, suffix):
    path = half_red(tmp_path / f"0{suffix}", **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    assert "67% of its pixels are transparent: save it on a background, or name one" in refused(path)
    for alpha, expected in {
        "white": [[255, 127, 127], [0, 255, 0], [255, 255, 255]],
        "black": [[128, 0, 0], [0, 255, 0], [0, 0, 0]],
        "#0000ff": [[128, 0, 127], [0, 255, 0], [0, 0, 255]],
        "drop": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
    }.items():
        assert read_image(path, Decoding(alpha=alpha))[0].tolist() == expected
    with Image.open(path) as stored:
        np.testing.assert_array_equal(read_image(path, Decoding(alpha="drop")), stored.convert("RGB"))  # as the peers


def test_an_alpha_channel_that_hides_nothing_is_none(tmp_path):
    image(tmp_path / "0.png", 255, mode="RGBA")
    image(tmp_path / "1.png", 255, mode="LA")
    for name in ("0.png", "1.png"):
        assert read_image(tmp_path / name).tolist() == [[[255] * 3] * 4] * 4


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "LA"])
def test_a_colour_can_stand_for_transparency(tmp_path, mode):
    picture = Image.fromarray(np.array([[[0, 0, 0], [204, 204, 204]]], np.uint8)).convert(mode)
    if mode == "LA":
        picture.putalpha(Image.fromarray(np.array([[0, 255]], np.uint8)))
        picture.save(tmp_path / "0.png")
    else:
        picture.save(tmp_path / "0.png", transparency=(0, 0, 0) if mode == "RGB" else picture.getpixel((0, 0)))
    assert "50% of its pixels are transparent" in refused(tmp_path / "0.png")
    assert read_image(tmp_path / "0.png", Decoding(alpha="white"))[0, :, 0].tolist() == [255, 204]
    assert read_image(tmp_path / "0.png", Decoding(alpha="drop"))[0, :, 0].tolist() == [0, 204]


def test_the_choice_is_a_setting_of_the_data_set_and_a_wrong_one_is_one_line(tmp_path):
    half_red(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({"0.png": "a"}))
    split = data.load(data.Config(tmp_path, None, alpha="white"), "test")
    assert split.images.read([0])[0, :, 0, 2].tolist() == [255, 255, 255]
    with pytest.raises(UserError, match="67% of its pixels are transparent"):
        data.load(data.Config(tmp_path, None), "test").images.read([0])
    with pytest.raises(UserError, match="alpha is 'withe', expected 'refuse', 'drop' or a colour such as white"):
        data.load(data.Config(tmp_path, None, alpha="withe"), "test")
    assert "were laid on white" in lines_on_reading(made_images(tmp_path, None, None, Decoding(alpha="white")))[0]


# other kinds


def test_palettes_and_bits_become_colours(tmp_path):
    picture = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
    picture.quantize(2).save(tmp_path / "p.png")
    picture.quantize(2).save(tmp_path / "p.gif")
    picture.convert("1").save(tmp_path / "1.png")
    for name in ("p.png", "p.gif"):
        assert read_image(tmp_path / name)[0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert set(np.unique(read_image(tmp_path / "1.png"))) <= {0, 255}


def test_cmyk_becomes_colours_and_not_their_negative(tmp_path):
    picture = Image.new("RGB", (16, 16), (250, 40, 30))
    picture.convert("CMYK").save(tmp_path / "0.jpg", quality=95)
    picture.convert("CMYK").save(tmp_path / "0.tif")
    for name in ("0.jpg", "0.tif"):
        assert np.abs(read_image(tmp_path / name)[8, 8].astype(int) - [250, 40, 30]).max() <= 12


def test_a_file_of_several_frames_is_refused(tmp_path):
    frames = [Image.new("RGB", (4, 4), (level, 0, 0)) for level in (0, 100, 200)]
    for name in ("0.gif", "0.webp", "0.tif", "0.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert "holds 3 frames or pages: save the one that is meant" in refused(tmp_path / name)
    frames[0].save(tmp_path / "0.jpg", format="MPO", save_all=True, append_images=frames[1:])  # a phone's photo
    assert read_image(tmp_path / "0.jpg").shape == (4, 4, 3)


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "tEXt", "iCCP"])
def test_a_png_with_large_texts_or_profiles_is_read(tmp_path, kind, where):
    large = zlib.compress(b"x" * 3_000_000)
    text = {
        "zTXt": b"workflow\0\0" + large,
        "iTXt": b"workflow\0\1\0\0\0" + large,
        "iCCP": b"profile\0\0" + large,
        "tEXt": b"workflow\0" + b"x" * 3_000_000,
    }[kind]
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(buffer, "PNG")
    plain = buffer.getvalue()
    at = 33 if where == "before" or kind == "iCCP" else len(plain) - 12  # behind the head, or before the end
    (tmp_path / "0.png").write_bytes(plain[:at] + _chunk(kind.encode(), text) + plain[at:])
    assert read_image(tmp_path / "0.png").tolist() == [[[9] * 3] * 8] * 8


def test_many_texts_are_read_too(tmp_path):
    info = PngInfo()
    for row in range(70):
        info.add_text(f"node {row}", "x" * 1_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png", pnginfo=info)
    assert read_image(tmp_path / "0.png").shape == (8, 8, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".ppm", ".jp2"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_torn_file_of_any_kind_is_one_line(tmp_path, suffix, share):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"0{suffix}")
    content = (tmp_path / f"0{suffix}").read_bytes()
    (tmp_path / f"0{suffix}").write_bytes(content[: int(share * len(content))])
    assert "cannot be read as an image" in refused(tmp_path / f"0{suffix}")


# several sizes


SIZES = [(16, 20), (20, 16), (16, 20), (24, 24)]  # height and width


def folder_of_sizes(root: Path) -> list[np.ndarray]:
    root.mkdir(parents=True, exist_ok=True)
    generator, images = np.random.default_rng(0), []
    for row, size in enumerate(SIZES * 20):
        images.append(generator.integers(30, 256, (*size, 3), np.uint8))
        Image.fromarray(images[-1]).save(root / f"{row}.png")
    return images


def test_images_of_several_sizes_are_resized_one_by_one_as_clean_fid_resizes_them(tmp_path):
    from cleanfid.resize import build_resizer  # type: ignore[import-untyped]

    images, resize = folder_of_sizes(tmp_path / "made"), build_resizer("clean")
    store = Files([tmp_path / "made" / f"{row}.png" for row in range(80)], None, PEERS)
    small = lambda batch: torch.nn.functional.avg_pool2d(resized(batch, "inception"), 23)  # noqa: E731
    ours = extract(small, store.read, range(80), "images", batch=8)
    theirs = torch.stack([torch.from_numpy(resize(pixels)).permute(2, 0, 1) for pixels in images])
    expected = torch.nn.functional.avg_pool2d((theirs - 128) / 128, 23)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_rows_stay_in_their_order_whatever_the_batch(tmp_path, batch):
    images = folder_of_sizes(tmp_path / "made")
    store = store_of(tmp_path / "made", None)[2]
    means = lambda pixels: pixels.float().mean((2, 3))  # noqa: E731
    rows = list(range(79, -1, -3))
    ours = extract(means, store.read, rows, "images", batch)
    np.testing.assert_allclose(ours, [images[row].mean((0, 1)) for row in rows], atol=1e-3)
    subset = Subset(store, rows)
    np.testing.assert_allclose(extract(means, subset.read, range(len(rows)), "images", batch), ours, atol=1e-3)


def test_who_needs_one_array_is_told_which_images_differ(tmp_path):
    folder_of_sizes(tmp_path / "made")
    store = store_of(tmp_path / "made", None)[2]
    with pytest.raises(SeveralSizes, match=r"1\.png is 16x20, .*0\.png 20x16: bring them to one size, or give a size"):
        store.read([0, 1])
    with pytest.raises(SeveralSizes, match=r"1\.png is 16x20"):
        store.read([1])  # of one size, but not that of the folder
    assert [image.shape for image in each(store, [0, 1, 3])] == [(3, 16, 20), (3, 20, 16), (3, 24, 24)]
    with pytest.raises(UserError):
        Joined([store, ArrayImages(np.zeros((1, 3, 16, 20), np.uint8), ["x"])]).read([1, 80])
    assert store_of(tmp_path / "made", 8)[2].read([0, 1, 3]).shape == (3, 3, 8, 8)


def test_black_images_are_found_among_several_sizes(tmp_path):
    noise(tmp_path, 3)
    image(tmp_path / "3.png", 0, (9, 5))
    samples = samples_of(made_images(tmp_path, None, None))
    assert samples.ok.tolist() == [True, True, True, False]
