"""The Inception Score against stored numbers of torch-fidelity and torchmetrics, by hand, and its error by
simulation.
"""

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import VALUES, tensors

from t2ibench.core.errors import UserError
from t2ibench.metrics.inception_score import Config, inception_score, score
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.intervals import standard_error

PROBABILITIES = tensors("isc_logits")["logits"].double().softmax(1)


@pytest.mark.parametrize("splits", [1, 7, 10])
@pytest.mark.parametrize("shuffle", [0, 1])
def test_it_agrees_with_torch_fidelity(splits, shuffle):
    order = np.random.RandomState(2020).permutation(600) if shuffle else np.arange(600)
    found = inception_score(PROBABILITIES[torch.from_numpy(order)], splits)
    expected = [VALUES["isc"][f"torch_fidelity_{key}_splits{splits}_shuffle{shuffle}"] for key in ("mean", "std")]
    assert (found.value, found.sd) == pytest.approx(expected, abs=1e-10)


def test_it_agrees_with_torchmetrics():
    assert inception_score(PROBABILITIES, 1).value == pytest.approx(
        VALUES["isc"]["torchmetrics_mean_splits1"], abs=1e-5
    )


def test_certain_and_even_answers_reach_the_number_of_classes_and_equal_ones_reach_1():
    certain = torch.eye(5).repeat(4, 1)
    assert inception_score(certain, 2).value == pytest.approx(5.0)
    assert inception_score(torch.full((20, 5), 0.2), 2).value == pytest.approx(1.0)
    half = torch.tensor([[1.0, 0.0], [0.5, 0.5]])  # p(y) = (3/4, 1/4): KLs ln 4/3 and ln 2 - ln 3 / 2
    assert inception_score(half, 1).value == pytest.approx(np.exp((np.log(4 / 3) + np.log(2) - np.log(3) / 2) / 2))


def test_order_within_a_split_and_of_the_classes_change_nothing():
    value = inception_score(PROBABILITIES, 1).value
    assert inception_score(PROBABILITIES.flip(0), 1).value == pytest.approx(value, abs=1e-12)
    assert inception_score(PROBABILITIES.flip(1), 1).value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("splits", [1, 5])
def test_the_standard_error_is_the_spread_over_fresh_draws(splits):
    found = []
    for i in range(200):
        generator = torch.Generator().manual_seed(i)
        found.append(inception_score((2 * torch.randn(500, 6, generator=generator)).softmax(1), splits))
    errors = [standard_error(one.effects.numpy()) for one in found]
    assert np.mean(errors) == pytest.approx(np.std([one.value for one in found]), rel=0.15)


def test_score_shuffles_as_torch_fidelity_does():
    estimate = score(FakeEvidence(PROBABILITIES.float()), Config(fewest=600))["inception_score"]
    assert estimate.value == pytest.approx(VALUES["isc"]["torch_fidelity_mean_splits10_shuffle1"], abs=1e-5)
    assert (estimate.n, estimate.better, estimate.details["split"], estimate.details["enough"]) == (
        600,
        "higher",
        60,
        False,
    )
    assert estimate.ci[0] < estimate.value < estimate.ci[1]
    assert "reference" not in estimate.protocol
    assert estimate.protocol["extractor"] == "inception-probabilities"


def test_images_of_one_prompt_are_not_counted_as_independent():
    four = PROBABILITIES.float().repeat_interleave(4, 0)
    alone = score(FakeEvidence(PROBABILITIES.float()), Config(fewest=600, splits=1))["inception_score"]
    repeated = score(FakeEvidence(four, images_each=4), Config(fewest=600, splits=1))["inception_score"]
    assert repeated.details["se"] == pytest.approx(alone.details["se"], rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "splits", "why"),
    [
        (torch.full((3, 2), 0.5), 4, "needs as many images"),
        (torch.ones(4, 2), 1, "sum to 1"),
        (torch.tensor([[1.5, -0.5]]), 1, "from 0 on"),
    ],
)
def test_what_is_no_probability_is_refused(rows, splits, why):
    with pytest.raises(ValueError, match=why):
        inception_score(rows, splits)


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="600 made images of 'captions', at least 1,000"):
        score(FakeEvidence(PROBABILITIES.float()), Config())


def test_without_the_weights_it_says_where_they_belong(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    evidence = FakeEvidence(PROBABILITIES.float())
    evidence.models, evidence._extractors = Models(), {}
    with pytest.raises(UserError, match=r"inception-probabilities: .*inception-2015-12-05.pt is missing: put NVIDIA"):
        Evidence.extractor_protocol(evidence, "inception-probabilities")
