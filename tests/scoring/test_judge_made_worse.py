"""benchmarks/studies/judge_correction.py: its judges are as bad as they say, its simulation and its committed record
say the right thing.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import loaded

from t2ibench.scoring.judge_gate import Verdict

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "studies" / "judge_correction.json"


@pytest.fixture(scope="module")
def benchmark():
    return loaded("benchmarks/studies/judge_correction.py")


def cell_truth(count: int) -> np.ndarray:
    return np.repeat([[False, False], [False, True], [True, False], [True, True]], count, axis=0)


def test_a_tenth_of_the_answers_is_flipped(benchmark):
    true = cell_truth(2000)
    wrong = benchmark.flipped(true, true, 0) != true
    assert wrong.mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.01)


def test_half_blind_overlooks_j_beside_i_alone(benchmark):
    true = cell_truth(2000)
    said = benchmark.half_blind(true, true, 0)
    assert (said[:, 0] == true[:, 0]).all()
    recall = [said[true[:, 1] & (true[:, 0] == i), 1].mean() for i in (False, True)]
    assert recall == [1.0, pytest.approx(0.5, abs=0.04)]


def test_blurring_keeps_means_and_loses_lines(benchmark):
    stripes = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    stripes[..., ::2] = 200
    seen = benchmark.blurred(stripes)
    assert seen.dtype == torch.uint8
    assert seen.float().mean() == pytest.approx(100, abs=1)
    assert seen.float().std() < 40  # before: 100


def pools_of(benchmark, judge: np.ndarray):
    """One pair, a thousand real images a cell, judged as `judge` [4, 4] says (column true)."""
    rng = np.random.default_rng(0)
    return benchmark.Judged(
        [rng.choice(4, 1000, p=judge[:, t]) for t in range(4)], Verdict((), (), {"i": 0.9, "j": 0.9})
    )


def test_corrected_intervals_hold_the_truth_and_raw_ones_do_not(benchmark):
    single = np.array([[0.9, 0.1], [0.1, 0.9]])
    found = benchmark.simulate([pools_of(benchmark, np.kron(single, single))] * 3, (0.1, 0.5, 0.9), runs=60, draws=100)
    assert found["corrected"]["coverage"] >= 0.9
    assert abs(found["corrected"]["error"]) < 0.02
    assert found["raw"]["coverage"] < 0.6
    assert found["pass_the_gate"] == 3


def test_two_single_judges_do_not_explain_one_that_is_blind_beside(benchmark):
    beside = np.eye(4)
    beside[:, 3] = [0, 0, 0.5, 0.5]
    found = benchmark.simulate([pools_of(benchmark, beside)] * 2, (0.3, 0.8), runs=40, draws=50)
    assert abs(found["corrected"]["error"]) < 0.03
    assert abs(found["product"]["error"]) > 3 * abs(found["corrected"]["error"])


def test_the_committed_record_says_that_the_correction_covers_and_the_raw_rate_does_not(benchmark):
    content = json.loads(RECORD.read_text("utf-8"))
    assert (RECORD.with_suffix(".md")).read_text("utf-8") == "\n".join(benchmark.markdown(content)) + "\n"
    error = (0.95 * 0.05 / content["runs"]) ** 0.5
    for name, row in content["judges"].items():
        assert row["corrected"]["coverage"] >= 0.93, name
        assert row["corrected_mean"]["coverage"] >= 0.95 - 3 * error, name
        if name != "as shipped":
            assert row["raw"]["coverage"] < 0.9, name
            assert row["raw_mean"]["coverage"] < 0.9, name
