"""Precision, recall, density and coverage against hand results, stored numbers of the prdc package, and simulation."""

import re

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import VALUES, pair

from t2ibench.core.errors import UserError
from t2ibench.metrics.prdc import Config, neighbour_balls, prdc, score

CASES = [key for key in VALUES["prdc"] if not key.startswith("torch_fidelity")]


@pytest.mark.parametrize("key", CASES)
def test_agrees_with_the_prdc_package_to_the_last_image(key):
    metric, k, real, fake = re.fullmatch(r"(\w+?)_k(\d+)_real_([xy])_fake_([xy](?:300)?)", key).groups()  # type: ignore[union-attr]
    sides = dict(zip("xy", pair("features_full"), strict=True))
    sides["y300"] = sides["y"][:300]
    assert prdc(sides[real], sides[fake], int(k))[metric] == pytest.approx(VALUES["prdc"][key], abs=1e-15)


def test_missing_one_of_two_modes_halves_recall_and_coverage():
    line = torch.arange(10.0)[:, None]  # the second mode lies 1000 away
    scores = prdc(real=torch.cat([line, line + 1000]), fake=line + 0.25, k=1)
    assert (scores["precision"], scores["recall"], scores["coverage"]) == (1.0, 0.5, 0.5)


def test_density_by_hand_passes_one():
    """Real points 0 to 4 have balls of radius 3, 2, 2, 2, 3 for k = 3; the point 2.1 lies in all five, and its copies
    have no ball.
    """
    scores = prdc(real=torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]]), fake=torch.tensor([[2.1]] * 4), k=3)
    assert scores == {"precision": 1.0, "recall": 0.0, "density": 5 / 3, "coverage": 1.0}


def test_inside_is_strict_and_copies_are_counted():
    """Every point twice and k = 1: all radii are 0, so nothing is inside anything, although the sets are equal."""
    twice = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    balls = neighbour_balls(twice, twice, k=1)
    assert (balls.real_points, balls.fake_points) == (40, 40)
    assert prdc(twice, twice, k=1) == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_a_set_against_itself_is_perfect_whatever_rounding_does_to_its_ties():
    x, _ = pair("features_full")
    scores = prdc(x, x, k=5)
    assert (scores["precision"], scores["recall"], scores["coverage"]) == (1.0, 1.0, 1.0)
    # every ball holds its centre and its neighbours but the k-th: itself on the border
    assert scores["density"] == 1.0


def test_block_size_order_rotation_and_offset_change_nothing():
    x, y = pair("features_full")
    turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    balls, parts = neighbour_balls(x, y, 5), neighbour_balls(x, y, 5, block=77)
    assert torch.equal(balls.around, parts.around)
    assert torch.equal(balls.recalled, parts.recalled)
    assert torch.equal(balls.held, parts.held)
    assert prdc(x.double() @ turn + 100, y.double() @ turn + 100) == prdc(x, y)
    assert prdc(x.flip(0), y.flip(0)) == pytest.approx(prdc(x, y), abs=1e-12)


def test_coverage_of_equal_distributions_is_near_its_expectation():
    generator = torch.Generator().manual_seed(0)
    found = [
        prdc(torch.randn(400, 8, generator=generator), torch.randn(400, 8, generator=generator))["coverage"]
        for _ in range(10)
    ]
    assert np.mean(found) == pytest.approx(1 - 2**-5, abs=0.01)


@pytest.mark.parametrize(("n", "m", "message"), [(5, 9, "5"), (9, 5, "made images, got 5")])
def test_a_set_without_kth_neighbour_is_refused(n, m, message):
    with pytest.raises(ValueError, match=message):
        prdc(torch.zeros(n, 2), torch.zeros(m, 2), k=5)


def test_score_has_four_values_with_intervals():
    x, y = pair("features_full")
    scored = score(FakeEvidence(y, x), Config(extractor="attribute-judge-avatars"))
    for key in ("precision", "recall", "density", "coverage"):
        estimate = scored[key]
        assert estimate.value == pytest.approx(VALUES["prdc"][f"{key}_k5_real_x_fake_y"], abs=1e-15)
        assert estimate.ci[0] < estimate.value < estimate.ci[1]
        assert (estimate.n, estimate.better, estimate.protocol["k"]) == (500, "higher", 5)


def test_more_images_than_asked_for_are_a_fixed_choice():
    x, y = pair("features_full")
    found = [score(FakeEvidence(y, x), Config(extractor="attribute-judge-avatars", most=200)) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0]["precision"].n == 200


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="5 made images of 'captions', at least 6"):
        score(FakeEvidence(torch.zeros(5, 2), torch.zeros(9, 2)), Config(extractor="attribute-judge-avatars"))


@pytest.mark.slow
def test_intervals_cover_the_expectation_over_fresh_made_images():
    """200 made sets of 300 in 8 dimensions against one reference; recall's and coverage's intervals are somewhat too
    narrow, and say so.
    """
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(300, 8, generator=generator)
    runs = [
        score(
            FakeEvidence(torch.randn(300, 8, generator=generator) * 0.9 + 0.15, real),
            Config(extractor="attribute-judge-avatars"),
        )
        for _ in range(200)
    ]
    for key, least in (("precision", 0.9), ("density", 0.9), ("recall", 0.85), ("coverage", 0.85)):
        expected = np.mean([run[key].value for run in runs])
        assert np.mean([run[key].ci[0] <= expected <= run[key].ci[1] for run in runs]) >= least, key
