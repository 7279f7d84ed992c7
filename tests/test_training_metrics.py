"""The torchmetrics objects say what the functions say, however the images come: in batches, in shards that merge, on
two processes.
"""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torchmetrics import MetricCollection
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from t2ibench.metrics.clip_score import cosines
from t2ibench.metrics.cmmd import cmmd
from t2ibench.metrics.kid import kid
from t2ibench.metrics.prdc import prdc
from t2ibench.stats.frechet import frechet_distance
from t2ibench.training_metrics import CMMD, ClipScore, FrechetDistance, KernelDistance, PrecisionRecall

D = 6
MAKERS: dict[str, Callable[..., Any]] = {
    "fd": lambda: FrechetDistance(dimension=D),
    "kid": KernelDistance,
    "cmmd": CMMD,
    "prdc": lambda: PrecisionRecall(k=3),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "fd": frechet_distance,
    "kid": lambda made, real: kid(made, real)[0],
    "cmmd": lambda made, real: cmmd(made, real).value,
    "prdc": lambda made, real: prdc(real, made, 3),
}


def draw(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) + 1 + shift


MADE, REAL = draw(70, 0, 0.3), draw(90, 1)


def fed(metric, made=MADE, real=REAL, batch=16):
    for side, is_real in ((real, True), (made, False)):
        for part in side.split(batch):
            metric.update(part, real=is_real)
    return metric


def numbers(value):
    return {name: float(number) for name, number in value.items()} if isinstance(value, dict) else float(value)


@pytest.mark.parametrize("name", MAKERS)
def test_it_equals_the_function_on_all_features(name):
    assert numbers(fed(MAKERS[name]()).compute()) == pytest.approx(FUNCTIONS[name](MADE, REAL), abs=1e-10)


@pytest.mark.parametrize("name", MAKERS)
def test_two_shards_merge_to_the_whole_in_either_order(name):
    shards = [(MADE[:20], REAL[:50]), (MADE[20:], REAL[50:])]
    for first, second in (shards, shards[::-1]):
        whole = fed(MAKERS[name](), *first)
        whole.merge_state(fed(MAKERS[name](), *second))
        assert numbers(whole.compute()) == pytest.approx(FUNCTIONS[name](MADE, REAL), abs=1e-10)


def test_a_shard_without_images_adds_nothing():
    whole = fed(FrechetDistance(dimension=D))
    before = float(whole.compute())
    whole.merge_state(FrechetDistance(dimension=D))
    assert float(whole.compute()) == before
    empty = FrechetDistance(dimension=D)
    empty.merge_state(fed(FrechetDistance(dimension=D)))
    assert float(empty.compute()) == before


def one_process(rank: int, folder: str) -> None:
    """Rank 0 sees other shares of the images than rank 1."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    made, real = (MADE[:20], REAL[:50]) if rank == 0 else (MADE[20:], REAL[50:])
    found = {name: numbers(fed(make(), made, real).compute()) for name, make in MAKERS.items()}
    score = ClipScore()
    score.update(MADE[rank * 30 :][:30], REAL[rank * 30 :][:30])
    torch.save({**found, "clip": float(score.compute())}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_find_the_value_of_all_images(tmp_path):
    torch.multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=2)
    expected = {name: function(MADE, REAL) for name, function in FUNCTIONS.items()}
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("clip") == pytest.approx(cosines(MADE[:60], REAL[:60]).mean(), abs=1e-12)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-10)


def test_it_agrees_with_torchmetrics_fid():
    theirs = FrechetInceptionDistance(feature=Flat(), normalize=True, input_img_size=(1, 1, D))
    for side, real in ((REAL, True), (MADE, False)):
        theirs.update(side.double(), real=real)
    assert float(fed(FrechetDistance(dimension=D), MADE.double(), REAL.double()).compute()) == pytest.approx(
        float(theirs.compute()), abs=1e-9
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_subset_of_all_is_torchmetrics_kid():
    real = draw(70, 2)
    theirs = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=70)
    for side, is_real in ((real, True), (MADE, False)):
        theirs.update(side.double(), real=is_real)
    assert float(fed(KernelDistance(), MADE, real).compute()) == pytest.approx(float(theirs.compute()[0]), abs=1e-12)


class Flat(torch.nn.Module):
    num_features = D

    def forward(self, x):
        return x.flatten(1)


def test_far_from_zero_no_digit_is_lost_where_sums_of_squares_lose_all():
    made, real = MADE.double() + 1e4, REAL.double() + 1e4
    assert float(fed(FrechetDistance(dimension=D), made, real).compute()) == pytest.approx(
        frechet_distance(MADE, REAL), abs=1e-6
    )


def test_a_network_makes_the_features_and_its_weights_are_no_state():
    network = torch.nn.Linear(4, D)
    images = draw(40, 3)[:, :4], draw(40, 4)[:, :4]
    metric = fed(FrechetDistance(network, dimension=D), *images)
    with torch.no_grad():
        expected = frechet_distance(network(images[0]), network(images[1]))
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-9)
    assert float(fed(FrechetDistance(lambda x: network(x), dimension=D), *images).compute()) == pytest.approx(
        expected, abs=1e-9
    )
    assert not metric.compute().requires_grad


@pytest.mark.parametrize("name", MAKERS)
def test_reset_may_keep_the_real_side(name):
    make = MAKERS[name]
    metric = make()
    metric.reset_real = False
    fed(metric, made=draw(30, 9)).reset()
    for part in MADE.split(16):
        metric.update(part, real=False)
    assert numbers(metric.compute()) == pytest.approx(FUNCTIONS[name](MADE, REAL), abs=1e-10)
    metric.reset_real = True
    metric.reset()
    with pytest.raises(ValueError, match=r"2 or more samples|no made images"):
        metric.compute()


def test_it_survives_a_copy_a_pickle_half_precision_and_a_collection():
    metric = fed(FrechetDistance(dimension=D))
    value = float(metric.compute())
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.half()):
        other._computed = None
        assert float(other.compute()) == value
    both = MetricCollection({"fd": FrechetDistance(dimension=D), "kid": KernelDistance()})
    found = fed(both).compute()
    assert float(found["fd"]) == value
    assert float(found["kid"]) == pytest.approx(kid(MADE, REAL)[0], abs=1e-12)


def test_clip_score_is_the_mean_cosine_in_any_batches():
    metric = ClipScore()
    for images, texts in zip(MADE.split(13), REAL[:70].split(13), strict=True):
        metric.update(images, texts)
    other = ClipScore(texts=lambda words: torch.ones(len(words), D))
    other.update(MADE, ["a"] * 70)
    assert float(metric.compute()) == pytest.approx(cosines(MADE, REAL[:70]).mean(), abs=1e-12)
    assert float(other.compute()) == pytest.approx(cosines(MADE, torch.ones(70, D)).mean(), abs=1e-12)


def test_wrong_features_are_refused():
    with pytest.raises(ValueError, match="features have 6 dimensions, FrechetDistance was made for 5"):
        FrechetDistance(dimension=5).update(MADE, real=True)
    with pytest.raises(ValueError, match=r"features are torch.uint8 \[2, 3, 4, 4\], expected floats"):
        KernelDistance().update(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), real=True)
    with pytest.raises(ValueError, match="expected equal shapes"):
        ClipScore().update(MADE, REAL)
