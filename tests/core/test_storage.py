"""t2ibench/core/storage.py: files are published whole beside any number of writers, and kept files are known to be
whole.
"""

import errno
import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t2ibench.core import cache
from t2ibench.core.errors import UserError
from t2ibench.core.storage import CACHE, once, publish, unpublished
from t2ibench.data import image_sets
from t2ibench.networks import weights
from t2ibench.networks.training import loop
from t2ibench.runner.generate import locked

KEY = image_sets.ImageSetKey("owner", "name", "k" * 20)
PIXELS = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)


def writer(path: Path, number: int) -> None:
    for _ in range(40):
        publish(path, [bytes([number]) * 5000, bytes([number]) * 5000])


def test_eight_writers_of_one_file_all_reach_the_end_and_it_is_whole(tmp_path: Path):
    path = tmp_path / "deep" / "file"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=writer, args=(path, number)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    content = path.read_bytes()
    assert len(content) == 10_000
    assert len(set(content)) == 1
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_file_and_no_part(tmp_path: Path):
    publish(tmp_path / "a", b"old")

    def halfway() -> None:
        with unpublished(tmp_path / "a") as part:
            part.write_bytes(b"half")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        halfway()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "free some space, or set T2IBENCH_CACHE"),
        (errno.EMFILE, "too many files are open"),
        (errno.EROFS, "set T2IBENCH_CACHE"),
        (errno.EACCES, "set T2IBENCH_CACHE"),
    ],
)
def test_the_error_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str):
    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=said):
        publish(tmp_path / "a", b"x", CACHE)
    assert list(tmp_path.iterdir()) == []


def images(made: list[int]) -> np.ndarray:
    def make(path: Path) -> dict[str, Any]:
        made.append(1)
        image_sets.write_images(path, [PIXELS], PIXELS.shape)
        return {"fact": 1}

    store, facts = image_sets.images(KEY, make)
    assert facts["fact"] == 1
    return store.read(range(4))


def test_what_is_complete_is_found_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder cannot even be locked; what is missing in it is one line that names the variable."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    made: list[int] = []
    images(made)
    key = ["a"]
    cache.cached(tmp_path, key, lambda: np.ones(3))

    def closed(*arguments: Any, **settings: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("t2ibench.core.claims.Claim._created", closed)
    monkeypatch.setattr(Path, "mkdir", closed)
    np.testing.assert_array_equal(images(made), PIXELS)
    assert made == [1]
    np.testing.assert_array_equal(cache.cached(tmp_path, key, lambda: np.zeros(3)), np.ones(3))
    np.testing.assert_array_equal(cache.cached(tmp_path, ["b"], lambda: np.zeros(3)), np.zeros(3))  # made, and not kept
    with pytest.raises(UserError, match="T2IBENCH_CACHE"):
        once(tmp_path / "x.lock", lambda: None, lambda: 1)


# Every kept file is known to be whole: cut, zeroed or flipped, it is made again or refused


def damaged(content: bytes, count: int) -> list[bytes]:
    """The content cut, zeroed in a stretch, and with a flipped bit, `count` times each."""
    random, result = np.random.default_rng(0), []
    for place in random.integers(0, len(content), count):
        zeroed, flipped = bytearray(content), bytearray(content)
        zeroed[place : place + 64] = bytes(len(zeroed[place : place + 64]))
        flipped[place] ^= 1 << int(random.integers(8))
        result += [content[:place], bytes(zeroed), bytes(flipped)]
    return [changed for changed in result if changed != content]


def test_a_damaged_image_set_or_its_sheet_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    images([])
    for path in (KEY.path, KEY.path.with_suffix(".json")):
        whole = path.read_bytes()
        for content in damaged(whole, 12):
            path.write_bytes(content)
            made: list[int] = []
            np.testing.assert_array_equal(images(made), PIXELS)
            assert made == [1]


class Recipe:
    """A parameter that goes up by 1 a step."""

    settings: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.value = torch.zeros(16)

    def state(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state(self, state: dict[str, Any]) -> None:
        self.value = state["value"]

    def preview(self) -> None:
        return None


def refused(path: Path, read: Callable[[], Any], whole: Any, count: int = 20) -> None:
    content = path.read_bytes()
    for changed in damaged(content, count):
        path.write_bytes(changed)
        try:
            value = read()
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert value == whole  # only what says nothing was changed, such as white space
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path):
    recipe: Any = Recipe()
    loop._save(recipe, tmp_path, 3, 1.5, {})
    path = tmp_path / "checkpoint.pt"
    assert loop._resume(recipe, path) == (3, 1.5)
    for content in damaged(path.read_bytes(), 60):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            loop._resume(recipe, path)


def test_a_damaged_card_is_refused(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    card = weights.write(path, {"x": torch.ones(2)}, {"width": 2}, {"steps": 12, "validation": {"r": 0.25}}).card
    refused(path.with_suffix(".json"), lambda: weights.read(path).card, card)
    refused(path, lambda: weights.read(path).sha256, json.loads(path.with_suffix(".json").read_text())["sha256"])


def test_an_error_of_the_work_inside_is_not_taken_for_one_of_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "cell"):
        (tmp_path / "missing").read_bytes()
