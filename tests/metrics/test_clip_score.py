"""CLIP score against stored numbers of torchmetrics, and by hand."""

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import VALUES, tensors

from t2ibench.core.errors import UserError
from t2ibench.metrics.clip_score import Config, cosines, score, views

EMBEDDINGS = tensors("clip_embeddings")


def mixed() -> torch.Tensor:
    return torch.cat([EMBEDDINGS["txt"][:48], EMBEDDINGS["neg"][48:]])


@pytest.mark.parametrize(
    ("texts", "key"),
    [(EMBEDDINGS["txt"], "img_txt"), (EMBEDDINGS["neg"], "img_neg"), (mixed(), "img_mix")],
    ids=["txt", "neg", "mix"],
)
def test_the_view_of_torchmetrics_agrees_with_it(texts, key):
    found = views(cosines(EMBEDDINGS["img"], texts))["torchmetrics_100"]
    assert found == pytest.approx(VALUES["clip"][f"torchmetrics_clipscore_{key}"], abs=1e-4)


def test_clamping_each_image_and_clamping_the_mean_differ_where_signs_mix():
    found = views(cosines(EMBEDDINGS["img"], mixed()))
    assert found["hessel_2.5"] * 40 == pytest.approx(42.40, abs=0.01)
    assert found["torchmetrics_100"] == pytest.approx(21.65, abs=0.01)


def test_cosines_by_hand_and_whatever_the_norms():
    images, texts = (
        torch.tensor([[1.0, 0.0], [3.0, 4.0], [1.0, 0.0]]),
        torch.tensor([[2.0, 0.0], [3.0, 4.0], [-5.0, 0.0]]),
    )
    assert cosines(images, texts).tolist() == [1.0, 1.0, -1.0]
    assert (
        np.abs(cosines(EMBEDDINGS["img"] * 8, EMBEDDINGS["txt"]) - cosines(EMBEDDINGS["img"], EMBEDDINGS["txt"])).max()
        < 1e-12
    )


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=1, keepdim=True)


def test_score_is_the_unscaled_mean_with_every_sample_kept():
    texts = {f"text {i}": row for i, row in enumerate(unit(EMBEDDINGS["txt"]))}
    ok = [True] * 64
    ok[3] = False
    images = unit(EMBEDDINGS["img"])[torch.tensor(ok)]
    estimate = score(FakeEvidence(images, texts=texts, ok=ok), Config(clip="clip-judge-avatars"))["clip_score"]
    expected = cosines(EMBEDDINGS["img"], EMBEDDINGS["txt"])[np.array(ok)]
    assert estimate.value == pytest.approx(expected.mean(), abs=1e-7)
    assert (estimate.n, estimate.better, estimate.protocol["extractor"]) == (63, "higher", "clip-judge-avatars")
    assert estimate.ci[0] < estimate.value < estimate.ci[1]
    assert estimate.ci[1] - estimate.ci[0] == pytest.approx(2 * 1.96 * expected.std() / 63**0.5, rel=0.1)
    spelled = estimate.details["per_sample"].split()
    assert spelled[3] == "-"
    assert [float(word) for word in spelled if word != "-"] == pytest.approx(expected, abs=1e-5)


def test_several_images_of_a_prompt_do_not_narrow_the_interval():
    texts = {f"text {i}": row for i, row in enumerate(unit(EMBEDDINGS["txt"]))}
    images = unit(EMBEDDINGS["img"])
    one = score(FakeEvidence(images, texts=texts), Config())["clip_score"]
    three = score(FakeEvidence(images.repeat_interleave(3, 0), texts=texts, images_each=3), Config())["clip_score"]
    assert three.value == pytest.approx(one.value)
    assert three.ci == pytest.approx(one.ci, abs=1e-9)


def test_one_image_is_refused():
    with pytest.raises(UserError, match="1 made images of 'captions', at least 2"):
        score(FakeEvidence(torch.ones(1, 2), texts={"a": torch.ones(2)}), Config())
