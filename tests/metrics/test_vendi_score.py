"""The Vendi score: closed forms, the released code's numbers, and which images belong to one text."""

import math

import pandas as pd
import pytest
import torch
from fake_evidence import FakeEvidence, blank

from t2ibench.core.errors import UserError
from t2ibench.core.settings import configure
from t2ibench.data.split import Split
from t2ibench.metrics.vendi_score import Config, cosines, prompts, score, vendi

TEXTS = {"a cat": torch.ones(2), "a dog": torch.ones(2)}


@pytest.fixture(autouse=True)
def no_inception_weights(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


@pytest.mark.parametrize("order", [0.5, 1, 2, math.inf])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_equal_images_score_1_and_orthogonal_ones_score_their_number(n, order):
    assert vendi(torch.ones(n, n).double(), order) == pytest.approx(1)
    assert vendi(torch.eye(n).double(), order) == pytest.approx(n)


def test_the_values_are_those_of_the_released_code():
    """vertaix/Vendi-Score at c791c30: `score_K` of a kernel, `score_X` and `score_dual` of rows."""
    kernel = torch.tensor([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    for order, expected in ((1, 2.749459), (2, 2.571429), (math.inf, 2), (0.5, 2.865251)):
        assert vendi(kernel, order) == pytest.approx(expected, abs=1e-6)
    rows = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    assert vendi(cosines(rows)) == pytest.approx(1.889882, abs=1e-6)
    assert vendi(cosines(rows), 2) == pytest.approx(1.8)


@pytest.mark.parametrize(("n", "expected"), [(3, 1.338), (4, 1.417), (10, 1.649)])
def test_images_that_are_as_alike_score_more_where_there_are_more_of_them(n, expected):
    assert vendi(0.9 * torch.ones(n, n) + 0.1 * torch.eye(n)) == pytest.approx(expected, abs=5e-4)


def test_lengths_of_features_and_the_order_of_images_change_nothing():
    rows = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    value = vendi(cosines(rows))
    assert vendi(cosines(rows.flip(0) * torch.arange(1.0, 7)[:, None])) == pytest.approx(value)


def test_the_score_is_the_mean_over_texts():
    same, apart = torch.ones(3, 3), torch.eye(3)
    estimate = score(FakeEvidence(torch.cat([same, apart]), texts=TEXTS, images_each=3), Config())["vendi_score"]
    assert estimate.value == pytest.approx(2)
    assert (estimate.n, estimate.better, estimate.details["images"]) == (2, "none", 3)
    assert (estimate.details["lowest"], estimate.details["highest"]) == (pytest.approx(1), pytest.approx(3))
    assert estimate.details["mean_cosine"] == pytest.approx(0.5)
    assert estimate.details["per_sample"] == "1 3"
    assert estimate.ci[0] <= estimate.value <= estimate.ci[1]
    other = score(FakeEvidence(torch.cat([same, apart]), texts=TEXTS, images_each=3), Config(order=2.0))
    assert other["vendi_score"].protocol_id != estimate.protocol_id


def test_a_failed_image_adds_no_variety_and_a_text_without_images_scores_1():
    features = torch.cat([torch.eye(3)[:2], torch.eye(3)[:0]])  # two images of the first text, none of the second
    evidence = Failing(features, ok=[True, True, False, False, False, False])
    estimate = score(evidence, Config())["vendi_score"]
    assert estimate.details["per_sample"] == "2 1"
    assert estimate.details["failed"] == 4


class Failing(FakeEvidence):
    """Two texts with three images each, of which some failed."""

    def __init__(self, features: torch.Tensor, ok: list[bool]) -> None:
        super().__init__(torch.zeros(6, 3), texts=TEXTS, images_each=3, ok=ok)
        self.fake = features


def split(captions: list[str], mentions: list[list[list[str]]] | None = None) -> Split:
    ids = [f"i{row}" for row in range(len(captions))]
    texts = [(text,) if text else () for text in captions]
    table = None if mentions is None else pd.DataFrame({"hat": ["red"] * len(ids)})
    return Split("d", "test", ids, blank(len(ids)), texts, table, mentions=mentions)


def test_it_asks_for_captions_of_its_own_which_the_baseline_real_can_show_anew_where_they_are_literals():
    told = split(["a red hat", "a hat"], [[["hat=red"]], [[]]])
    asked = {prompt.id: prompt for prompt in prompts(told, told, Config(prompts=2, images=5))}
    assert {prompt.images for prompt in asked.values()} == {5}
    assert asked["variety/i0"].tags == {"literals": ["hat=red"]}
    assert (asked["variety/i0"].reference, asked["variety/i1"].reference) == (None, "i1")
    with pytest.raises(UserError, match="prompts is 2, but 1 images of d test have a caption"):
        prompts(told, split(["", "b"]), Config(prompts=2))


def test_bad_input_is_one_line():
    with pytest.raises(UserError, match="at least 2 texts with 2 images each"):
        score(FakeEvidence(torch.eye(2), texts=TEXTS), Config())
    with pytest.raises(UserError, match="1 images of 'a dog' and 2 of 'a cat'"):
        score(FakeEvidence(torch.eye(3), texts=TEXTS, images_each=2, ok=[True] * 3), Config())
    with pytest.raises(UserError, match="images is 1, expected at least 2"):
        configure(Config, {"images": 1}, "vendi_score")
    with pytest.raises(UserError, match=r"order is 0\.0, expected more than 0"):
        configure(Config, {"order": 0}, "vendi_score")
    with pytest.raises(ValueError, match="row 1 is zero"):
        cosines(torch.tensor([[1.0, 0], [0, 0]]))
    with pytest.raises(ValueError, match="features must be finite"):
        cosines(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="least eigenvalue is -0"):
        vendi(torch.tensor([[1.0, 2], [2, 1]]))
    with pytest.raises(ValueError, match="symmetric kernel"):
        vendi(torch.tensor([[1.0, 2], [0, 1]]))
