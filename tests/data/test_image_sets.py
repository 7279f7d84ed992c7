"""t2ibench/data/image_sets.py: an image set is made once, whole, and checked whenever it is opened; `empty` leaves
out what was kept.
"""

from dataclasses import replace

import numpy as np
import pytest

from t2ibench.core.cache import cached, empty, home
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.data import image_sets

PIXELS = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


@pytest.fixture
def made(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    calls = []

    def make(path):
        calls.append(path)
        image_sets.write_images(path, [PIXELS[:1], PIXELS[1:]], PIXELS.shape)
        return {"note": "ä"}

    return calls, make


def test_the_second_time_nothing_is_made(made):
    calls, make = made
    key = image_sets.ImageSetKey("owner", "a name", "k" * 64)
    images, facts = image_sets.images(key, make)
    again, _ = image_sets.images(key, make)
    assert len(calls) == 1
    assert facts["note"] == "ä"
    assert np.array_equal(again.read([1, 0]), PIXELS[[1, 0]])
    assert list(images.digests()) == list(again.digests())
    assert len(set(images.digests())) == 2


@pytest.mark.parametrize("damage", ["flip", "truncate", "no facts"])
def test_damage_is_found_and_mended(made, damage):
    calls, make = made
    key = image_sets.ImageSetKey("owner", "a name", "k" * 64)
    image_sets.images(key, make)
    data = key.path.read_bytes()
    if damage == "no facts":
        key.path.with_suffix(".json").unlink()
    else:
        key.path.write_bytes(data[:-1] + b"\xff" if damage == "flip" else data[:-9])
    images, _ = image_sets.images(key, make)
    assert len(calls) == 2
    assert np.array_equal(images.read([0, 1]), PIXELS)


def test_a_set_that_ends_early_is_no_set(made, tmp_path):
    with pytest.raises(ValueError, match="1 images were made, 2 expected"):
        image_sets.write_images(tmp_path / "x.npy", [PIXELS[:1]], PIXELS.shape)
    assert not (tmp_path / "x.npy").exists()


def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written .* set T2IBENCH_CACHE"):
        image_sets.images(image_sets.ImageSetKey("owner", "n", "k"), lambda path: {})


def test_an_empty_cache_has_nothing_that_was_kept_before_and_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    assert cached(home(), ["k"], lambda: np.ones(2)).tolist() == [1, 1]
    with empty() as folder:
        assert cached(folder, ["k"], lambda: np.zeros(2)).tolist() == [0, 0]
        assert cached(folder, ["k"], lambda: np.ones(2)).tolist() == [0, 0]  # of now, once
        with empty() as inner:
            assert cached(inner, ["k"], lambda: np.full(2, 7)).tolist() == [7, 7]
    assert not folder.exists()
    assert cached(home(), ["k"], lambda: np.zeros(2)).tolist() == [1, 1]


COUNT = 3 * image_sets.PART - 10  # the last part is shorter


@pytest.fixture
def to_make(monkeypatch, tmp_path):
    """Known images of which row k is filled with k, and the rows that were drawn, call by call."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    drawn = []

    def image(row):
        return np.full((3, 2, 2), row % 251, np.uint8)

    def draw(rows):
        drawn.append(list(rows))
        for start in range(0, len(rows), 64):
            yield np.stack([image(row) for row in rows[start : start + 64]])

    key = image_sets.ImageSetKey("owner", "a name", "k" * 64)
    hashes = [pixel_hash(image(row)) for row in range(COUNT)]
    return lambda: image_sets.ImagesToMake(key, draw, (3, 2, 2), hashes), drawn, key


def test_only_the_parts_that_are_read_are_drawn_and_each_once(to_make):
    images, drawn, _ = to_make
    first = images()
    assert (len(first), drawn) == (COUNT, [])
    read = first.read([5, 260, 3])
    assert read[:, 0, 0, 0].tolist() == [5, 260 % 251, 3]
    assert drawn == [list(range(500))]  # both parts at once
    read[:] = 0  # what is read may be written on
    assert first.read([5])[0, 0, 0, 0] == 5
    assert images().read(range(10, 12))[:, 0, 0, 0].tolist() == [10, 11]
    assert len(drawn) == 1  # kept for the next one
    assert images().read([-1])[0, 0, 0, 0] == (COUNT - 1) % 251
    assert drawn[1] == list(range(500, COUNT))
    assert first.read([]).shape == (0, 3, 2, 2)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_part_is_drawn_again(to_make, damage):
    images, drawn, key = to_make
    images().read([0, 260])
    path = key.path.with_name(f"{key.path.stem}-0001.npy")
    data = path.read_bytes()
    path.write_bytes({"flip": data[:-1] + b"\xff", "truncate": data[:-9], "empty": b""}[damage])
    assert images().read([0, 260])[:, 0, 0, 0].tolist() == [0, 260 % 251]
    assert drawn[1:] == [list(range(250, 500))]


def test_a_set_that_was_drawn_as_a_whole_is_not_drawn_again(to_make):
    images, drawn, key = to_make
    whole = images().read(range(COUNT))
    for path in key.path.parent.glob("*.npy"):
        path.unlink()
    image_sets.write_images(key.path, [whole], whole.shape)
    assert (images().read(range(COUNT)) == whole).all()
    assert len(drawn) == 1


def test_images_that_are_made_otherwise_than_known_are_one_line(to_make):
    images, _, _ = to_make
    other = replace(images(), hashes=["0" * 64] * COUNT, _held={})
    with pytest.raises(UserError, match="250 of 250 images were made otherwise than they are known, the first is"):
        other.read([0])
