"""t2ibench/generation.py: what becomes of a batch of which only some samples can be made."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from t2ibench.cells import Sample
from t2ibench.errors import PartlyFailed, UserError
from t2ibench.generation import generate
from t2ibench.journal import Store
from t2ibench.tracks import Prompt

SAMPLES = [Sample(Prompt(text, text), 0, seed) for seed, text in enumerate(["a", "banana", "b", "c"])]


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
    assert statuses(maker, tmp_path) == [("ok", ""), ("failed", "ValueError: no image answers 'banana'"), ("ok", ""), ("ok", "")]
    assert maker.asked == 8


def test_what_partly_failed_must_be_images(tmp_path):
    with pytest.raises(UserError, match=r"the method returned torch.float32 \[4, 3, 2, 2\], expected uint8"):
        statuses(Maker(PartlyFailed(torch.zeros(4, 3, 2, 2), {1: "withheld"})), tmp_path)
