"""KID against stored numbers of public packages, sums written out, and simulation."""

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import VALUES, pair

from t2ibench.core.errors import UserError
from t2ibench.metrics.kid import Config, kid, kid_subsets, score
from t2ibench.stats.intervals import standard_error


def random(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_the_full_estimate_agrees_with_torch_fidelity():
    x, y = pair("features_full")
    assert kid(x, y)[0] == pytest.approx(VALUES["kid"]["full_unbiased_f64"], abs=1e-12)
    assert kid(x, y)[0] == pytest.approx(VALUES["kid"]["full_unbiased_f32"], abs=2e-7)


def test_another_kernel_agrees_with_torch_fidelity():
    def gaussian(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / 200)

    assert kid(*pair("features_full"), kernel=gaussian)[0] == pytest.approx(
        VALUES["kid"]["full_unbiased_rbf_sigma10_f64"], abs=1e-12
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_subsets_agree_with_clean_fid(seed):
    x, y = (side.double() for side in pair("features_full"))
    mean, _ = kid_subsets(x, y, np.random.RandomState(seed), subsets=20, size=100)
    assert mean == pytest.approx(VALUES["kid"][f"cleanfid_f64_seed{seed}_subsets20_size100"], abs=1e-12)
    assert mean == pytest.approx(VALUES["kid"][f"cleanfid_f32_seed{seed}_subsets20_size100"], abs=2e-7)


def test_subsets_agree_with_torch_fidelity():
    x, y = pair("features_full")
    found = kid_subsets(x, y, np.random.RandomState(2020), subsets=20, size=100, real_first=False)
    expected = [VALUES["kid"][f"torch_fidelity_f64_seed2020_subsets20_size100_{key}"] for key in ("mean", "std")]
    assert found == pytest.approx(expected, abs=1e-12)


def test_three_points_by_hand():
    """d = 1, k(x, y) = (xy + 1)^3: x = 0, 1 has k(0, 1) = 1; y = 1, 2 has k(1, 2) = 27; across 1, 1, 8, 27."""
    value, of_x, of_y = kid(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
    assert value == 1 + 27 - 2 * 37 / 4
    assert of_x.tolist() == [16.5, -16.5]  # h: 1 - 1 and 1 - 17.5; twice their distance from the mean
    assert of_y.tolist() == [9.5, -9.5]  # h: 27 - 4.5 and 27 - 14


def test_block_size_and_order_of_rows_change_nothing():
    x, y = pair("features_full")
    value, of_x, _ = kid(x, y)
    for block in (1, 7, 59):
        assert kid(x[:60], y[:50], block=block)[0] == pytest.approx(kid(x[:60], y[:50])[0], abs=1e-13)
    flipped, effects, _ = kid(x.flip(0), y, block=64)
    assert flipped == pytest.approx(value, abs=1e-13)
    torch.testing.assert_close(effects.flip(0), of_x, atol=1e-12, rtol=0)


def of_gaussians(d: int, shift: float) -> float:
    """The true distance of N(0, I) and N(shift, I): moments of x.y up to the third, for independent x, y of means a and
    b.
    """

    def mean_kernel(a: float, b: float) -> float:
        ab, aa, bb = a * b * d, a * a * d, b * b * d
        first, second = ab / d, (d + aa + bb + ab**2) / d**2
        return 1 + 3 * first + 3 * second + (ab**3 + 3 * ab * (aa + bb + d + 2)) / d**3

    return mean_kernel(0, 0) + mean_kernel(shift, shift) - 2 * mean_kernel(0, shift)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_it_is_unbiased_so_that_equal_distributions_lie_on_both_sides_of_zero(shift):
    values = [kid(random(50, 4, 2 * i), random(50, 4, 2 * i + 1, shift))[0] for i in range(200)]
    assert abs(np.mean(values) - of_gaussians(4, shift)) < 3 * np.std(values) / 200**0.5
    assert min(values) < 0 < max(values)


def test_the_interval_covers_at_its_level():
    """300 fresh pairs of 150 in 4 dimensions, one shifted by 0.3."""
    hits = 0
    for i in range(300):
        value, of_x, of_y = kid(random(150, 4, 2 * i), random(150, 4, 2 * i + 1, 0.3))
        se = np.hypot(standard_error(of_x.numpy()), standard_error(of_y.numpy()))
        hits += abs(value - of_gaussians(4, 0.3)) <= 1.96 * se
    assert 0.91 <= hits / 300 <= 0.985


def test_score_names_the_kernel_distance_by_its_extractor(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    x, y = pair("features_full")
    estimate = score(FakeEvidence(x, y), Config())["kd_avatars"]
    assert estimate.value == pytest.approx(VALUES["kid"]["full_unbiased_f64"], abs=1e-12)
    assert estimate.ci[0] < estimate.value < estimate.ci[1]
    assert set(score(FakeEvidence(x, y), Config(extractor="inception"))) == {"kid"}


@pytest.mark.parametrize(("x", "y"), [((1, 4), (5, 4)), ((5, 4), (5, 3))])
def test_bad_sets_are_refused(x, y):
    with pytest.raises(ValueError, match="2 or more samples of equal dimension"):
        kid(torch.zeros(x), torch.zeros(y))


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="40 made images"):
        score(FakeEvidence(random(40, 4, 0), random(200, 4, 1)), Config())
