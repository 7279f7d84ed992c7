"""Simulated coverage of the kinds of intervals on the board: of 95 %, between 93 and 97 % hold the truth, at n of 100,
500 and 5,000.

Each test says what is drawn anew. Three kinds are known to be wider or narrower, and are held to what they promise:
`worst_decile` holds the truth too often; recall and coverage, whose made images are taken as fixed, too seldom
(tests/metrics/test_prdc.py).
"""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from t2ibench.metrics.edit_success import clustered_rate
from t2ibench.metrics.kid import kid
from t2ibench.scoring.attribute_pairs.rates import Rates, gap, macro, rate_interval, ratio_of_means, worst_decile
from t2ibench.scoring.judge_gate import Gate, Verdict
from t2ibench.stats.frechet import Moments, frechet_distance, influence
from t2ibench.stats.intervals import (
    cluster_mean_interval,
    difference_interval,
    mean_interval,
    normal_interval,
    percentile_interval,
    rate_mean_interval,
    standard_error,
    wilson,
)
from t2ibench.stats.paired import between_samples

pytestmark = pytest.mark.slow
SIZES = (100, 500, 5000)
RUNS = 1000
FIRST, SECOND = (
    np.array([[0.96, 0.07], [0.04, 0.93]]),
    np.array([[0.95, 0.1], [0.05, 0.9]]),
)  # judges: column truly 0, truly 1
TRUTHS = np.array([0.02, 0.1, 0.3, 0.6, 0.5, 0.7, 0.85, 0.97])  # of four rare pairs and four common ones


def share(intervals, truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def holds(intervals, truth: float, low: float = 0.93, high: float = 0.97) -> None:
    """low, high: wider where so few runs are affordable that one percent is a standard error of what is counted."""
    assert low <= share(intervals, truth) <= high


@pytest.mark.parametrize("n", SIZES)
def test_wilson(n):
    """Exact, over hits of n, averaged over rates: a single rate's coverage jumps with every hit that n allows."""
    inside = np.array([wilson(hits, n) for hits in range(n + 1)])
    grid = np.linspace(0.01, 0.99, 99)
    mean = np.mean([stats.binom.pmf(range(n + 1), n, p)[(inside[:, 0] <= p) & (p <= inside[:, 1])].sum() for p in grid])
    assert 0.93 <= mean <= 0.97


@pytest.mark.parametrize("n", SIZES)
def test_difference_of_rates(n):
    rng, found = np.random.default_rng(n), []
    for p, q in ((0.05, 0.9), (0.02, 0.05), (0.5, 0.4), (0.0, 0.1)):
        drawn = rng.binomial(n, [p, q], (RUNS, 2))
        found.append(
            share([difference_interval((a / n, wilson(a, n)), (b / n, wilson(b, n))) for a, b in drawn.tolist()], p - q)
        )
    assert 0.93 <= np.mean(found) <= 0.97


@pytest.mark.parametrize(("n", "runs", "draws"), [(100, 1000, 1000), (500, 600, 600), (5000, 400, 400)])
def test_mean_over_prompts_by_bca(n, runs, draws):
    """Prompts, three correlated and skewed values each."""
    rng = np.random.default_rng(n)
    values = rng.gamma(2.0, size=(runs, n, 1)) + 0.5 * rng.normal(size=(runs, n, 3))
    labels = np.repeat(np.arange(n), 3)
    holds([cluster_mean_interval(values[run].ravel(), labels, run, draws) for run in range(runs)], 2.0)


@pytest.mark.parametrize("n", SIZES)
def test_paired_difference(n):
    """Prompts that two methods share, whose values are skewed."""
    rng = np.random.default_rng(n)
    common = rng.normal(size=(RUNS, n))
    a, b = common + rng.exponential(size=(RUNS, n)), common + rng.normal(size=(RUNS, n))
    holds([between_samples(*rows).interval() for rows in zip(a, b, strict=True)], 1.0)


@pytest.mark.parametrize("n", SIZES)
def test_normal_interval_of_clusters(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=(RUNS, n, 1)) + rng.normal(size=(RUNS, n, 2))
    labels = np.repeat(np.arange(n), 2)
    found = [normal_interval(run.mean(), standard_error((run - run.mean()).ravel(), labels)) for run in values]
    holds(found, 0.0)


@pytest.mark.parametrize("n", SIZES)
def test_means_beyond_the_pairs_at_hand(n):
    """Pairs, 20 of a population of rates, and n images of each; also of differences of two such."""
    rng = np.random.default_rng(n)
    rates = rng.beta(0.5, 2.0, (2, RUNS, 20))
    seen = rng.binomial(n, rates) / n
    holds([rate_mean_interval(row) for row in seen[0]], 0.2)
    holds([mean_interval(row) for row in seen[0] - seen[1]], 0.0)


@pytest.mark.parametrize("n", SIZES)
def test_frechet_distance(n):
    """Both sides, in 8 dimensions; the truth is the value expected at this n."""
    runs = 400 if n < 5000 else 200
    generator = torch.Generator().manual_seed(n)
    values, found = [], []
    for _ in range(runs):
        x, y = torch.randn(n, 8, generator=generator), 1.1 * torch.randn(n, 8, generator=generator) + 0.1
        values.append(frechet_distance(x, y))
        sides = (influence(x, Moments.of(y)), influence(y, Moments.of(x)))
        found.append(normal_interval(values[-1], sum(standard_error(phi.numpy()) ** 2 for phi in sides) ** 0.5))
    holds(found, float(np.mean(values)), 0.92, 0.98)


@pytest.mark.parametrize("n", [100, 500])  # pairs of images, so 5,000 are not affordable
def test_kernel_distance(n):
    generator = torch.Generator().manual_seed(n)
    values, found = [], []
    for _ in range(500):
        x, y = torch.randn(n, 4, generator=generator), torch.randn(n, 4, generator=generator) + 0.3
        value, of_x, of_y = kid(x, y)
        values.append(value)
        found.append(
            normal_interval(value, float(np.hypot(standard_error(of_x.numpy()), standard_error(of_y.numpy()))))
        )
    holds(found, float(np.mean(values)))


@pytest.mark.parametrize("n", [100, 500])
def test_edit_success(n):
    """Sources, four edits each of which succeed together more often than not, and the real images that the judge is
    known by.
    """
    rng, rates = np.random.default_rng(n), np.array([0.2, 0.5, 0.8, 0.95])
    names, found = [f"e{k}" for k in range(4)], []
    for run in range(400):
        ease = rng.normal(size=(n, 1))
        truly = 0.6 * ease + 0.8 * rng.normal(size=(n, 4)) < stats.norm.ppf(rates)
        judged = rng.random((n, 4)) < np.where(truly, 0.93, 0.04)
        counts = {name: np.stack([rng.multinomial(200, FIRST[:, t]) for t in range(2)], axis=1) for name in names}
        columns = pd.Series(judged.ravel()), pd.Series(np.repeat(np.arange(n), 4)), pd.Series(names * n)
        found.append(clustered_rate(*columns, counts, run, 300)[1])
    holds(found, float(rates.mean()), 0.92, 0.98)


@pytest.fixture(scope="module", params=SIZES)
def pairs(request) -> tuple[int, Rates]:
    """250 runs of eight pairs: n images a pair in the true shares, 200 real images a cell to know the judge by, 4 n to
    know chance by.
    """
    n, runs, rng = request.param, 250, np.random.default_rng(request.param)
    judge = np.kron(FIRST, SECOND)
    truths = np.tile(TRUTHS, runs)
    shares = np.stack([0.3 * (1 - truths), 0.4 * (1 - truths), 0.3 * (1 - truths), truths], axis=1)
    cells = rng.multinomial(n, shares @ judge.T)
    confusions = np.stack([rng.multinomial(200, judge[:, t], size=len(truths)) for t in range(4)], axis=2)
    chance = rng.multinomial(4 * n, np.tile([0.5, 0.2, 0.2, 0.1], (len(truths), 1)))
    names = [("i", "j")] * len(truths)
    return n, Rates(
        names, cells, chance, confusions, [Verdict(())] * len(truths), Gate(), draws=150, seed=request.param
    )


def runs_of(rates: Rates, shifts: int = 1):
    """Values and draws of eight pairs at a time.

    Pairs are independent, so each run may be put together anew from those of other runs.
    """
    point, draws = rates.unmixed
    runs = np.arange(len(point) // 8)
    rows = [((runs[:, None] + shift * np.arange(8)) % len(runs)) * 8 + np.arange(8) for shift in range(shifts)]
    return [(point[row], draws[:, row]) for row in np.concatenate(rows)]


def test_corrected_accuracy_of_a_pair(pairs):
    _, rates = pairs
    truths = np.tile(TRUTHS, len(rates.pairs) // 8)
    hit = [low <= truth <= high for (low, high), truth in zip(rates.intervals, truths, strict=True)]
    assert 0.93 <= np.mean(hit) <= 0.97
    raw = [
        low <= truth <= high
        for (low, high), truth in zip((wilson(int(c[3]), rates.images) for c in rates.cells), truths, strict=True)
    ]
    assert np.mean(raw) < 0.8  # what the correction is for


def test_corrected_mean_over_pairs(pairs):
    n, rates = pairs
    holds([macro(point, draws, n).ci for point, draws in runs_of(rates, 8)], TRUTHS.mean(), 0.92, 0.98)


def test_gap_of_pairs_to_their_controls(pairs):
    """Four rare pairs, of which two share a control."""
    n, rates = pairs
    of, found = [4, 5, 6, 6], []
    for point, draws in runs_of(rates, 8):
        found.append(gap((point[of], draws[:, of]), (point[:4], draws[:, :4]), of, n).ci)
    holds(found, TRUTHS[of].mean() - TRUTHS[:4].mean(), 0.92, 0.98)


def test_above_chance(pairs):
    """Raw rates, whose truth is what the judge says."""
    _, rates = pairs
    judge = np.kron(FIRST, SECOND)
    seen = np.array([judge[3] @ [0.3 * (1 - t), 0.4 * (1 - t), 0.3 * (1 - t), t] for t in TRUTHS])
    truth = float(np.mean((seen - 0.1) / 0.9))
    holds([rates.above_chance(range(k, k + 8))[1] for k in range(0, len(rates.pairs), 8)], truth, 0.92, 0.98)


def test_worst_decile_holds_the_truth_at_least_as_often_as_it_says(pairs):
    n, rates = pairs
    truth, found = float(np.quantile(TRUTHS, 0.1)), []
    for point, draws in runs_of(rates):
        found.append(worst_decile(point, [rate_interval(point[[k]], draws[:, [k]], n) for k in range(8)])[1])
    assert share(found, truth) >= 0.93


def test_binding_ratio(pairs):
    _, rates = pairs
    judge = np.kron(FIRST, SECOND)
    seen = np.stack([judge @ [0.3 * (1 - t), 0.4 * (1 - t), 0.3 * (1 - t), t] for t in TRUTHS])
    found = [percentile_interval(ratio_of_means(rates.cell_draws[:, k : k + 8])) for k in range(0, len(rates.pairs), 8)]
    holds(found, float(ratio_of_means(seen)), 0.91, 0.98)
