"""t2ibench/data/image_sets.py: an image set is made once, whole, and checked whenever it is opened; `empty` leaves
out what was kept.
"""

import numpy as np
import pytest

from t2ibench.core.cache import cached, empty, home
from t2ibench.core.errors import UserError
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
