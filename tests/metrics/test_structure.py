"""Structure kept: rank correlations of distances that can be counted, and the error of the jackknife."""

import numpy as np
import pytest
import torch
from fake_targets import FakeTargets
from scipy.stats import spearmanr
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.metrics.structure import Config, score


@pytest.fixture(autouse=True)
def no_inception_weights(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


def draw(n: int, seed: int, d: int = 3) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def of(sources: Tensor, *targets: Tensor, **kwargs):
    names = [f"t{i}" for i in range(len(targets))]
    features = {"sources": sources, **{f"adapted/{name}": seen for name, seen in zip(names, targets, strict=True)}}
    evidence = FakeTargets(
        {name: len(seen) for name, seen in zip(names, targets, strict=True)}, len(sources), features=features, **kwargs
    )
    return score(evidence, Config())["structure_kept"]


def distances(x: Tensor) -> np.ndarray:
    return torch.pdist(x.double()).numpy()


def test_it_is_spearmans_correlation_of_the_distances():
    a, b = draw(30, 0), draw(30, 0) + 0.7 * draw(30, 1)
    found = of(a, b)
    assert found.value == pytest.approx(spearmanr(distances(a), distances(b)).statistic, abs=1e-6)
    assert found.ci[0] < found.value < found.ci[1]


def test_a_new_scale_and_place_keep_all_and_a_single_image_keeps_nothing():
    a = draw(20, 0)
    found = of(a, 0.1 * a + 5, torch.zeros(20, 3))
    assert {name: row["value"] for name, row in found.details["targets"].items()} == {"t0": pytest.approx(1), "t1": 0}
    assert found.value == pytest.approx(0.5)


def test_images_that_have_nothing_to_do_with_their_latents_keep_nothing():
    found = of(draw(200, 0), draw(200, 1))
    assert abs(found.value) < 0.05
    assert found.ci[0] < 0 < found.ci[1]


def test_a_failed_image_agrees_with_nothing():
    a = draw(40, 0)
    ok = [False] * 10 + [True] * 30
    found, whole = of(a, a, ok={"adapted/t0": ok}), of(a, a)
    assert 0.4 < found.value < whole.value == pytest.approx(1)
    assert found.details["failed"] == {"t0": 10}
    assert of(a, a, ok={"adapted/t0": [False] * 40}).value == 0


def test_the_jackknife_is_as_wide_as_the_value_varies():
    values, halves = [], []
    for seed in range(60):
        a = draw(60, 2 * seed)
        found = of(a, a + draw(60, 2 * seed + 1))
        values.append(found.value)
        halves.append((found.ci[1] - found.ci[0]) / 2 / 1.96)
    assert np.mean(halves) == pytest.approx(np.std(values), rel=0.3)


def test_too_few_latents_are_one_line():
    with pytest.raises(UserError, match="9 latents, at least 10 are needed"):
        of(draw(9, 0), draw(9, 0))
    with pytest.raises(UserError, match="t0 has other latents than the sources"):
        of(draw(12, 0), draw(11, 0))
