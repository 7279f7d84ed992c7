"""t2ibench/scoring/evidence.py and features.py: features are computed once, for the images that are there, in their
order.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from t2ibench.core.cache import home
from t2ibench.core.cache import read as _read
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.networks import extractors
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import Prompt

NOISE = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), np.uint8)


class Judge:
    """Features: the three channel means. hue: the channel that is brightest, with certainty."""

    name, sha256, size, dimension = "attribute-judge-test", "j" * 64, 4, 3
    attributes = {"hue": ["red", "green", "blue"], "tone": ["dark", "light"]}  # noqa: RUF012

    def __init__(self) -> None:
        self.seen = 0

    def read(self, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.seen += len(images)
        means = images.float().mean((2, 3))
        light = (means.mean(1) > 127).long()
        return means, {"hue": torch.eye(3)[means.argmax(1)], "tone": torch.eye(2)[light]}


class Clip:
    name, sha256, preprocess = "clip-test", "c" * 64, SimpleNamespace(id="none4")

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(images.float().flatten(1), dim=1)

    def unknown_words(self, texts: list[str]) -> None:
        return None

    def cut(self, texts: list[str]) -> list[bool]:
        return [False] * len(texts)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        self.read += texts
        return torch.nn.functional.normalize(torch.tensor([[len(text), 1.0] for text in texts]), dim=1)


def images(array: np.ndarray) -> ArrayImages:
    return ArrayImages(array, [pixel_hash(image) for image in array])


def networks() -> Any:
    """The networks of one run."""
    judge, clip = Judge(), Clip()
    return SimpleNamespace(
        is_judge=lambda name: name == judge.name,
        judge=lambda name: judge,
        clip=lambda name: clip,
        used={},
        cache=home(),
        the_judge=judge,
        the_clip=clip,
    )


def evidence(ok: tuple[bool, ...] = (True,) * 6, models: Any = None) -> Evidence:
    split = Split("d", "test", list("abcdef"), images(NOISE), [("x",)] * 6)
    prompts = [Prompt(str(i), f"text {i}") for i in range(6)]
    store = images(NOISE)
    samples = Samples(
        prompts, [0] * 6, np.array(ok), [h if good else "" for h, good in zip(store.hashes, ok, strict=True)], store
    )
    return Evidence(
        train=split,
        reference=split,
        prompts=prompts,
        samples={"captions": samples},
        models=models or networks(),
        judge="attribute-judge-test",
    )


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    return tmp_path / "features"


def test_features_follow_the_rows_that_have_an_image():
    found = evidence((True, False, True, True, False, True)).fake_features("attribute-judge-test")
    torch.testing.assert_close(found, torch.from_numpy(NOISE[[0, 2, 3, 5]]).float().mean((2, 3)))


def test_attributes_are_indexed_by_the_rows_they_belong_to():
    table = evidence((False, True, True, True, True, True)).fake_attributes()
    assert list(table.index) == [1, 2, 3, 4, 5]
    means = NOISE.reshape(6, 3, -1).mean(2)
    assert list(table["hue"]) == [["red", "green", "blue"][i] for i in means.argmax(1)[1:]]


def test_probabilities_have_a_column_a_literal():
    table = evidence().real_probabilities()
    assert list(table.columns) == ["hue=red", "hue=green", "hue=blue", "tone=dark", "tone=light"]
    np.testing.assert_allclose(table[["tone=dark", "tone=light"]].sum(axis=1), 1)


def test_probabilities_of_made_images_are_indexed_by_the_rows_they_belong_to():
    table = evidence((False, True, True, True, True, True)).fake_probabilities()
    assert list(table.index) == [1, 2, 3, 4, 5]
    values = evidence((False, True, True, True, True, True)).fake_attributes()
    assert [table.loc[row, f"hue={value}"] for row, value in values["hue"].items()] == [1.0] * 5


def test_one_pass_serves_features_attributes_and_every_later_run():
    models = networks()
    first, judge = evidence(models=models), models.the_judge
    first.fake_features("attribute-judge-test")
    first.fake_attributes()
    first.real_attributes()  # the same pixels: the same pass
    first.real_features("attribute-judge-test")
    assert judge.seen == 6
    later = networks()
    evidence(models=later).fake_features("attribute-judge-test")
    assert later.the_judge.seen == 0


def test_other_images_another_order_and_other_weights_are_another_entry(cache):
    for ok in ((True,) * 6, (True,) * 5 + (False,)):
        evidence(ok).fake_features("attribute-judge-test")
    models = networks()
    models.the_judge.sha256 = "k" * 64
    changed = evidence(models=models)
    changed.fake_features("attribute-judge-test")
    changed.real_features("attribute-judge-test", changed.reference.take([1, 0]))
    assert len(list(cache.glob("*.npy"))) == 4


@pytest.mark.parametrize(
    "damage", [lambda b: b[:100], lambda b: b[:-40] + bytes([b[-40] ^ 1]) + b[-39:], lambda b: b""]
)
def test_a_damaged_cache_file_is_made_again(cache, damage):
    right = evidence().fake_features("attribute-judge-test")
    [path] = cache.glob("*.npy")
    path.write_bytes(damage(path.read_bytes()))
    models = networks()
    torch.testing.assert_close(evidence(models=models).fake_features("attribute-judge-test"), right)
    assert models.the_judge.seen == 6
    assert _read(path) is not None


def test_equal_texts_are_embedded_once_and_come_back_in_order():
    models = networks()
    rows = evidence(models=models).text_features("clip-test", ["aa", "b", "aa"])
    assert models.the_clip.read == ["aa", "b"]
    torch.testing.assert_close(rows[0], rows[2])
    torch.testing.assert_close(rows[1], torch.tensor([1.0, 1.0]) / 2**0.5)


def test_the_protocol_names_weights_and_resize():
    assert evidence().extractor_protocol("clip-test") == {
        "extractor": "clip-test",
        "sha256": "c" * 64,
        "resize": "none4",
    }


def test_a_group_nobody_asked_for_and_a_set_without_images_are_one_line():
    with pytest.raises(UserError, match="no prompts of the group 'pairs' were asked for"):
        evidence().samples("pairs")
    with pytest.raises(UserError, match="there is no image to look at"):
        evidence((False,) * 6).fake_features("attribute-judge-test")


def test_extraction_in_batches_equals_one_pass():
    network = lambda x: x.float().mean((2, 3))  # noqa: E731
    rows = [4, 0, 5, 2, 1]
    parts = extractors.extract(network, lambda r: NOISE[list(r)], rows, "test", batch=2)
    np.testing.assert_array_equal(parts, network(torch.from_numpy(NOISE[rows])).numpy())
    assert isinstance(evidence().real_attributes(), pd.DataFrame)
