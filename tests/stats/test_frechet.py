"""The Fréchet distance against closed forms, 34-digit arithmetic, public packages and simulation."""

import numpy as np
import pytest
import torch
from goldens import VALUES, pair

from t2ibench.stats import frechet
from t2ibench.stats.frechet import Moments, frechet_distance, influence, jackknife
from t2ibench.stats.intervals import normal_interval, standard_error


def features(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale + shift


def gaussian(mean: list[float], sd: list[float], n: int = 1000) -> Moments:
    return Moments(
        n, torch.tensor(mean, dtype=torch.float64), torch.diag(torch.tensor(sd, dtype=torch.float64) ** 2) * (n - 1)
    )


def test_of_diagonal_gaussians_it_is_the_squared_gap_of_means_and_of_deviations():
    assert frechet_distance(gaussian([0, 0], [1, 2]), gaussian([3, 4], [2, 5])) == pytest.approx(25 + 1 + 9, abs=1e-12)


def test_of_commuting_covariances_it_needs_no_common_axes():
    turn = torch.linalg.qr(features(5, 5, 0))[0]
    first, second = torch.tensor([1.0, 2, 3, 4, 5]).double(), torch.tensor([2.0, 2, 1, 6, 5]).double()
    sides = [Moments(10, torch.zeros(5).double(), turn @ torch.diag(sd**2) @ turn.T * 9) for sd in (first, second)]
    assert frechet_distance(*sides) == pytest.approx(float(((first - second) ** 2).sum()), abs=1e-12)


def test_the_true_value_of_a_rank_deficient_pair_is_met_to_1e_10_by_every_route():
    x, y = pair("features_lowrank")
    for fake in (x, Moments.of(x)):
        for real in (y, Moments.of(y)):
            assert frechet_distance(fake, real) == pytest.approx(VALUES["fid_lowrank"]["fid_mpmath_xy"], abs=1e-10)


@pytest.mark.parametrize("key", [key for key in VALUES["fid_lowrank"] if key.endswith("_xy")])
def test_agrees_with_public_packages_where_their_roots_of_null_eigenvalues_allow(key):
    assert frechet_distance(*pair("features_lowrank")) == pytest.approx(VALUES["fid_lowrank"][key], abs=1e-5)


@pytest.mark.parametrize("key", [key for key in VALUES["fid_full"] if not key.endswith("_xx")])
def test_agrees_with_public_packages_at_full_rank(key):
    x, y = pair("features_full")
    tolerance = 1e-6 if "f32" in key else 1e-9
    assert frechet_distance(x, y[:300] if key.endswith("y300") else y) == pytest.approx(
        VALUES["fid_full"][key], abs=tolerance
    )


@pytest.mark.parametrize("name", ["features_full", "features_lowrank"])
def test_a_set_is_at_no_distance_from_itself(name):
    x, _ = pair(name)
    assert abs(frechet_distance(x, x)) < 1e-9


def test_a_feature_without_variance_changes_nothing():
    x, y = pair("features_full")
    padded = [torch.cat([side, torch.full((len(side), 1), 0.25)], 1) for side in (x, y)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(x, y), abs=1e-9)
    assert influence(padded[0], Moments.of(padded[1])).numpy() == pytest.approx(
        influence(x, Moments.of(y)).numpy(), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(5))
def test_features_that_depend_on_one_another_agree_with_the_nuclear_norm_of_the_rows(seed):
    """64 features and 30 combinations of them, 500 rows: singular covariances whose Cholesky factor may or may not
    exist.
    """
    mix = features(64, 30, seed)
    x, y = (torch.cat([side.double(), side.double() @ mix], 1) for side in pair("features_full"))
    rows = [(side - side.mean(0)) / 499**0.5 for side in (x, y)]
    norm = torch.linalg.svdvals(rows[0] @ rows[1].T).sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + sum(side.square().sum() for side in rows) - 2 * norm
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-9)


def test_order_of_rows_and_of_sides_and_rotation_change_nothing():
    x, y = pair("features_full")
    turn, value = torch.linalg.qr(features(64, 64, 3))[0], frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(value, abs=1e-10)
    assert frechet_distance(x.flip(0), y) == pytest.approx(value, abs=1e-10)
    assert frechet_distance(x.double() @ turn, y.double() @ turn) == pytest.approx(value, abs=1e-10)


def test_features_far_from_zero_keep_their_digits():
    x, y = (side.double() for side in pair("features_full"))
    assert frechet_distance(x + 1e4, y + 1e4) == pytest.approx(frechet_distance(x, y), abs=1e-9)


def test_moments_merge_in_any_order_and_come_apart_again():
    x = features(1000, 20, 0, shift=1e4)
    whole, parts = Moments.of(x), [Moments.of(part) for part in x.split([300, 1, 699])]
    for order in ((0, 1, 2), (2, 0, 1)):
        merged = parts[order[0]].merge(parts[order[1]]).merge(parts[order[2]])
        assert merged.n == 1000
        torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-14, atol=0)
        torch.testing.assert_close(merged.scatter, whole.scatter, rtol=0, atol=1e-8)
    rest, expected = whole.without(parts[2]), Moments.of(x[:301])
    assert rest.n == 301
    torch.testing.assert_close(rest.scatter, expected.scatter, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("fake", "real", "message"),
    [
        (torch.zeros(1, 3), torch.zeros(5, 3), "2 or more"),
        (torch.zeros(5, 3), torch.zeros(5, 4), "equal dimension"),
        (torch.full((5, 3), torch.nan), torch.zeros(5, 3), "finite"),
    ],
)
def test_bad_features_are_refused(fake, real, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(fake, real)


def test_moments_of_other_dimensions_do_not_merge():
    with pytest.raises(ValueError, match="cannot be merged"):
        Moments.of(torch.zeros(3, 2)).merge(Moments.of(torch.zeros(3, 4)))


def test_influence_is_the_derivative_of_the_distance():
    """Repeating one row moves the distance by its influence / n, to first order."""
    x, y = features(4000, 4, 0), features(4000, 4, 1, 1.3, 0.5)
    phi, value = influence(x, Moments.of(y)), frechet_distance(x, y)
    for row in (0, 17, int(phi.argmax())):
        moved = frechet_distance(torch.cat([x, x[row : row + 1]]), y) - value
        assert moved * len(x) == pytest.approx(float(phi[row]), abs=0.02)


def test_influence_needs_more_samples_than_dimensions():
    with pytest.raises(ValueError, match="more than d=8"):
        influence(features(8, 8, 0), Moments.of(features(50, 8, 1)))


def errors(fake: torch.Tensor, real: torch.Tensor) -> float:
    sides = (influence(fake, Moments.of(real)), influence(real, Moments.of(fake)))
    return sum(standard_error(phi.numpy()) ** 2 for phi in sides) ** 0.5


def test_the_interval_covers_the_value_expected_at_this_n_at_its_level():
    """400 fresh pairs, d = 8, n = 300."""
    hits = 0
    runs = [(features(300, 8, 2 * i), features(300, 8, 2 * i + 1, 1.1, 0.1)) for i in range(400)]
    values = [frechet_distance(*run) for run in runs]
    expected = float(np.mean(values))
    for value, run in zip(values, runs, strict=True):
        low, high = normal_interval(value, errors(*run))
        hits += low <= expected <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_the_jackknife_finds_bias_and_error_with_many_samples():
    """d = 16, n = 400, of equal Gaussians: the truth is 0, so that all of the value is bias."""
    runs = [(features(400, 16, 2 * i), features(400, 16, 2 * i + 1)) for i in range(30)]
    values = np.array([frechet_distance(*run) for run in runs])
    bias, error = np.mean([jackknife(*run) for run in runs], axis=0)
    assert bias == pytest.approx(values.mean(), rel=0.1)
    assert error == pytest.approx(values.std(ddof=1), rel=0.4)


def test_with_fewer_samples_than_dimensions_the_jackknife_error_is_not_too_narrow():
    runs = [(features(40, 64, 2 * i), features(40, 64, 2 * i + 1, 1.2)) for i in range(30)]
    values = np.array([frechet_distance(*run) for run in runs])
    error = np.mean([jackknife(*run)[1] for run in runs])
    assert 0.9 <= error / values.std(ddof=1) <= 2.5


def test_images_of_one_prompt_leave_the_jackknife_together():
    x, y = features(100, 4, 0), features(400, 4, 1)
    twice, prompts = x.repeat_interleave(2, 0), np.repeat(np.arange(100), 2)
    assert jackknife(twice, y, prompts)[1] == pytest.approx(jackknife(x, y)[1], rel=0.05)
    assert jackknife(twice, y)[1] < 0.9 * jackknife(x, y)[1]


def test_moments_stay_on_the_device_of_the_features_and_do_not_depend_on_blocks(monkeypatch):
    made = Moments.of(torch.empty(5, 3, device="meta"))
    assert (made.mean.device.type, made.scatter.device.type) == ("meta", "meta")
    features = 100 + torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    whole, effects = Moments.of(features), influence(features, Moments.of(features[:20]))
    monkeypatch.setattr(frechet, "BLOCK", 7)
    parts = Moments.of(features)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(parts.scatter, whole.scatter, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(influence(features, Moments.of(features[:20])), effects, rtol=1e-9, atol=1e-10)
