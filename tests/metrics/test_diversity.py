"""Diversity by hand on a line: what collapses, what fails, and how sure the ratio is."""

from typing import Any

import numpy as np
import pytest
import torch
from fake_targets import FakeTargets
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.metrics.diversity import Config, mean_distances, ratio_effects, score

LINE = torch.arange(12.0)[:, None]


@pytest.fixture(autouse=True)
def no_inception_weights(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


def of(*targets: Tensor, sources: Tensor = LINE, **kwargs):
    names = [f"t{i}" for i in range(len(targets))]
    features: dict[Any, Tensor] = {
        "sources": sources,
        **{f"adapted/{name}": seen for name, seen in zip(names, targets, strict=True)},
    }
    features |= {("real", name): 2 * LINE for name in names}
    evidence = FakeTargets(
        {name: len(seen) for name, seen in zip(names, targets, strict=True)}, len(sources), features=features, **kwargs
    )
    return score(evidence, Config())["diversity"]


def test_distances_are_counted_over_pairs_of_different_images():
    mean, own = mean_distances(torch.tensor([[0.0], [1.0], [3.0]]))
    assert mean == pytest.approx((1 + 3 + 2) / 3)
    np.testing.assert_allclose(own, [2, 1.5, 2.5])
    assert mean_distances(LINE[:1])[0] == 0


def test_unchanged_images_have_one_and_a_single_image_has_none():
    same, half, one = of(LINE), of(LINE / 2 + 7), of(torch.zeros(12, 1))
    assert (same.value, half.value, one.value) == (1, pytest.approx(0.5), 0)
    assert same.ci == (1, 1)
    assert one.details["collapsed"] == ["t0"]
    assert (same.details["real"], same.details["of_real"]) == ({"t0": 2}, {"t0": 0.5})
    both = of(LINE, torch.zeros(12, 1))
    assert both.value == 0.5
    assert {name: row["value"] for name, row in both.details["targets"].items()} == {"t0": 1, "t1": 0}


def test_two_modes_in_place_of_a_spread_are_less_diverse():
    modes = torch.tensor([0.0, 1.0]).repeat(6)[:, None]
    assert of(modes).value == pytest.approx(6 * 6 / 66 / float((LINE - LINE.T).abs().sum() / 132))


def test_a_failed_image_is_no_variety():
    ok = [True] * 9 + [False] * 3
    found = of(LINE, ok={"adapted/t0": ok})
    pairs = (LINE - LINE.T).abs()
    assert found.value == pytest.approx(float(pairs[:9, :9].sum() / pairs.sum()))
    assert (found.n, found.details["failed"]) == (12, {"t0": 3})
    assert of(LINE, ok={"adapted/t0": [False] * 12}).value == 0


def test_order_changes_nothing():
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    bent = LINE**1.5
    assert of(bent[order], sources=LINE[order]).value == pytest.approx(of(bent).value)


def test_the_effects_are_those_of_leaving_a_latent_out():
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(400, 3)) ** 3) for _ in range(2))
    (after, own), (before, others) = mean_distances(a), mean_distances(b)
    effects = ratio_effects(after, own, before, others)
    assert abs(effects.mean()) < 1e-12
    for row in (0, 7, 31):
        rest = [i for i in range(400) if i != row]
        without = mean_distances(a[rest])[0] / mean_distances(b[rest])[0]
        assert effects[row] / 400 == pytest.approx(after / before - without, abs=2e-4)


def test_too_few_latents_and_equal_sources_are_one_line():
    with pytest.raises(UserError, match="9 latents, at least 10 are needed"):
        of(LINE[:9], sources=LINE[:9])
    with pytest.raises(UserError, match="the images before the adaptation are all the same"):
        of(LINE, sources=torch.zeros(12, 1))
    with pytest.raises(UserError, match="t0 has other latents than the sources"):
        of(LINE[:11])
