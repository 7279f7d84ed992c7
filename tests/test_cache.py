"""t2ibench/cache.py: an image set is made once, whole, and checked whenever it is opened."""

import numpy as np
import pytest

from t2ibench import cache
from t2ibench.errors import UserError

PIXELS = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


@pytest.fixture
def made(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    calls = []

    def make(path):
        calls.append(path)
        cache.write_images(path, [PIXELS[:1], PIXELS[1:]], PIXELS.shape)
        return {"note": "ä"}

    return calls, make


def test_the_second_time_nothing_is_made(made):
    calls, make = made
    recipe = cache.Recipe("owner", "a name", "k" * 64)
    images, facts = cache.images(recipe, make)
    again, _ = cache.images(recipe, make)
    assert len(calls) == 1
    assert facts["note"] == "ä"
    assert np.array_equal(again.read([1, 0]), PIXELS[[1, 0]])
    assert list(images.digests()) == list(again.digests())
    assert len(set(images.digests())) == 2


@pytest.mark.parametrize("damage", ["flip", "truncate", "no facts"])
def test_damage_is_found_and_mended(made, damage):
    calls, make = made
    recipe = cache.Recipe("owner", "a name", "k" * 64)
    cache.images(recipe, make)
    data = recipe.path.read_bytes()
    if damage == "no facts":
        recipe.path.with_suffix(".json").unlink()
    else:
        recipe.path.write_bytes(data[:-1] + b"\xff" if damage == "flip" else data[:-9])
    images, _ = cache.images(recipe, make)
    assert len(calls) == 2
    assert np.array_equal(images.read([0, 1]), PIXELS)


def test_a_set_that_ends_early_is_no_set(made, tmp_path):
    with pytest.raises(ValueError, match="1 images were made, 2 expected"):
        cache.write_images(tmp_path / "x.npy", [PIXELS[:1]], PIXELS.shape)
    assert not (tmp_path / "x.npy").exists()


def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written .* set T2IBENCH_CACHE"):
        cache.images(cache.Recipe("owner", "n", "k"), lambda path: {})
