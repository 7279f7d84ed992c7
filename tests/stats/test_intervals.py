"""Intervals against hand results, scipy and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from t2ibench.stats.intervals import (
    bca_interval,
    cluster_mean_interval,
    difference_interval,
    mean_interval,
    normal_interval,
    percentile_interval,
    resamples,
    score_interval,
    wilson,
    wilson_by_cluster,
)
from t2ibench.stats.paired import holm, mcnemar


def test_wilson_of_37_in_200_is_the_published_interval():
    low, high = wilson(37, 200)
    assert (round(low, 3), round(high, 3)) == (0.137, 0.245)
    scipy_interval = stats.binomtest(37, 200).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((scipy_interval.low, scipy_interval.high), abs=1e-12)


def test_wilson_at_the_ends_stays_in_the_unit_interval_and_is_not_empty():
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 10)[1] == pytest.approx(1 - wilson(10, 10)[0], abs=1e-12)
    assert wilson(0, 10)[1] == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4)


def test_images_of_one_prompt_count_once_in_wilson():
    assert wilson_by_cluster([1, 0, 1, 0, 1], range(5)) == wilson(3, 5)
    assert wilson_by_cluster([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "c"]) == wilson(1.5, 3)


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(hits, n):
    with pytest.raises(ValueError, match="0 <= hits <= n"):
        wilson(hits, n)


def test_the_ends_of_a_score_interval_are_as_far_away_as_their_own_error_allows():
    p, n, extra = 0.03, 40.0, 0.002
    for end in score_interval(p, n, extra):
        assert (p - end) ** 2 == pytest.approx(1.959964**2 * (end * (1 - end) / n + extra), rel=1e-6) or end == 0.0
    assert score_interval(0.185, 200) == pytest.approx(wilson(37, 200), abs=1e-12)
    assert score_interval(1.0, 50, 0.01)[1] == 1.0


def test_the_interval_of_a_difference_of_rates_is_the_published_one():
    """Newcombe (1998), table II, example (a), method 10: 56/70 against 48/80."""
    found = difference_interval((56 / 70, wilson(56, 70)), (48 / 80, wilson(48, 80)))
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_students_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(0).exponential(size=12)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval()
    assert mean_interval(values) == pytest.approx((expected.low, expected.high), abs=1e-12)
    with pytest.raises(ValueError, match="at least 2"):
        mean_interval([1.0])


def test_the_percentile_interval_is_the_middle_of_the_draws():
    draws = np.linspace(1.0, 2.0, 1001)
    assert percentile_interval(draws) == pytest.approx((1.025, 1.975))


def test_bca_agrees_with_scipy_on_a_skewed_sample():
    sample = np.random.default_rng(0).exponential(size=60)
    expected = stats.bootstrap(
        (sample,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    found = cluster_mean_interval(sample, np.arange(60), seed=3, draws=40_000)
    assert found == pytest.approx((expected.low, expected.high), abs=0.01)


def test_bca_without_skew_or_bias_is_the_percentile_interval():
    draws = np.linspace(-1, 1, 2001)
    assert bca_interval(0.0, draws, [-1.0, 0.0, 1.0]) == pytest.approx(percentile_interval(draws), abs=1e-3)


def test_images_of_one_prompt_do_not_narrow_the_interval():
    means = np.random.default_rng(0).normal(size=50)
    one, ten = (
        cluster_mean_interval(means, range(50), seed=0),
        cluster_mean_interval(np.repeat(means, 10), np.repeat(range(50), 10), seed=0),
    )
    assert one == pytest.approx(ten, abs=1e-12)


def test_constant_values_have_an_empty_interval():
    assert cluster_mean_interval([2.0] * 5, range(5), seed=0) == (2.0, 2.0)


def test_one_cluster_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        cluster_mean_interval([1.0, 2.0], ["a", "a"], seed=0)


def test_resamples_do_not_depend_on_anything_but_seed_and_sizes():
    first, again, other = (np.concatenate(list(resamples(7, seed, 100))) for seed in (1, 1, 2))
    assert first.shape == (100, 7)
    assert set(np.unique(first)) == set(range(7))
    assert (first == again).all()
    assert (first != other).any()


def test_mcnemar_counts_only_discordant_prompts():
    a, b = [1] * 8 + [0] + [1] * 50, [0] * 8 + [1] + [1] * 50
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 9) / 2**9)  # 8 against 1
    assert mcnemar(a, a) == 1.0


def test_holm_by_hand_and_in_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_wilson_covers_at_its_level():
    """Exact coverage: the sum of binomial probabilities of the counts whose interval holds p, averaged over p (n =
    30).
    """
    inside = np.array([wilson(hits, 30) for hits in range(31)])
    grid = np.linspace(0.02, 0.98, 97)
    coverage = [stats.binom.pmf(range(31), 30, p)[(inside[:, 0] <= p) & (p <= inside[:, 1])].sum() for p in grid]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.01)


def test_the_interval_over_clusters_covers_at_its_level():
    """300 draws of 60 prompts with 3 correlated images each; treating images as independent would cover about 0.75."""
    rng, hits = np.random.default_rng(0), 0
    for i in range(300):
        values = np.repeat(rng.normal(size=60), 3) + 0.3 * rng.normal(size=180)
        low, high = cluster_mean_interval(values, np.repeat(range(60), 3), seed=i, draws=500)
        hits += low <= 0 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_a_normal_interval_is_the_estimate_and_1_96_errors():
    assert normal_interval(1.0, 0.5) == pytest.approx((1 - 0.979982, 1 + 0.979982), abs=1e-6)
