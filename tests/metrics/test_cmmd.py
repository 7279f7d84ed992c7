"""CMMD against scikit-learn's stored number, its closed form for two points, its nearly linear kernel, and
simulation.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_evidence import FakeEvidence
from goldens import VALUES, tensors

from t2ibench.core.errors import UserError
from t2ibench.metrics.cmmd import PUBLISHED, Config, cmmd, score
from t2ibench.stats.intervals import standard_error
from t2ibench.stats.mmd import unbiased

EMBEDDINGS = tensors("clip_embeddings")


def directions(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Unit vectors around one of the axes."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, 0] += 2 + shift
    return F.normalize(x, dim=1)


def test_it_agrees_with_the_kernel_of_scikit_learn():
    found = cmmd(EMBEDDINGS["img"], EMBEDDINGS["txt"])
    assert found.value == pytest.approx(VALUES["clip"]["cmmd_v_statistic_img_txt"], abs=1e-9)


def test_two_points_a_side_by_hand():
    """x: both e1; y: both e2. Within k = 1, across k = exp(-|e1 - e2|^2 / 200) = exp(-1/100)."""
    e1, e2 = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
    found = cmmd(e1, e2)
    expected = 1000 * (2 - 2 * math.exp(-0.01))
    assert (found.value, found.unbiased) == (pytest.approx(expected, rel=1e-12), pytest.approx(expected, rel=1e-12))


def test_equal_sets_are_at_zero_and_the_unbiased_value_is_below():
    x = directions(50, 8, 0)
    found = cmmd(x, x)
    assert 0 <= found.value < 1e-10
    within = torch.exp((x @ x.T - 1) / 100)
    mean_of_others = (within.sum() - 50) / (50 * 49)
    assert found.unbiased == pytest.approx(1000 * 2 * float(mean_of_others - within.mean()), rel=1e-9)


def test_the_diagonal_adds_what_the_docstring_says():
    x, y = directions(60, 8, 0), directions(90, 8, 1)
    found = cmmd(x, y)
    mean_x, mean_y = ((torch.exp((s @ s.T - 1) / 100).sum() - len(s)) / (len(s) * (len(s) - 1)) for s in (x, y))
    assert found.value - found.unbiased == pytest.approx(1000 * float((1 - mean_x) / 60 + (1 - mean_y) / 90), rel=1e-9)


def test_it_is_the_gap_of_the_means_to_about_one_percent():
    found = cmmd(directions(2000, 64, 0), directions(2000, 64, 1, shift=1.0))
    assert found.mean_part == pytest.approx(found.value, rel=0.02)
    assert found.mean_part != pytest.approx(found.value, rel=1e-4)


def test_neither_the_norms_nor_the_order_nor_the_sides_matter():
    x, y = EMBEDDINGS["img"].double(), EMBEDDINGS["txt"].double()
    value = cmmd(x, y).value
    assert cmmd(8 * x, y / 3).value == pytest.approx(value, abs=1e-10)
    assert cmmd(y.flip(0), x).value == pytest.approx(value, abs=1e-10)


def test_the_unbiased_value_is_the_plain_mmd_of_the_whole_kernel():
    x, y = directions(40, 8, 0), directions(30, 8, 1, 0.3)
    plain = unbiased(x, y, lambda a, b: torch.exp(-(torch.cdist(a, b) ** 2) / 200))
    found = cmmd(x, y)
    assert found.unbiased == pytest.approx(1000 * plain[0], abs=1e-9)
    torch.testing.assert_close(found.of_fake, 1000 * plain[1], atol=1e-9, rtol=0)


def test_the_standard_error_is_the_spread_over_fresh_draws():
    found = [cmmd(directions(200, 8, 2 * i), directions(200, 8, 2 * i + 1, 0.5)) for i in range(150)]
    errors = [np.hypot(standard_error(f.of_fake.numpy()), standard_error(f.of_real.numpy())) for f in found]
    assert np.mean(errors) == pytest.approx(np.std([f.value for f in found]), rel=0.15)


def test_its_name_says_whether_it_is_the_published_network():
    evidence = FakeEvidence(directions(120, 8, 0), directions(120, 8, 1, 0.5))
    ((key, estimate),) = score(evidence, Config()).items()
    assert (key, estimate.better, estimate.n, estimate.details["enough"]) == ("cmmd_avatars", "lower", 120, False)
    assert 0 <= estimate.ci[0] < estimate.value < estimate.ci[1]
    assert estimate.details["unbiased"] < estimate.value
    assert set(score(evidence, Config(clip=PUBLISHED))) == {"cmmd"}
    assert set(score(evidence, Config(clip="ViT-B-32-quickgelu:openai"))) == {"cmmd_vit_b_32_quickgelu_openai"}


def test_a_row_without_a_direction_is_refused():
    x = directions(5, 4, 0)
    x[3] = 0
    with pytest.raises(ValueError, match="row 3 of the real is zero"):
        cmmd(directions(5, 4, 1), x)


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="40 made images"):
        score(FakeEvidence(directions(40, 4, 0), directions(200, 4, 1)), Config())
