"""R-precision against scikit-learn on stored scores, by hand, and its ceiling against drawing the pools."""

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import VALUES, tensors

from t2ibench.core.errors import UserError
from t2ibench.metrics.r_precision import Config, oracle, score
from t2ibench.stats.intervals import wilson
from t2ibench.stats.retrieval import distractors, first_places


def test_agrees_with_scikit_learn_on_stored_scores():
    scores = tensors("clip_embeddings")["scores_1_in_100"].numpy()
    hits, drawn, tied = first_places(scores[:, 0], scores[:, 1:])
    assert hits.mean() == VALUES["clip"]["r_precision_1_in_100_top1"]
    assert not tied.any()
    assert (drawn == hits).all()


def test_a_tie_is_a_failure_and_is_counted():
    own, others = np.array([0.5, 0.5, 0.5, 0.5]), np.array([[0.4, 0.3], [0.5, 0.3], [0.5, 0.5], [0.5, 0.6]])
    hits, drawn, tied = first_places(own, others)
    assert hits.tolist() == [True, False, False, False]
    assert drawn.tolist() == [1.0, 0.5, 1 / 3, 0.0]
    assert tied.tolist() == [False, True, True, False]


def test_distractors_differ_from_the_text_and_from_each_other_and_follow_their_seed():
    texts = ["a", "b", "a", "c", "d", "e"]
    found = distractors(texts, np.array([0, 1, 0]), [7, 8, 7], pool=4)
    assert found.shape == (3, 3)
    assert (found[0] == found[2]).all()  # the same sample, wherever it stands
    assert not {0, 2} & set(found[0])  # both are "a"
    assert all(len(set(row)) == 3 for row in found)
    assert 1 not in found[1]


def test_every_other_prompt_is_drawn_equally_often():
    found = distractors([str(i) for i in range(11)], np.zeros(4000, int), range(4000), pool=4)
    counts = np.bincount(found.ravel(), minlength=11)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 1200).max() < 5 * (4000 * 0.3 * 0.7) ** 0.5


def test_too_few_different_prompts_are_refused():
    with pytest.raises(UserError, match=r"3 prompts differ from 'a', a pool of 5 needs 4: ask for more captions"):
        distractors(["a", "a", "b", "c", "d"], np.array([0]), [0], pool=5)


def evidence(right: int, n: int = 120) -> FakeEvidence:
    """Orthogonal texts; the first `right` images equal their text, the others point nowhere, which is a tie of all."""
    texts = torch.eye(n + 1)
    images = torch.cat([texts[:right], texts[-1:].expand(n - right, -1)])
    return FakeEvidence(images, texts={f"text {i}": texts[i] for i in range(n)})


def test_score_counts_hits_and_ties():
    estimate = score(evidence(90), Config())["r_precision"]
    assert estimate.value == 0.75
    assert estimate.ci == wilson(90, 120)
    assert estimate.details["ties"] == 30
    assert estimate.details["ties_random"] == pytest.approx(0.75 + 0.25 / 100)
    assert estimate.details["per_sample"] == "1" * 90 + "0" * 30
    assert (estimate.protocol["pool"], estimate.protocol["distractors"], estimate.better) == (
        100,
        "other_prompt",
        "higher",
    )
    assert score(evidence(90), Config(ties="random"))["r_precision"].value == pytest.approx(0.7525)


def test_an_embedding_that_knows_nothing_is_at_chance():
    generator = torch.Generator().manual_seed(0)
    texts = {
        f"text {i}": row
        for i, row in enumerate(torch.nn.functional.normalize(torch.randn(1000, 16, generator=generator)))
    }
    images = torch.nn.functional.normalize(torch.randn(1000, 16, generator=generator))
    low, high = score(FakeEvidence(images, texts=texts), Config(pool=10))["r_precision"].ci
    assert low < 0.1 < high


def test_a_failed_sample_leaves_its_prompt_in_the_pools():
    images = torch.eye(121)[:119]
    texts = {f"text {i}": torch.eye(121)[i] for i in range(120)}
    estimate = score(FakeEvidence(images, texts=texts, ok=[True] * 119 + [False]), Config(pool=120))["r_precision"]
    assert (estimate.value, estimate.n) == (1.0, 119)
    assert estimate.details["per_sample"] == "1" * 119 + "-"


def test_the_oracle_by_hand():
    """Image 0 fits captions 0 and 1, of two distractors out of three one is true with 2/3: 1/3 + 2/3 * 1/2.

    Image 1 fits only its own.
    """
    consistent = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    assert oracle(consistent, np.arange(4), list("abcd"), pool=3) == pytest.approx([2 / 3, 1.0, 1 / 3, 0.0])


def test_the_oracle_is_what_drawing_pools_gives():
    random = np.random.default_rng(0)
    consistent = random.random((30, 60)) < 0.2
    own = np.arange(30)
    consistent[own, own] = True
    texts = [f"text {i % 50}" for i in range(60)]  # ten captions are said twice
    credit = []
    for draw in range(300):
        others = distractors(texts, own, range(1000 * draw, 1000 * draw + 30), pool=10)
        scores = consistent[own[:, None], others].astype(float)
        credit.append(first_places(np.ones(30), scores)[1])
    assert np.mean(credit) == pytest.approx(oracle(consistent, own, texts, pool=10).mean(), abs=0.01)


def test_the_oracle_refuses_too_few_captions():
    with pytest.raises(UserError, match="2 captions differ"):
        oracle(np.ones((3, 3), bool), np.arange(3), list("abc"), pool=4)
