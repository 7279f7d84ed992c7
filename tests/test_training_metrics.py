"""The torchmetrics objects say what the functions say, however the images come: in batches, in shards that merge, on
two processes.
"""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing
from torchmetrics import MetricCollection
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from t2ibench.metrics.clip_score import cosines
from t2ibench.metrics.cmmd import cmmd
from t2ibench.metrics.inception_score import inception_score
from t2ibench.metrics.kid import kid
from t2ibench.metrics.prdc import prdc
from t2ibench.stats.frechet import frechet_distance
from t2ibench.training_metrics import (
    CMMD,
    ClipScore,
    CompositionalAccuracy,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    PrecisionRecall,
    RPrecision,
)

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
    rows = InceptionScore(splits=1)
    precise = RPrecision(pool=10)
    if rank == 0:  # the other process has seen no image
        rows.update(chances(40, 5))
        precise.update(draw(30, 6), TEXTS, draw(30, 6))
    found |= {"is": float(rows.compute()), "r": float(precise.compute())}
    torch.save({**found, "clip": float(score.compute())}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_find_the_value_of_all_images(tmp_path):
    torch.multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=2)
    expected = {name: function(MADE, REAL) for name, function in FUNCTIONS.items()}
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("is") == pytest.approx(inception_score(chances(40, 5), 1).value, abs=1e-12)
        assert found.pop("r") == 1
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


# probabilities, texts and judges


def chances(n: int, seed: int) -> torch.Tensor:
    return draw(n, seed).softmax(1)


@pytest.mark.parametrize("splits", [1, 5])
def test_the_inception_score_is_the_function_of_all_shuffled_probabilities(splits):
    metric, rows = InceptionScore(splits=splits), chances(40, 5)
    for part in rows.split(7):
        metric.update(part)
    order = torch.from_numpy(np.random.RandomState(2020).permutation(40))
    assert float(metric.compute()) == pytest.approx(inception_score(rows[order], splits).value, abs=1e-12)
    other = InceptionScore(lambda x: x.softmax(1), splits=1)
    other.update(draw(40, 5))
    assert float(other.compute()) == pytest.approx(inception_score(rows, 1).value, abs=1e-6)


def test_sharp_and_equal_classes_have_a_score_of_their_number_and_bad_rows_are_refused():
    metric = InceptionScore(splits=1)
    metric.update(torch.eye(4).repeat(5, 1))
    assert float(metric.compute()) == pytest.approx(4)
    metric.update(torch.full((1, 4), 0.5))
    metric._computed = None
    with pytest.raises(ValueError, match="rows of numbers from 0 on that sum to 1"):
        metric.compute()
    with pytest.raises(ValueError, match="needs as many images, got 0"):
        InceptionScore().compute()


TEXTS = [f"text {row}" for row in range(30)]


def test_r_precision_of_own_embeddings_is_1_and_of_equal_ones_0():
    metric, own = RPrecision(pool=10), draw(30, 6)
    metric.update(own, TEXTS, own)
    assert float(metric.compute()) == 1
    tied = RPrecision(texts=lambda words: torch.ones(len(words), D), pool=10)
    tied.update(own, TEXTS)
    assert float(tied.compute()) == 0  # a tie for the first place is a failure


def test_r_precision_counts_first_places_whatever_the_order_of_the_batches():
    images, own = draw(30, 7) + draw(30, 6), draw(30, 6)
    values = []
    for order in (range(30), reversed(range(30))):
        metric = RPrecision(pool=30)
        for row in order:
            metric.update(images[[row]], [TEXTS[row]], own[[row]])
        values.append(float(metric.compute()))
    cosines = torch.nn.functional.cosine_similarity(images[:, None], own[None], dim=2)
    assert values == [pytest.approx(float((cosines.argmax(1) == torch.arange(30)).double().mean()))] * 2
    assert 0 < values[0] < 1


def test_equal_texts_are_no_distractors_of_one_another():
    metric = RPrecision(pool=3)
    own = torch.eye(D)[[0, 0, 1, 2]]
    metric.update(own, ["a", "a", "b", "c"], own)
    assert float(metric.compute()) == 1
    small = RPrecision(pool=4)
    small.update(own, ["a", "a", "b", "c"], own)
    with pytest.raises(ValueError, match="3 texts differ, a pool of 4"):
        small.compute()


def test_r_precision_without_texts_or_with_others_is_refused():
    with pytest.raises(ValueError, match="no network for texts"):
        RPrecision().update(MADE, ["a"] * 70)
    with pytest.raises(ValueError, match="expected equal shapes"):
        RPrecision().update(MADE, ["a"] * 3, MADE)
    with pytest.raises(ValueError, match="seen no images"):
        RPrecision().compute()


LITERALS = ["hat=yes", "hat=no", "hair=red", "hair=blond"]
PAIRS = [("hat=yes", "hair=red"), ("hat=no", "hair=blond")]


def test_compositional_accuracy_is_the_mean_of_the_rates_of_pairs():
    metric = CompositionalAccuracy(literals=LITERALS, pairs=PAIRS)
    both, hat_alone, other = (torch.tensor([row]) for row in ([0.9, 0.1, 0.8, 0.2], [0.9, 0.1, 0.2, 0.8], [0, 1, 0, 1]))
    for images in (both, hat_alone, hat_alone, both):
        metric.update(images, [PAIRS[0]])
    metric.update(other.float(), [PAIRS[1]])
    assert float(metric.compute()) == pytest.approx((2 / 4 + 1) / 2)
    whole = CompositionalAccuracy(literals=LITERALS, pairs=PAIRS)
    whole.update(torch.cat([both, other.float()]), [PAIRS[0], PAIRS[1]])
    whole.merge_state(metric)
    assert float(whole.compute()) == pytest.approx((3 / 5 + 1) / 2)


def test_pairs_and_literals_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match="the judge knows no 'hat=maybe'"):
        CompositionalAccuracy(literals=LITERALS, pairs=[("hat=maybe", "hair=red")])
    metric = CompositionalAccuracy(literals=LITERALS, pairs=PAIRS)
    with pytest.raises(ValueError, match="none of the pairs"):
        metric.update(torch.zeros(1, 4), [("hat=no", "hair=red")])
    with pytest.raises(ValueError, match=r"probabilities are \[1, 3\], expected \[1, 4\]"):
        metric.update(torch.zeros(1, 3), [PAIRS[0]])
    metric.update(torch.zeros(1, 4), [PAIRS[0]])
    with pytest.raises(ValueError, match="no image was asked for hat=no and hair=blond"):
        metric.compute()
