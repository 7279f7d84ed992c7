"""The judge's gate and the correction of its errors: worked examples, limits, and the coverage of the corrected
interval.
"""

import numpy as np
import pytest
from scipy.optimize import minimize

from t2ibench.scoring.attribute_pairs.rates import (
    Rates,
    chance_normalised,
    gap,
    macro,
    rate_interval,
    read_outs,
    worst_decile,
)
from t2ibench.scoring.judge_gate import Gate, Verdict, balanced_accuracy, calibration_error, judge_pair
from t2ibench.stats.intervals import score_interval, wilson
from t2ibench.stats.judge_errors import (
    cell_index,
    columns,
    confusion,
    multinomial_draws,
    nearest_mixture,
    rogan_gladen,
    unmix,
)

MATRIX_I = np.array([[0.97, 0.10], [0.03, 0.90]])  # column: truly 0, truly 1
MATRIX_J = np.array([[0.95, 0.20], [0.05, 0.80]])
TRUTH = np.array([0.02, 0.90, 0.05, 0.03])
GOOD = Verdict(())


def rates(cells, *, chance=None, confusions=None, verdicts=None, draws=500, seed=0):
    cells = np.atleast_2d(cells)
    chance = np.tile([1000, 0, 0, 0], (len(cells), 1)) if chance is None else chance
    confusions = np.zeros((len(cells), 4, 4), int) if confusions is None else confusions
    pairs = [(f"a={k}", f"b={k}") for k in range(len(cells))]
    return Rates(pairs, cells, chance, confusions, verdicts or [GOOD] * len(cells), Gate(), draws, seed)


def test_rogan_gladen_of_the_worked_example():
    assert rogan_gladen(0.30, 0.90, 0.95) == pytest.approx(0.2941, abs=5e-5)
    assert (rogan_gladen(0.01, 0.90, 0.95), rogan_gladen(0.99, 0.90, 0.95)) == (0.0, 1.0)
    assert rogan_gladen(0.3, 0.5, 0.5) is None  # a coin says nothing


def test_four_cells_of_the_worked_example_come_back():
    matrix = np.kron(MATRIX_I, MATRIX_J)
    observed = matrix @ TRUTH
    np.testing.assert_allclose(observed, [0.19838, 0.70202, 0.05412, 0.04548], atol=5e-6)
    assert observed[3] / TRUTH[3] == pytest.approx(1.52, abs=0.005)  # naive accuracy is 52 % too high
    assert unmix(observed[None], matrix[None])[0] == pytest.approx(TRUTH, abs=1e-12)


def test_a_judge_without_errors_changes_nothing():
    assert unmix(TRUTH[None], np.eye(4)[None])[0] == pytest.approx(TRUTH, abs=1e-15)


def test_the_corrected_cells_are_the_nearest_point_of_the_simplex():
    rng = np.random.default_rng(0)
    matrices, observed = rng.dirichlet(np.ones(4), (300, 4)).swapaxes(1, 2), rng.dirichlet(np.ones(4), 300)
    found = nearest_mixture(observed, matrices)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    assert found.min() >= 0
    constraint = {"type": "eq", "fun": lambda p: p.sum() - 1}
    for matrix, q, p in zip(matrices[:60], observed, found, strict=False):
        best = minimize(
            lambda p, m=matrix, q=q: ((m @ p - q) ** 2).sum(),
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints=constraint,
            tol=1e-14,
        )
        assert ((matrix @ p - q) ** 2).sum() <= best.fun + 1e-10


def test_a_singular_matrix_still_ends_on_the_simplex():
    [p] = nearest_mixture(TRUTH[None], np.full((1, 4, 4), 0.25))
    assert p.sum() == pytest.approx(1)


def test_cells_are_numbered_by_i_then_j():
    i, j = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    assert cell_index(i, j).tolist() == [0, 1, 2, 3]
    counts = confusion(true_cells=np.array([3, 3, 1]), judged_cells=np.array([3, 2, 1]))
    assert (counts[3, 3], counts[2, 3], counts[1, 1], counts.sum()) == (1, 1, 1, 3)


def test_bootstrap_counts_have_the_moments_of_a_multinomial():
    drawn = multinomial_draws([[50, 30, 20, 0], [0, 0, 0, 7]], seed=1, draws=4000)
    assert (drawn.sum(-1) == [100, 7]).all()
    assert (drawn[:, 1] == [0, 0, 0, 7]).all()
    np.testing.assert_allclose(drawn[:, 0].mean(0), [50, 30, 20, 0], atol=4 * 5 / 4000**0.5)
    np.testing.assert_allclose(
        np.cov(drawn[:, 0, :3].T),
        100 * (np.diag([0.5, 0.3, 0.2]) - np.outer([0.5, 0.3, 0.2], [0.5, 0.3, 0.2])),
        rtol=0.15,
    )
    assert (multinomial_draws([50, 30, 20, 0], 1, 10) == multinomial_draws([50, 30, 20, 0], 1, 10)).all()


def simulated(accuracy: float, runs: int, judge: np.ndarray, draws: int) -> Rates:
    """One pair a run: 200 images each, and a judge whose errors are known from 100 real images a cell."""
    rng, truth = np.random.default_rng(5), np.array([0.3, 0.4, 0.3, 0]) * (1 - accuracy) + np.array([0, 0, 0, accuracy])
    confusions = np.stack([rng.multinomial(100, column, size=runs) for column in judge.T], axis=2)
    return rates(rng.multinomial(200, judge @ truth, size=runs), confusions=confusions, draws=draws)


@pytest.mark.parametrize("accuracy", [1.0, 0.8, 0.2])
def test_the_corrected_interval_covers_the_truth_under_a_noisy_judge(accuracy):
    found = simulated(accuracy, 200, np.kron(MATRIX_I, MATRIX_J), draws=500)
    low, high = np.array([found.corrected_interval(k) for k in range(200)]).T
    assert ((low <= accuracy) & (accuracy <= high)).mean() >= 0.90
    assert abs(found.raw.mean() - accuracy) > 0.03  # what would be reported without the correction


def test_the_mean_of_perfect_pairs_is_one_under_a_noisy_judge():
    """50 simulated runs of 20 pairs.

    Projected rates are at most 1, so their mean is too low, and no interval around it would hold 1.
    """
    judge = np.kron([[0.98, 0.03], [0.02, 0.97]], [[0.98, 0.03], [0.02, 0.97]])
    found = simulated(1.0, 1000, judge, draws=400)
    point, drawn, corrected = found.accuracy(range(1000))
    means = [macro(point[k : k + 20], drawn[:, k : k + 20], 200) for k in range(0, 1000, 20)]
    assert corrected
    assert np.mean([mean.ci[1] == 1.0 for mean in means]) >= 0.90
    assert found.corrected.mean() < 0.99 < np.mean([mean.value for mean in means])


def test_images_that_ignore_the_prompt_are_not_above_chance():
    """100 simulated runs of 20 pairs: the interval of the mean of (CA - b) / (1 - b) holds 0."""
    rng, runs = np.random.default_rng(6), 100
    b = np.tile(np.linspace(0.005, 0.05, 20), runs)
    cells = np.stack([(hit := rng.binomial(100, b)) * 0, hit * 0, 100 - hit, hit], axis=1)
    chance = np.stack([2000 - (hit := rng.binomial(2000, b)), hit * 0, hit * 0, hit], axis=1)
    found = rates(cells, chance=chance, draws=400)
    of_runs = [found.above_chance(range(start, start + 20)) for start in range(0, len(b), 20)]
    assert np.mean([low <= 0 <= high for _, (low, high) in of_runs]) >= 0.90
    assert abs(np.mean([values for values, _ in of_runs])) < 0.003


def test_chance_is_zero_and_perfection_one():
    np.testing.assert_allclose(chance_normalised(np.array([0.2, 1.0, 0.1]), np.array([0.2, 0.2, 0.2])), [0, 1, -0.125])


def test_a_stratum_is_corrected_whole_or_not_at_all():
    exact, short = np.diag([60, 60, 60, 60]), np.diag([60, 60, 60, 49])
    cells = np.array([[50, 50, 50, 50], [0, 0, 100, 100]])
    both = rates(cells, confusions=np.stack([exact, exact]))
    assert both.accuracy([0, 1])[2]
    np.testing.assert_allclose(both.accuracy([0, 1])[0], [0.25, 0.5])
    mixed = rates(cells, confusions=np.stack([exact, short]))
    assert mixed.correctable.tolist() == [True, False]
    assert not mixed.accuracy([0, 1])[2]
    untested = rates(cells, confusions=np.stack([exact, exact]), verdicts=[GOOD, Verdict((), ("somewhere",))])
    assert untested.correctable.tolist() == [True, False]


def test_read_outs_of_one_pair():
    found = read_outs(np.array([10, 20, 30, 40]))
    assert (found["ca"], found["a_i"], found["a_j"]) == (0.4, 0.7, pytest.approx(0.6))
    assert found["binding_ratio"] == pytest.approx(0.4 / 0.42)
    assert (found["i_given_j"], found["j_given_i"]) == (pytest.approx(40 / 60), pytest.approx(40 / 70))
    assert read_outs(np.array([163, 0, 0, 37]))["ci"] == pytest.approx([0.137, 0.245], abs=5e-4)
    assert read_outs(np.array([5, 0, 0, 0]))["i_given_j"] is None


def test_no_spread_is_not_certainty():
    none, never = np.zeros(4), np.zeros((100, 4))
    assert macro(none, never, images=8).ci == (0.0, pytest.approx(0.107, abs=1e-3))  # Wilson's limit for 0 of 32
    ci = gap((none, never), (none, never), range(4), images=8).ci
    assert ci == (pytest.approx(-0.107, abs=1e-3), pytest.approx(0.107, abs=1e-3))  # each side's limit
    assert (
        gap((none, never), (none, never), [0, 0, 0, 0], images=8).ci[1] > 2 * ci[1]
    )  # four times the same control is 8 images


def test_the_interval_of_one_rate_is_wilsons_and_errors_of_the_judge_widen_it():
    counts = multinomial_draws([63, 37], seed=0, draws=20_000)[:, 1:] / 100
    plain = rate_interval(np.array([0.37]), counts, 100)
    assert plain == pytest.approx(wilson(37, 100), abs=2e-3)
    noise = np.random.default_rng(0).normal(0, 0.1, counts.shape)
    assert np.diff(rate_interval(np.array([0.37]), counts + noise, 100)) == pytest.approx(
        2 * 1.96 * np.hypot(0.0483, 0.1), rel=0.03
    )


def test_an_interval_beyond_these_pairs_is_wide_where_pairs_differ_and_says_nothing_of_one():
    values = np.array([0.1, 0.9] * 5)
    draws = np.tile(values, (500, 1)) + np.random.default_rng(0).normal(0, 0.03, (500, 10))
    mean = macro(values, draws, images=200)
    t, se = 2.2622, 0.4216 / 10**0.5  # nine degrees of freedom
    assert mean.ci_pairs == pytest.approx(score_interval(0.5, 0.25 / se**2 * (1.96 / t) ** 2), abs=1e-3)
    lost = gap((values, draws), (np.zeros(10), np.zeros((500, 10))), range(10), images=200)
    assert lost.ci_pairs == pytest.approx((0.5 - t * se, 0.5 + t * se), abs=1e-3)
    assert mean.ci_pairs[1] - mean.ci_pairs[0] > 10 * (mean.ci[1] - mean.ci[0])
    assert macro(values[:1], draws[:, :1], images=200).ci_pairs == (0.0, 1.0)


def test_what_images_add_has_the_accuracy_as_its_mean_corrected_or_not():
    found = simulated(0.3, 3, np.kron(MATRIX_I, MATRIX_J), draws=10)
    outcomes = np.stack([np.repeat(np.arange(4), row) for row in found.cells])
    np.testing.assert_allclose(
        found.contributions(outcomes, [0, 2], True).mean(1), found.unmixed[0][[0, 2]], atol=1e-12
    )
    np.testing.assert_allclose(found.contributions(outcomes, [0, 2], False).mean(1), found.raw[[0, 2]], atol=1e-12)


def test_the_worst_decile_is_a_quantile_over_pairs_and_is_not_certain_of_zero():
    values = np.linspace(0, 1, 11)
    assert worst_decile(values, [(value, value) for value in values]) == (
        pytest.approx(0.1),
        (pytest.approx(0.1), pytest.approx(0.1)),
    )
    never = rate_interval(np.zeros(1), np.zeros((100, 1)), 100)
    assert worst_decile(np.zeros(20), [never] * 20) == (0.0, (0.0, pytest.approx(0.037, abs=5e-4)))


def test_balanced_accuracy_is_blind_to_frequency():
    true = np.array([True] * 4 + [False] * 96)
    assert balanced_accuracy(true, np.zeros(100, bool)) == 0.5
    assert balanced_accuracy(true, true) == 1.0
    assert balanced_accuracy(np.zeros(5, bool), np.zeros(5, bool)) is None


def test_calibration_error_of_a_constant_forecast_is_its_offset():
    true = np.arange(3000) % 10 == 0
    assert calibration_error(np.full(3000, 0.1), true) == pytest.approx(0, abs=1e-12)
    assert calibration_error(np.full(3000, 0.3), true) == pytest.approx(0.2)


def cell_truth(counts):
    cells = np.repeat(np.arange(4), counts)
    return np.stack([cells >= 2, cells % 2 == 1], axis=1)


SOUND = {"i": 0.0, "j": 0.0}


def test_a_judge_without_errors_passes():
    true = cell_truth([100, 100, 100, 100])
    verdict = judge_pair(("i", "j"), true, true, SOUND, Gate())
    assert (verdict.failures, verdict.untested_strata) == ((), ())


def test_a_judge_that_is_weak_where_the_partner_is_present_fails_though_good_overall():
    """The judge of i is right on every image without j, and on 30 of 60 that have both."""
    true = cell_truth([1000, 100, 1000, 60])
    judged = true.copy()
    judged[-30:, 0] = False
    assert balanced_accuracy(true[:, 0], judged[:, 0]) == pytest.approx((1030 / 1060 + 1) / 2)
    [failure] = judge_pair(("i", "j"), true, judged, SOUND, Gate()).failures
    assert failure == "i with j: balanced accuracy 0.750, below 0.80"


def test_a_stratum_with_too_few_images_is_untested_not_passed():
    true = cell_truth([1000, 20, 100, 29])  # 49 images with j
    verdict = judge_pair(("i", "j"), true, true, SOUND, Gate())
    assert (verdict.failures, verdict.untested_strata) == ((), ("i with j",))


def test_a_judge_that_states_wrong_probabilities_fails():
    true = cell_truth([100, 100, 100, 100])
    assert judge_pair(("i", "j"), true, true, {"i": 0.06, "j": 0.05}, Gate()).failures == (
        "i: calibration error 0.060, above 0.05",
    )


def test_columns_of_the_confusion_are_conditional_on_the_truth():
    np.testing.assert_allclose(columns(np.array([[90, 20], [10, 80]])), [[0.9, 0.2], [0.1, 0.8]])
