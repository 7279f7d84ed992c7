"""Distances of adapted images to real ones of each target, and the mean over targets: by hand, and its interval in
simulation.
"""

from typing import Any

import numpy as np
import pytest
import torch
from fake_targets import FakeTargets
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.metrics import diversity, fid, kid, structure
from t2ibench.scoring.targets import mean_error, mean_error_of_real
from t2ibench.stats.frechet import frechet_distance
from t2ibench.stats.intervals import standard_error
from t2ibench.stats.paired import difference, effects

SKETCH, SEPIA = "adapted/sketch", "adapted/sepia"


@pytest.fixture(autouse=True)
def no_inception_weights(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


def draw(n: int, seed: int, shift: float = 0.0, d: int = 4) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def features(n: int = 120, d: int = 4) -> dict:
    return {
        "sources": draw(n, 0, 0, d),
        SKETCH: draw(n, 1, 1, d),
        SEPIA: draw(n, 2, 3, d),
        ("real", "sketch"): draw(150, 3, 1.5, d),
        ("real", "sepia"): draw(150, 4, 0, d),
    }


def of(seen: dict, n: int = 120, **kwargs) -> FakeTargets:
    return FakeTargets({"sketch": n, "sepia": n}, n, features=seen, **kwargs)


@pytest.mark.parametrize(("metric", "key"), [(fid, "fd_avatars"), (kid, "kd_avatars")])
def test_each_target_is_held_to_its_own_real_images(metric, key):
    seen = features()
    distance = frechet_distance if metric is fid else lambda fake, real: kid.kid(fake, real)[0]
    own = {domain: distance(seen[f"adapted/{domain}"], seen["real", domain]) for domain in ("sketch", "sepia")}
    estimate = metric.score(of(seen), metric.Config())[key]
    assert {domain: row["value"] for domain, row in estimate.details["targets"].items()} == pytest.approx(own)
    assert estimate.value == pytest.approx((own["sketch"] + own["sepia"]) / 2)
    assert estimate.ci[0] < estimate.value < estimate.ci[1]
    assert (estimate.n, estimate.better, estimate.protocol["of"], estimate.details["failed"]) == (120, "lower", 2, {})
    for row in estimate.details["targets"].values():
        assert row["ci"][0] < row["value"] < row["ci"][1]


@pytest.mark.parametrize(
    ("metric", "key"),
    [(fid, "fd_avatars"), (kid, "kd_avatars"), (diversity, "diversity"), (structure, "structure_kept")],
)
def test_the_effects_that_are_kept_have_the_error_of_the_value(metric, key):
    """So two adaptations of the same latents are paired: a copy differs by nothing, a change of one target by less than
    other latents.
    """
    estimate = metric.score(of(features()), metric.Config())[key]
    kept = effects({"details": estimate.details})
    assert kept is not None
    made, real = kept
    assert len(made) == 120
    se = np.hypot(standard_error(made), standard_error(real))
    assert (estimate.ci[1] - estimate.ci[0]) / 2 / 1.96 == pytest.approx(se, rel=0.01)
    seen = features()
    other = metric.score(of({**seen, SKETCH: seen[SKETCH] + 0.1 * draw(120, 9)}), metric.Config())[key]
    a, b = (
        {"value": found.value, "ci": found.ci, "n": found.n, "details": found.details} for found in (estimate, other)
    )
    assert difference([a], [a]).se == 0
    assert difference([a], [b]).rule == "paired"
    assert 0 < difference([a], [b]).se < 0.7 * np.sqrt(2) * se


def test_other_real_images_are_another_protocol():
    seen = features()
    one, other = (
        fid.score(of(some), fid.Config())["fd_avatars"] for some in (seen, {**seen, ("real", "sepia"): draw(151, 4)})
    )
    assert one.protocol != other.protocol


def test_failed_images_are_counted_by_target():
    ok = {SEPIA: [False] * 3 + [True] * 117}
    estimate = fid.score(of(features(), ok=ok), fid.Config())["fd_avatars"]
    assert estimate.details["failed"] == {"sepia": 3}
    assert (estimate.n, estimate.details["targets"]["sketch"]["n"]) == (117, 120)


def test_too_few_images_of_one_target_are_one_line():
    with pytest.raises(UserError, match="20 made images of 'adapted/sketch', at least 100 are needed"):
        fid.score(of(features(20), 20), fid.Config())


def test_with_fewer_images_than_dimensions_the_error_is_at_most_the_mean_of_the_targets():
    estimate = fid.score(of(features(120, 130)), fid.Config())["fd_avatars"]
    halves = [(row["ci"][1] - row["ci"][0]) / 2 for row in estimate.details["targets"].values()]
    assert (estimate.ci[1] - estimate.ci[0]) / 2 == pytest.approx(np.mean(halves), rel=1e-6)
    assert "the mean of the targets' errors" in estimate.interval


def test_targets_that_move_together_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 50))
    labels = {key: [str(k) for k in range(50)] for key in ("a", "b")}
    alone = standard_error(one, labels["a"])
    assert mean_error({"a": one, "b": one}, labels) == pytest.approx(alone)
    assert mean_error({"a": one, "b": -one}, labels) == pytest.approx(0, abs=1e-12)
    assert mean_error_of_real({"a": one, "b": other}) == pytest.approx(
        np.hypot(standard_error(one), standard_error(other)) / 2
    )


def test_a_target_that_lost_images_counts_as_much_as_the_others():
    effects, labels = (
        {"a": np.array([1.0, -1.0, 0, 0]), "b": np.array([2.0, -2.0])},
        {"a": list("wxyz"), "b": list("wx")},
    )
    sums = np.array([1 / 8 + 2 / 4, -1 / 8 - 2 / 4, 0, 0])  # of each latent, its share in the mean of both means
    assert mean_error(effects, labels) == pytest.approx(sums.std(ddof=1) * 4**0.5)


def test_the_error_of_the_mean_is_its_spread_when_targets_share_their_latents():
    mix, values, errors = torch.tensor([[1.0, 0.6], [0.0, 0.8]]), [], []
    for seed in range(100):
        latent = draw(150, 10 * seed, 0, 2)
        seen: dict[Any, Tensor] = {"sources": latent, SKETCH: latent + 1, SEPIA: latent @ mix + 1}
        seen |= {("real", "sketch"): draw(150, 10 * seed + 1, 0, 2), ("real", "sepia"): draw(150, 10 * seed + 2, 0, 2)}
        estimate = kid.score(of(seen, 150), kid.Config())["kd_avatars"]
        values.append(estimate.value)
        errors.append(estimate.details["se"])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)  # as if targets were drawn apart: 0.7 of it
