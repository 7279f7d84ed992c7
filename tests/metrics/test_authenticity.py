"""The nearest training image: golden numbers of dgm-eval, planted copies, and what is said of them."""

import numpy as np
import pytest
import torch
from fake_evidence import JUDGE

from t2ibench.checks.submission import check_mean
from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.metrics.authenticity import Config, score
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.nearest import authentic, distinct, nearest, neighbours, small
from t2ibench.stats.paired import per_sample
from t2ibench.tracks.contract import Prompt


def test_the_values_are_those_of_dgm_eval():
    """layer6ai-labs/dgm-eval at 74c79f7, metrics/authpct.py."""
    train = torch.tensor([[0.0, 0], [1, 0], [4, 0], [4, 3]])
    made = torch.tensor([[0, 0.1], [2, 0], [4, 1], [10, 0]])
    assert 100 * authentic(made, train).mean() == 25
    twice = torch.tensor([[0.0, 0], [0, 0], [5, 0]])
    assert authentic(torch.tensor([[0.01, 0]]), twice).all()  # which is why duplicates are left out


def test_order_and_the_unit_of_features_change_nothing():
    draw = torch.Generator().manual_seed(0)
    train, made = torch.randn(300, 3, generator=draw), torch.randn(600, 3, generator=draw)
    found = authentic(made, train)
    assert 0.2 < found.mean() < 0.9
    np.testing.assert_array_equal(authentic(7 * made.flip(0), 7 * train.flip(0)), found[::-1])
    assert not authentic(train, train).any()  # copies


def test_the_nearest_image_is_found_by_features_and_by_pixels():
    features, training = torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[0.0, 5], [3, 0.1]])
    pixels, of_train = torch.tensor([[0.0, 0], [9, 9]]), torch.tensor([[1.0, 1], [9, 12]])
    found = nearest(features, pixels, training, of_train)
    assert found.features.row.tolist() == [1, 0]
    assert found.features.distance.tolist() == pytest.approx([1 - 3 / (9.01**0.5), 0], abs=1e-9)
    assert found.pixels.row.tolist() == [0, 1]
    assert found.pixels.distance.tolist() == pytest.approx([1, 4.5**0.5])


def test_blocks_change_nothing():
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(600, 4, generator=draw).double(), torch.randn(70, 4, generator=draw).double()
    whole, part = neighbours(a, b), neighbours(a[300:310], b)
    np.testing.assert_array_equal(whole.row[300:310], part.row)
    np.testing.assert_allclose(whole.distance[300:310], part.distance)


def test_the_first_of_equal_images_stays():
    assert distinct(["a", "b", "a", "c", "b"]) == [0, 1, 3]


def pictures(count: int, seed: int) -> np.ndarray:
    """Images of one colour each, with a little noise."""
    draw = np.random.default_rng(seed)
    return (draw.integers(20, 230, (count, 3, 1, 1)) + draw.integers(0, 20, (count, 3, 40, 40))).astype(np.uint8)


class Colours(Evidence):
    """The features are the mean colour."""

    def __init__(self, made: np.ndarray, train: np.ndarray) -> None:
        rows = [str(row) for row in range(len(train))]
        hashes = [image.tobytes().hex()[:64] for image in train]
        split = Split("d", "train", rows, ArrayImages(train, hashes), [("x",)] * len(train))
        prompts = [Prompt(f"p{row}", "x") for row in range(len(made))]
        names = [str(row) for row in range(len(made))]
        ok = np.ones(len(made), bool)
        samples = Samples(prompts, [0] * len(made), ok, names, ArrayImages(made, names))
        super().__init__(
            train=split, reference=split, prompts=prompts, samples={"captions": samples}, models=Models(), judge=JUDGE
        )

    def fake_features(self, extractor: str, group: str = "captions") -> torch.Tensor:
        return torch.from_numpy(self.samples(group).images.mean((2, 3)))

    def real_features(self, extractor: str, split: Split | None = None) -> torch.Tensor:
        split = split or self.reference
        return torch.from_numpy(split.images.read(range(len(split))).mean((2, 3)))


def test_planted_copies_are_found_and_named_though_the_training_images_are_there_twice():
    train, fresh = pictures(40, 0), pictures(15, 1)
    twice = np.concatenate([train, train])
    made = np.concatenate([fresh, train[:5]])
    estimate = score(Colours(made, twice), Config(extractor=JUDGE))["authenticity"]
    alone = score(Colours(fresh, twice), Config(extractor=JUDGE))["authenticity"]
    assert estimate.details["duplicates"] == 40
    assert estimate.value == pytest.approx(alone.value * 15 / 20)
    assert estimate.ci[0] < estimate.value < estimate.ci[1]
    named = {(row["prompt"], row["train"]) for row in estimate.details["look_at"][:5]}
    assert named == {(f"p{15 + row}", str(row)) for row in range(5)}
    assert [row["grey_levels"] for row in estimate.details["look_at"][:5]] == [0] * 5
    assert estimate.details["per_sample"].endswith("00000")


def test_pixels_of_images_of_any_size_are_compared_at_one():
    store = ArrayImages(np.full((2, 3, 50, 70), 9, np.uint8), ["a", "b"])
    assert small(store, [0, 1]).shape == (2, 3 * 32 * 32)
    assert float(small(store, [1]).std()) == pytest.approx(0, abs=1e-5)


def test_bad_input_is_one_line():
    with pytest.raises(UserError, match="5 made images of 'captions', at least 10"):
        score(Colours(pictures(5, 0), pictures(9, 1)), Config(extractor=JUDGE))
    with pytest.raises(UserError, match="d has 1 training images, at least 2"):
        score(Colours(pictures(12, 0), pictures(1, 1)), Config(extractor=JUDGE))
    with pytest.raises(ValueError, match="features must be finite"):
        authentic(torch.full((1, 2), float("nan")), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="needs images, and features with a direction"):
        nearest(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 2))


def test_the_samples_of_a_record_have_the_mean_that_it_states():
    made = np.concatenate([pictures(15, 1), pictures(40, 0)[:5]])
    estimate = score(Colours(made, pictures(40, 0)), Config(extractor=JUDGE))["authenticity"].to_json("authenticity")
    numbers = per_sample(estimate)
    assert numbers is not None
    check_mean("authenticity", estimate, numbers)
