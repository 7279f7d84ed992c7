"""What a number is identified by: the contents that decide it, never the names and places of files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2ibench import score_images
from t2ibench.core.decode import Decoded, Decoding
from t2ibench.core.records import digest
from t2ibench.data import folders, pixel_hashes
from t2ibench.data.dataset import opened
from t2ibench.data.given_images import made_images
from t2ibench.data.pixel_hashes import pixel_hashes as hashes_of
from t2ibench.runner.score_folder import score_folder
from t2ibench.scoring.score_images import samples_of

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
REAL = PIXELS.transpose(0, 3, 1, 2)[::-1].copy()
JUDGE = "clip-judge-avatars"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))


def write(folder: Path, form: str = "{:03}.png", pixels: np.ndarray = PIXELS) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / form.format(number))
    return folder


def protocol_id(images: Path | np.ndarray, reference: Path | np.ndarray = REAL, **options) -> str:
    values = score_images(images, reference, ["prdc"], extractor=JUDGE, **options)
    return digest(dict(values["precision"].protocol))[:12]


@pytest.mark.parametrize("form", ["model_b_{:03}.png", "{:03}.bmp", "{:03}.webp.png", "a/{:03}.png"])
def test_the_same_pixels_have_one_protocol_under_any_name_and_lossless_format(tmp_path, form):
    (tmp_path / "other" / "a").mkdir(parents=True)
    for number, image in enumerate(PIXELS):
        Image.fromarray(image).save(tmp_path / "other" / form.format(number))
    assert protocol_id(write(tmp_path / "one")) == protocol_id(tmp_path / "other")


def test_a_reference_is_its_pixels_as_a_folder_and_in_memory(tmp_path):
    made = write(tmp_path / "made")
    real = write(tmp_path / "real", pixels=REAL.transpose(0, 2, 3, 1))
    assert protocol_id(made, real) == protocol_id(made, REAL)
    assert protocol_id(made, real) != protocol_id(made, REAL[::-1].copy())


@pytest.mark.parametrize("size", [8, 16, 64])
def test_a_size_that_changes_pixels_is_in_the_protocol(tmp_path, size):
    made = write(tmp_path / "made")
    assert protocol_id(made, size=size) != protocol_id(made)
    assert protocol_id(made, size=32) == protocol_id(made)  # they have this size


def test_a_record_of_a_folder_has_the_same_identity_wherever_the_folders_lie(tmp_path):
    identities = set()
    for place in ("here", "there/deep"):
        made, real = write(tmp_path / place / "made"), write(tmp_path / place / "real", "r{:03}.png", PIXELS[::-1])
        record, _ = score_folder(
            made,
            prompts=None,
            metrics=["prdc"],
            dataset=None,
            reference=real,
            extractor=JUDGE,
            clip=None,
            size=None,
            out=None,
            device="cpu",
        )
        identities.add(record["identity"])
        assert str(tmp_path) not in json.dumps(record)
    assert len(identities) == 1


def reads_of(monkeypatch) -> list[str]:
    """The names of the files whose pixels are read from now on, as they are read."""
    names: list[str] = []
    reader = pixel_hashes.decoded

    def read(path: Path, decoding: Decoding) -> Decoded:
        names.append(path.name)
        return reader(path, decoding)

    monkeypatch.setattr(pixel_hashes, "decoded", read)
    return names


def captioned(folder: Path) -> Path:
    write(folder)
    lines = [json.dumps({"file_name": f"{number:03}.png", "text": f"image {number}"}) for number in range(len(PIXELS))]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def test_a_data_set_that_moves_stays_the_same_data_set(tmp_path):
    before = opened(str(captioned(tmp_path / "before"))).facts
    after = opened(str(captioned(tmp_path / "after"))).facts
    assert before == after
    assert "path" in json.dumps(after["config"])


def test_other_pixels_under_the_old_names_are_another_reference(tmp_path):
    folder = captioned(tmp_path / "set")
    before = opened(str(folder)).facts["reference"]["digest"]
    Image.fromarray(255 - PIXELS[3]).save(folder / "003.png")
    assert opened(str(folder)).facts["reference"]["digest"] != before


def test_opening_and_limiting_read_the_pixels_of_the_used_images_alone(tmp_path, monkeypatch):
    folder = captioned(tmp_path / "set")
    read = reads_of(monkeypatch)
    monkeypatch.setattr(folders, "read_image", lambda *_: pytest.fail("opening reads no pixels"))
    data = opened(str(folder), limit=3)
    assert len(data.train) == 8
    assert not read
    assert data.facts["reference"]["images"] == 3
    assert sorted(read) == ["000.png", "001.png", "002.png"]


def settle(folder: Path) -> None:
    """Give files a time in the past, as files have that were not written a moment ago."""
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))


def test_hashes_are_kept_by_size_and_time_and_taken_again_where_a_file_changed(tmp_path, monkeypatch):
    folder = write(tmp_path / "set")
    paths = sorted(folder.iterdir())
    settle(folder)
    first = hashes_of(paths)
    read = reads_of(monkeypatch)
    assert hashes_of(paths) == first
    assert not read
    Image.fromarray(255 - PIXELS[5]).save(paths[5])
    again = hashes_of(paths)
    assert read == ["005.png"]
    assert [one == other for one, other in zip(first, again, strict=True)] == [k != 5 for k in range(8)]


def test_a_damaged_file_of_kept_hashes_is_not_believed(tmp_path, caplog):
    folder = write(tmp_path / "set")
    settle(folder)
    first = hashes_of(sorted(folder.iterdir()))
    [sheet] = (tmp_path / "cache" / "pixels").iterdir()
    content = sheet.read_text()
    sheet.write_text(content.replace(first[0].sha256, "0" * 64))
    assert hashes_of(sorted(folder.iterdir())) == first
    assert "taken again" in caplog.text


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, monkeypatch):
    folder = write(tmp_path / "set")
    settle(folder)
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("T2IBENCH_CACHE", str(blocked))
    assert len(hashes_of(sorted(folder.iterdir()))) == 8


def test_black_images_are_found_by_the_reading_that_takes_the_hashes(tmp_path, monkeypatch):
    write(tmp_path / "made")
    Image.new("RGB", (8, 8)).save(tmp_path / "made" / "dark.png")
    names = reads_of(monkeypatch)
    monkeypatch.setattr(folders, "read_image", lambda path, decoding: pytest.fail(f"{path} is read once more"))
    samples = samples_of(made_images(tmp_path / "made", None, None))
    assert list(samples.ok) == [True] * len(PIXELS) + [False]
    assert len(names) == len(set(names)) == len(PIXELS) + 1
