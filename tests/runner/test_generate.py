"""t2ibench/runner/generate.py: what becomes of a batch of which only some samples can be made, and which images are
equal to what bits.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gan_cls_data import TINY, write_tiny_weights
from torch import Tensor

from t2ibench.core.errors import PartlyFailed
from t2ibench.core.plugins import complete
from t2ibench.methods import gan_cls
from t2ibench.networks.models import Models
from t2ibench.runner.generate import generate
from t2ibench.runner.journal import Store
from t2ibench.runner.methods import Method
from t2ibench.tracks import contract
from t2ibench.tracks.contract import Prompt, Sample, load_track

SAMPLES = [Sample(Prompt(text, text), 0, seed) for seed, text in enumerate(["a", "banana", "b", "c"])]
CARDS = [Sample(Prompt(f"{seed}", f"card {seed}"), 0, seed) for seed in range(40)]


class Maker:
    """Grey images; `error` is raised for a batch with "banana" in it."""

    identity: Mapping[str, Any] = {}
    weights: Mapping[str, Any] = {}
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = {}

    def __init__(self, error: Exception) -> None:
        self.error, self.asked = error, 0

    def source(self, sample: Sample) -> str:
        return sample.prompt.text

    def make(self, samples: Sequence[Sample]) -> Tensor:
        self.asked += len(samples)
        if any(sample.prompt.text == "banana" for sample in samples):
            raise self.error
        return torch.full((len(samples), 3, 2, 2), 100, dtype=torch.uint8)


def statuses(maker: Maker, tmp_path) -> list[tuple[str, str]]:
    return [(outcome.status, outcome.message) for outcome in generate(maker, SAMPLES, Store(tmp_path / "cell"), "made")]


@pytest.mark.parametrize(("reason", "status"), [("withheld", "failed"), ("the image holds NaN", "nan")])
def test_what_a_method_names_fails_and_nothing_is_made_twice(tmp_path, reason, status):
    maker = Maker(PartlyFailed(torch.full((4, 3, 2, 2), 100, dtype=torch.uint8), {1: reason}))
    assert statuses(maker, tmp_path) == [("ok", ""), (status, reason), ("ok", ""), ("ok", "")]
    assert maker.asked == 4
    assert len(list((tmp_path / "cell/images").glob("*.png"))) == 3


def test_another_error_is_traced_to_its_sample(tmp_path):
    maker = Maker(ValueError("no image answers 'banana'"))
    assert statuses(maker, tmp_path) == [
        ("ok", ""),
        ("failed", "ValueError: no image answers 'banana'"),
        ("ok", ""),
        ("ok", ""),
    ]
    assert maker.asked == 8


def test_what_partly_failed_must_be_images(tmp_path):
    found = statuses(Maker(PartlyFailed(torch.zeros(4, 3, 2, 2), {1: "withheld"})), tmp_path)
    assert {status for status, _ in found} == {"failed"}
    assert all(
        reason.startswith("the method returned torch.float32 [4, 3, 2, 2], expected uint8") for _, reason in found
    )


@pytest.fixture
def gan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Method]:
    """Makes a method with networks in it, anew each time."""
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    write_tiny_weights(tmp_path, TINY)

    def made() -> Method:
        method = complete(contract.Method, gan_cls.Method(gan_cls.Config(weights="tiny-gan"), Models()))
        return Method(method, load_track("text_to_image"), {})

    return made


def images(maker: Method, folder: Path, batch: int) -> np.ndarray:
    store = Store(folder)
    return store.read([outcome.sample for outcome in generate(maker, CARDS, store, "made", batch)])


def test_a_cell_that_was_stopped_ends_in_the_same_images_bit_for_bit(gan, monkeypatch, tmp_path):
    whole, drawn, made = images(gan(), tmp_path / "whole", 12), gan_cls.Method.text_to_image, []

    def text_to_image(self: gan_cls.Method, requests: Sequence[Any]) -> Tensor:
        made.append(len(requests))
        if len(made) == 3:
            raise KeyboardInterrupt
        return drawn(self, requests)

    monkeypatch.setattr(gan_cls.Method, "text_to_image", text_to_image)
    with pytest.raises(KeyboardInterrupt):
        images(gan(), tmp_path / "stopped", 12)
    first = min((tmp_path / "stopped/images").glob("*.png"))
    first.unlink()  # its batch is made again as a whole, not the image alone
    np.testing.assert_array_equal(images(gan(), tmp_path / "stopped", 12), whole)
    assert made == [12, 12, 12, 12, 12, 4]


@pytest.mark.parametrize("batch", [1, 7])
def test_another_batch_size_moves_no_image_by_more_than_a_grey_level(gan, tmp_path, batch):
    whole, parts = images(gan(), tmp_path / "whole", 64), images(gan(), tmp_path / "parts", batch)
    assert np.abs(parts.astype(int) - whole).max() <= 1
