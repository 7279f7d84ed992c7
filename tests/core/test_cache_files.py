"""t2ibench/networks/extractors.py: a cache file holds what was extracted, damage is found, and memory holds features
once and images in parts.
"""

import hashlib
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from t2ibench.core import cache
from t2ibench.networks import extractors
from t2ibench.runner.score_folder import outcomes_of
from t2ibench.scoring.score_images import made_images, samples_of

KEY = ["images", "a"]


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


@contextmanager
def peak() -> Iterator[Callable[[], int]]:
    """Yields how many bytes were held at most, of those allocated inside."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def never() -> np.ndarray:
    raise AssertionError("it is in the cache")


@pytest.mark.parametrize("shape", [(5, 3), (0, 3), (7,), (2, 3, 4)])
def test_a_cache_file_is_what_numpy_saves_and_its_hash(tmp_path, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(cache.cached(cache.home(), KEY, lambda: array), array)
    [path] = tmp_path.glob("features/*.npy")
    saved = io.BytesIO()
    np.save(saved, array)
    assert path.read_bytes() == saved.getvalue() + hashlib.sha256(saved.getvalue()).digest()
    read = cache.cached(cache.home(), KEY, never)
    np.testing.assert_array_equal(read, array)
    assert read.flags.writeable


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b[:200] + b"x" + b[201:], lambda b: b[:20], lambda b: b"", lambda b: b + b"x"],
)
def test_a_damaged_file_is_made_again(tmp_path, damage, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK", 64)
    array = np.arange(100, dtype=np.float32)
    cache.cached(cache.home(), KEY, lambda: array)
    [path] = tmp_path.glob("features/*.npy")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    np.testing.assert_array_equal(cache.cached(cache.home(), KEY, lambda: array), array)
    assert path.read_bytes() == whole


def test_features_are_in_memory_once(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK", 2**16)
    size = 250 * 40 * 512 * 4

    def make() -> np.ndarray:
        return extractors.extract(
            lambda x: x[:, :1].expand(-1, 512).float(),
            lambda rows: np.zeros((len(rows), 1), np.uint8),
            range(10_000),
            "x",
        )

    with peak() as most:
        cache.cached(cache.home(), KEY, make)
        assert most() < 1.2 * size
    with peak() as most:
        cache.cached(cache.home(), KEY, never)
        assert most() < 1.2 * size


@pytest.mark.parametrize(("count", "sizes"), [(3, [3]), (4, [4]), (5, [2, 3]), (9, [3, 3, 3]), (10, [3, 3, 4])])
def test_images_are_looked_at_in_equal_parts(count, sizes):
    """A last part of one or two would go through other kernels, which round differently."""
    seen = []

    def network(images):
        seen.append(len(images))
        return images.float().mean((1, 2, 3))[:, None]

    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    found = extractors.extract(network, lambda rows: images[list(rows)], range(count), "images", batch=4)
    assert sorted(seen) == sizes
    assert found[:, 0].tolist() == list(range(count))


def test_nothing_to_look_at_is_said():
    with pytest.raises(ValueError, match="nothing: there is no image to look at"):
        extractors.extract(lambda x: x.float(), lambda rows: np.zeros((len(rows), 1), np.uint8), [], "nothing")


def folder(path: Path, count: int, side: int) -> Path:
    """Ten images under `count` names."""
    path.mkdir()
    pixels = np.random.default_rng(0).integers(3, 256, (10, side, side, 3), np.uint8)
    for i in range(count):
        if i < 10:
            Image.fromarray(pixels[i]).save(path / f"{i:06}.png")
        else:
            (path / f"{i:06}.png").hardlink_to(path / f"{i % 10:06}.png")
    (path / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": f"{i:06}.png", "text": "a red square"}) + "\n" for i in range(count))
    )
    return path


def test_a_folder_of_images_streams(tmp_path):
    """From 600 images to 1,500 the peak grows by names, texts and hashes: under 2 kB an image, whose pixels are 12
    kB.
    """
    side, peaks = 64, []
    for count in (600, 1500):
        path = folder(tmp_path / str(count), count, side)
        with peak() as most:
            made = made_images(path, None, side)
            samples = samples_of(made)
            extractors.extract(lambda x: x.float().mean((2, 3)), samples.store.read, samples.rows, "images")
            assert len(outcomes_of(samples, made)) == samples.ok.sum() == count
            peaks.append(most())
    assert peaks[1] - peaks[0] < 900 * 2000


def test_pieces_that_others_made_are_the_batches_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr("t2ibench.networks.side_by_side.AT_ONCE", 1_000)  # one after the other: `seen` has an order
    images = np.random.default_rng(0).integers(0, 256, (23, 3, 4, 4), np.uint8)
    seen: list[int] = []

    def network(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return batch.double().flatten(1).cumsum(1)[:, ::7]

    whole = extractors.extract(network, images.__getitem__, range(23), "one", batch=5)
    asked = list(seen)
    seen.clear()
    pieces = cache.Pieces(tmp_path, KEY)
    for part in (1, 0, 1):
        extractors.extract_part(network, images.__getitem__, range(23), pieces, part, 3, batch=5)
    assert sorted(seen) == sorted(asked[0::3] + asked[1::3])
    seen.clear()
    [damaged, *_] = tmp_path.glob("*.npy")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert (extractors.extract(network, images.__getitem__, range(23), "two", batch=5, parts=pieces) == whole).all()
    assert len(seen) == len(asked[2::3]) + 1
