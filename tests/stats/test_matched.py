"""stats/matched.py: two curves read off where both have reached the same value."""

import numpy as np
import pytest

from t2ibench.stats.intervals import mean_interval
from t2ibench.stats.matched import Place, place, samples_at


def placed(xs, target: float) -> Place:
    found = place([float(np.mean(x)) for x in xs], target)
    assert found is not None
    return found


def test_a_place_lies_on_the_straight_line_between_two_points():
    assert place([0.1, 0.3, 0.7], 0.5) == pytest.approx((1, 0.5))
    assert place([0.9, 0.6, 0.2], 0.3) == pytest.approx((1, 0.75))
    assert place([0.1, 0.3, 0.7], 0.1) == Place(0, 0)
    assert place([0.1, 0.1, 0.3], 0.3) == Place(1, 1)
    assert Place(1, 0.25).between([1, 2, 6]) == pytest.approx(3)


def test_what_a_curve_never_reaches_has_no_place_and_the_first_of_two_places_counts():
    assert place([0.1, 0.3], 0.4) is None
    assert place([0.2, 0.2], 0.2) is None
    assert place([0.1, 0.5, 0.2], 0.3) == pytest.approx((0, 0.5))


def test_a_number_that_follows_the_metric_is_known_exactly_where_the_metric_is_fixed():
    x = [np.array([0.0, 0.2, 0.1]), np.array([0.5, 0.9, 0.4])]
    found = placed(x, 0.4)
    numbers = samples_at(found, 0.4, x, [3 - 2 * one for one in x])
    assert numbers == pytest.approx(3 - 2 * 0.4)


def test_the_mean_is_the_interpolated_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal([[0.0], [1.0], [2.0]], 0.3, (3, 50)), rng.normal([[5.0], [3.0], [2.5]], 1, (3, 50))
    found = placed(x, 1.4)
    expected = np.interp(1.4, x.mean(1), y.mean(1))
    assert samples_at(found, 1.4, list(x), list(y)).mean() == pytest.approx(expected)


def test_an_image_that_is_missing_is_missing_in_the_numbers():
    x = [np.array([0.0, 0.2, 0.4, np.nan]), np.array([1.0, 1.0, 1.2, 1.0])]
    y = [np.array([1.0, 2.0, np.nan, 1.0]), np.array([3.0, 3.0, 3.0, 3.0])]
    assert [*np.isnan(samples_at(Place(0, 0.5), 0.6, x, y))] == [False, False, True, True]


def test_two_strengths_with_equal_means_have_no_slope():
    x = [np.array([0.0, 1.0, np.nan]), np.array([1.0, 0.0, 5.0])]
    with pytest.raises(ValueError, match="same samples in common"):
        samples_at(Place(0, 0.5), 0.7, x, x)


def test_intervals_hold_the_error_of_the_strength_that_was_found():
    """Success is noisy, too: intervals that take the strength as known hold the truth less often than they say."""
    rng = np.random.default_rng(1)
    whole, fixed = 0, 0
    for _ in range(600):
        ease = rng.normal(0, 1, 120)  # an easy prompt succeeds at both strengths, and keeps less
        x = [(ease + rng.normal(0, 1, 120) < level).astype(float) for level in (-0.7, 0.9)]
        y = [1 - 0.3 * reached + rng.normal(0, 0.05, 120) - loss for reached, loss in zip(x, (0.0, 0.4), strict=True)]
        found = placed(x, 0.5)
        truth = float(np.interp(0.5, [0.3103, 0.7377], [1 - 0.3 * 0.3103, 0.6 - 0.3 * 0.7377]))
        low, high = mean_interval(samples_at(found, 0.5, x, y))
        whole += int(low < truth < high)
        low, high = mean_interval((1 - found.share) * y[0] + found.share * y[1])
        fixed += int(low < truth < high)
    assert 0.925 < whole / 600 < 0.975
    assert fixed / 600 < 0.925
