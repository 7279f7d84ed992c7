"""MIND against torch-fidelity's numbers, closed forms, and simulation."""

import math

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence

from t2ibench.core.errors import UserError
from t2ibench.core.settings import configure
from t2ibench.metrics.mind import Config, along, mind, score
from t2ibench.stats.intervals import standard_error


@pytest.fixture(autouse=True)
def no_inception_weights(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


def waves() -> tuple[torch.Tensor, torch.Tensor]:
    i, j = torch.arange(64.0).double()[:, None], torch.arange(8.0).double()[None]
    return torch.sin(0.7 * (i + 1) * (j + 1)), torch.sin(0.7 * (i + 1) * (j + 2)) + 0.5


def random(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_the_values_are_torch_fidelitys():
    """Its `metric_mind.py` (unreleased 0.5, commit 5e211a9) with rng_seed 2020 and 1,000 directions, in float64."""
    x, y = waves()
    assert mind(x, y).value == pytest.approx(9.9182355, abs=1e-5)
    assert mind(x, y[:50]).value == pytest.approx(9.391648, abs=1e-5)  # and a random subset of the larger side


@pytest.mark.parametrize(("d", "shift"), [(1, 2.0), (5, 0.5)])
def test_a_shift_of_every_feature_by_c_gives_3_d_c_squared(d, shift):
    x = random(200, d, 0)
    expected = 3 * d * shift**2
    assert mind(x, x + shift, directions=3000).value == pytest.approx(expected, rel=1e-6 if d == 1 else 0.1)
    assert mind(x, x).value == 0


def test_order_and_the_side_change_nothing():
    x, y = waves()
    value, of_x, of_y = mind(x, y, 50)
    turned, of_turned, _ = mind(x.flip(0), y, 50)
    assert turned == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(of_turned.flip(0), of_x)
    other, of_other, _ = mind(y, x, 50)
    assert other == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(of_other, of_y)


def test_two_points_by_hand():
    """x = 0, 1 and y = 1, 3 are paired 0-1 and 1-3: (1 + 4) / 2. The potential of x falls by the mean of its bounds.

    They are |1 - 1|^2 - |0 - 1|^2 = -1 and |1 - 3|^2 - |0 - 3|^2 = -5.
    """
    squares, of_x, of_y = along(torch.tensor([[1.0], [0.0]]).double(), torch.tensor([[1.0], [3.0]]).double())
    assert squares.tolist() == [2.5]
    assert of_x.tolist() == [-1.5, 1.5]
    assert of_y.tolist() == [-3.0, 3.0]  # 1 - 0 = 1 and 4 + 3 = 7, less their mean


def test_the_interval_covers_the_expected_value_at_its_level():
    found = [mind(random(80, 3, 2 * i), random(80, 3, 2 * i + 1, 0.8), 40) for i in range(200)]
    expected = np.mean([one.value for one in found])
    hits = [
        abs(one.value - expected) <= 1.96 * math.hypot(*(standard_error(side.numpy()) for side in one[1:]))
        for one in found
    ]
    assert 0.9 <= np.mean(hits) <= 0.99


def test_rows_outside_of_the_subset_have_no_effect_and_the_error_stays_that_of_the_subset():
    x, y = random(40, 2, 0), random(100, 2, 1)
    value, _, of_y = mind(x, y, 20)
    assert int((of_y != 0).sum()) == 40
    used = of_y[of_y != 0] * 40 / 100
    assert standard_error(of_y.numpy()) == pytest.approx(standard_error(used.numpy()), rel=0.03)
    assert value > 0


def test_score_names_the_extractor_and_gives_a_null_of_two_halves_of_the_real_images():
    x, y = random(120, 4, 0), random(300, 4, 1)
    estimate = score(FakeEvidence(x, y), Config(directions=50))["mind_avatars"]
    assert estimate.ci[0] <= estimate.value <= estimate.ci[1]
    assert (estimate.better, estimate.details["null_n"], estimate.details["n_each"]) == ("lower", 150, 120)
    assert 0 < estimate.details["null"] < 10 * estimate.value
    assert set(score(FakeEvidence(x, y), Config(extractor="inception", directions=50))) == {"mind"}
    other = score(FakeEvidence(x, y), Config(directions=50, seed=1))["mind_avatars"]
    assert other.protocol_id != estimate.protocol_id


@pytest.mark.parametrize(("x", "y"), [((1, 4), (5, 4)), ((5, 4), (5, 3))])
def test_bad_sets_are_refused(x, y):
    with pytest.raises(ValueError, match="2 or more samples of equal dimension"):
        mind(torch.zeros(x), torch.zeros(y))


def test_bad_input_is_one_line():
    with pytest.raises(ValueError, match="mind: fake must be finite"):
        mind(torch.full((5, 2), float("nan")), torch.zeros(5, 2))
    with pytest.raises(UserError, match="40 made images"):
        score(FakeEvidence(random(40, 4, 0), random(200, 4, 1)), Config())
    with pytest.raises(UserError, match="directions is 0, expected at least 1"):
        configure(Config, {"directions": 0}, "mind")
