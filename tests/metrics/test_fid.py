"""`fid`: its name, its interval, and what it refuses. The distance itself is in test_frechet.py."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import VALUES, pair

from t2ibench.core.errors import UserError
from t2ibench.metrics.fid import Config, distance, name, score


@pytest.fixture(autouse=True)
def no_inception_weights(monkeypatch, tmp_path):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


def random(n: int, d: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale


def test_without_inception_weights_nothing_is_called_fid():
    x, y = pair("features_full")
    (key,) = scored = score(FakeEvidence(x, y), Config())
    assert key == "fd_avatars"
    estimate = scored[key]
    assert estimate.value == pytest.approx(VALUES["fid_full"]["fid_numpy_nuclear_xy"], abs=1e-9)
    assert estimate.ci[0] < estimate.value < estimate.ci[1]
    assert (estimate.n, estimate.better) == (500, "lower")
    assert estimate.protocol["extractor"] == "attribute-judge-avatars"
    assert {"sha256", "resize", "ddof", "reference", "prompts", "images", "estimator"} <= set(estimate.protocol)
    assert estimate.details["debiased"] < estimate.value
    assert estimate.details["enough"] is False  # 500 < 10 x 64
    assert "influence" in estimate.interval


def test_with_the_weights_on_disk_it_is_fid_from_2048_images_on(tmp_path):
    (tmp_path / "inception-2015-12-05.pt").write_bytes(b"")
    x, y = pair("features_full")
    assert set(score(FakeEvidence(x, y), Config())) == {"fid_smalln"}
    sides = {n: SimpleNamespace(extractor="inception", fake=range(n), real=range(3000)) for n in (2047, 2048)}
    assert [name(sides[n]) for n in (2047, 2048)] == ["fid_smalln", "fid"]  # type: ignore[arg-type]


def test_a_clip_gives_its_own_name():
    assert set(score(FakeEvidence(*pair("features_full")), Config(extractor="clip-judge-avatars"))) == {
        "fd_clip_judge_avatars"
    }


def test_with_fewer_samples_than_dimensions_the_interval_is_the_jackknifes():
    estimate = score(FakeEvidence(*pair("features_lowrank")), Config())["fd_avatars"]
    assert "jackknife" in estimate.interval
    assert estimate.value == pytest.approx(VALUES["fid_lowrank"]["fid_mpmath_xy"], abs=1e-10)
    assert 0 < estimate.ci[0] < estimate.value < estimate.ci[1]


def test_equal_sets_are_at_distance_zero_and_never_below():
    x, _ = pair("features_full")
    estimate = score(FakeEvidence(x, x), Config())["fd_avatars"]
    assert 0 <= estimate.value < 1e-9
    assert 0 <= estimate.ci[0] <= estimate.ci[1]


def test_images_of_one_prompt_are_not_counted_as_independent():
    x, y = random(300, 8, 0), random(300, 8, 1, 1.2)
    four = x.repeat_interleave(4, 0)
    alone, repeated = (distance(side, y, prompts).se for side, prompts in ((x, _ids(300, 1)), (four, _ids(300, 4))))
    assert repeated == pytest.approx(alone, rel=0.05)


def test_one_prompt_for_all_images_is_no_cluster():
    x, y = random(200, 8, 0), random(200, 8, 1, 1.2)
    estimate = score(FakeEvidence(x, y, images_each=200), Config())["fd_avatars"]
    assert estimate.details["se"] == pytest.approx(distance(x, y, _ids(200, 1)).se)


def test_samples_without_an_image_have_no_row():
    x, y = random(150, 8, 0), random(200, 8, 1)
    estimate = score(FakeEvidence(x, y, ok=[True] * 149 + [False] * 10 + [True]), Config())["fd_avatars"]
    assert (estimate.n, estimate.protocol["images"]) == (150, 160)


def test_too_few_images_are_refused_in_one_line():
    x, y = random(99, 8, 0), random(200, 8, 1)
    with pytest.raises(UserError, match=r"^99 made images of 'captions', at least 100 are needed: .*$"):
        score(FakeEvidence(x, y), Config())
    with pytest.raises(UserError, match="99 real images"):
        score(FakeEvidence(y, x), Config())


def _ids(prompts: int, each: int) -> list[str]:
    return [f"p{i:04}" for i in np.repeat(np.arange(prompts), each)]
