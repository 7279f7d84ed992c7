"""The attribute judge: its maths by hand, its training on squares, and the shipped weights on real avatars."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from judged import squares

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.networks import weights
from t2ibench.networks.attribute_judge import AttributeJudge
from t2ibench.networks.attribute_judge.calibration import calibration_error, encode_labels, fit_temperature, report
from t2ibench.networks.attribute_judge.judge import probabilities
from t2ibench.networks.augment import augment, cropped, recoloured
from t2ibench.networks.models import Models
from t2ibench.networks.training import loop
from t2ibench.networks.training.attribute_judge import masked_loss, recipe

TINY = {
    "widths": [8, 16, 16, 16],
    "features": 16,
    "batch": 32,
    "calibration": 64,
    "learning_rate": 0.01,
    "bfloat16": False,
}
TWO = {"a": ["x", "y"], "b": ["p", "q", "r"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> weights.Weights:
    made = recipe("attribute-judge", TINY, squares(320, hide_ground=0.3), squares(200, "val"), Models(), 0)
    return loop.fit(made, "judge", tmp_path_factory.mktemp("judge"), steps=60)


def pixels(split: Split) -> torch.Tensor:
    return torch.from_numpy(split.images.read(np.arange(len(split))))


def test_a_judge_learns_and_its_card_holds_for_the_file_that_was_written(trained: weights.Weights):
    judge, val = AttributeJudge(trained), squares(200, "val")
    numbers = report(judge.predict(pixels(val)), encode_labels(val, judge.attributes), judge.attributes)
    assert numbers == trained.card["validation"]
    assert min(number["balanced_accuracy"] for number in numbers.values()) > 0.97


def test_an_answer_does_not_depend_on_its_batch(trained: weights.Weights):
    judge, images = AttributeJudge(trained), pixels(squares(300, "val"))
    features, given = judge.read(images)
    alone, given_alone = judge.read(images[299:])
    torch.testing.assert_close(features[299:], alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(given["colour"][299:], given_alone["colour"], atol=1e-4, rtol=1e-4)
    assert features.shape == (300, 16)
    assert judge.read(images[:0])[0].shape == (0, 16)


def test_probabilities_sum_to_one_in_the_order_of_the_values(trained: weights.Weights):
    judge, val = AttributeJudge(trained), squares(50, "val")
    given = judge.predict(pixels(val))
    assert {name: list(values.shape) for name, values in given.items()} == {"colour": [50, 3], "ground": [50, 2]}
    torch.testing.assert_close(given["colour"].sum(1), torch.ones(50))
    assert [judge.attributes["colour"][i] for i in given["colour"].argmax(1)] == val.attributes["colour"].tolist()  # type: ignore[index]


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 64, 64), torch.zeros(3, 64, 64, dtype=torch.uint8)])
def test_only_uint8_batches_are_read(trained: weights.Weights, images: torch.Tensor):
    with pytest.raises(ValueError, match="reads uint8 images"):
        AttributeJudge(trained).predict(images)


def test_images_of_another_size_are_refused(trained: weights.Weights):
    with pytest.raises(UserError, match="reads 64x64 images, got 32x64"):
        AttributeJudge(trained).predict(torch.zeros(1, 3, 32, 64, dtype=torch.uint8))


def test_weights_of_another_config_are_one_line(trained: weights.Weights):
    config = {**trained.config, "features": 8}
    with pytest.raises(UserError, match="do not fit the config") as caught:
        AttributeJudge(weights.Weights("judge", trained.tensors, config, {}, ""))
    assert "\n" not in str(caught.value)


def test_a_stopped_training_equals_an_uninterrupted_one(tmp_path: Path):
    def make():
        return recipe("attribute-judge", TINY, squares(120), squares(20, "val"), Models(), 0)

    whole, first, second = make(), make(), make()
    for index in range(6):
        whole.step(index, index / 6)
    for index in range(3):
        first.step(index, index / 6)
    torch.save(first.state(), tmp_path / "state.pt")
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    for index in range(3, 6):
        second.step(index, index / 6)
    for key, value in whole.result()[0].items():
        torch.testing.assert_close(second.result()[0][key], value, atol=0, rtol=0)


def test_two_seeds_make_two_judges():
    first, second = (
        recipe("attribute-judge", TINY, squares(120), squares(20, "val"), Models(), seed) for seed in (0, 1)
    )
    assert not torch.equal(first.network.heads.weight, second.network.heads.weight)


def test_a_hidden_value_has_no_label_and_no_loss():
    table = pd.DataFrame({"a": ["x", None], "b": ["r", "p"]}, dtype=object)
    labels = encode_labels(Split("d", "s", ["0", "1"], None, [], table), TWO)  # type: ignore[arg-type]
    assert labels.tolist() == [[0, 2], [-1, 0]]
    logits = torch.zeros(2, 5)
    assert float(masked_loss(logits, labels, TWO)) == pytest.approx(math.log(2) + math.log(3))
    logits[1, :2] = torch.tensor([50.0, -50.0])  # the logits of the hidden value
    assert float(masked_loss(logits, labels, TWO)) == pytest.approx(math.log(2) + math.log(3))


def test_labels_that_a_judge_cannot_learn_are_refused():
    table = pd.DataFrame({"a": ["x"], "b": ["s"]}, dtype=object)
    with pytest.raises(UserError, match="b=s is not among the judge's values p, q, r"):
        encode_labels(Split("d", "s", ["0"], None, [], table), TWO)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no attribute 'b'"):
        encode_labels(Split("d", "s", ["0"], None, [], table[["a"]]), TWO)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no attributes"):
        encode_labels(Split("d", "s", ["0"], None, []), TWO)  # type: ignore[arg-type]


def test_bad_recipes_are_one_line():
    with pytest.raises(UserError, match="unknown key 'width', did you mean 'widths'"):
        recipe("attribute-judge", {"width": 3}, squares(10), squares(10), Models(), 0)
    with pytest.raises(UserError, match="has no part 'judge'"):
        recipe("judge", {}, squares(10), squares(10), Models(), 0)
    with pytest.raises(UserError, match="has 10 images, the judge's recipe needs at least 96"):
        recipe("attribute-judge", TINY, squares(10), squares(10), Models(), 0)


def test_the_temperature_undoes_a_scale():
    stream = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 4, generator=stream)
    labels = torch.multinomial(logits.softmax(1), 1, generator=stream)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.03)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3.0, abs=0.09)


def test_a_judge_without_a_mistake_does_not_become_certain():
    labels = torch.arange(1000) % 2
    logits = torch.nn.functional.one_hot(labels, 2).float() * 6  # right a thousand times, each time at 0.9975
    calibrated = (logits / fit_temperature(logits, labels)).softmax(1).amax(1)
    assert float(calibrated[0]) == pytest.approx(
        1001 / 1002, abs=1e-4
    )  # Platt's estimate for 1000 of 1000 and two classes


def test_calibration_error_of_cases_worked_by_hand():
    confidence = torch.tensor([0.6] * 50 + [0.9] * 50)
    correct = torch.tensor([True] * 30 + [False] * 20 + [True] * 45 + [False] * 5)
    assert calibration_error(confidence, correct, bins=2) == pytest.approx(0.0, abs=1e-7)
    assert calibration_error(confidence, torch.ones(100, dtype=torch.bool), bins=2) == pytest.approx((0.4 + 0.1) / 2)
    assert calibration_error(torch.tensor([0.8]), torch.tensor([True])) == pytest.approx(0.2)  # fewer answers than bins


def test_balanced_accuracy_is_the_mean_recall_of_what_occurs():
    labels = torch.tensor([[0, 0], [0, 1], [0, 1], [1, -1]])
    right = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    numbers = report({"a": right, "b": torch.eye(3)[[0, 0, 1, 2]]}, labels, TWO)
    assert numbers["a"]["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert numbers["b"]["n"] == 3
    assert numbers["b"]["recall"] == {"p": 1.0, "q": 0.5}  # nobody can say how well r is recalled
    assert numbers["b"]["balanced_accuracy"] == 0.75


def test_probabilities_are_tempered_per_attribute():
    given = probabilities(torch.tensor([[2.0, 0.0, 2.0, 0.0, 0.0]]), TWO, {"a": 1.0, "b": 2.0})
    assert float(given["a"][0, 0]) == pytest.approx(1 / (1 + math.exp(-2)))
    assert float(given["b"][0, 0]) == pytest.approx(math.e / (math.e + 2))


def test_augmentation_is_a_function_of_its_seed_and_stays_in_range():
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    before = images.clone()
    once, again, other = augment(images, 1), augment(images, 1), augment(images, 2)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(images, before)
    assert once.min() >= -1
    assert once.max() <= 1


def test_augmentation_moves_by_whole_pixels_and_repeats_the_edge():
    images = torch.arange(16.0).expand(1, 3, 16, 16) / 16
    moved = augment(images, 3, shift=2, noise=0, blur=0, jitter=0)[0, 0, 5]
    shift = float(moved[8] - images[0, 0, 5, 8]) * 16
    assert shift in (-2, -1, 0, 1, 2)
    torch.testing.assert_close(moved, (torch.arange(16.0) + shift).clamp(0, 15) / 16)


def test_crops_are_parts_of_their_image_and_the_others_stay():
    images = torch.linspace(0, 1, 32).expand(64, 3, 32, 32)
    seen, chosen = cropped(images, 1, 0.5, least=0.5)
    assert 10 < chosen.sum() < 54
    assert torch.equal(seen[~chosen], images[~chosen])
    span = seen[chosen][:, 0, 0, -1] - seen[chosen][:, 0, 0, 0]
    assert (span > 0.45).all()  # from half of the side
    assert (span < 1).all()
    assert torch.equal(cropped(images, 1, 0.5)[0], seen)


def test_other_colours_keep_the_shapes():
    images = torch.where(torch.arange(16) < 8, -0.5, 0.5).expand(
        64, 3, 16, 16
    )  # grey: any mean of its channels is itself
    seen, chosen = recoloured(images, 1, 0.6)
    assert torch.equal(seen[~chosen], images[~chosen])
    torch.testing.assert_close(seen[chosen].abs(), images[chosen].abs())
    assert (seen[chosen][:, 0, 0, 0] > 0).any()  # negatives


@pytest.fixture(scope="module")
def shipped() -> AttributeJudge:
    return Models().judge("attribute-judge-avatars")


@pytest.mark.parametrize(
    "conditions",
    [
        {"hair": "long", "facial_hair": "beard"},
        {"facial_hair": "beard", "mouth": "sad"},
        {"hair": "bald", "eyewear": "eyepatch", "mouth": "open"},
    ],
    ids=lambda conditions: "+".join(conditions.values()),
)
def test_the_shipped_judge_sees_rare_combinations(shipped: AttributeJudge, conditions: dict[str, str]):
    avatars = plugins.load("datasets", "avatars")
    given = shipped.predict(pixels(avatars.pair_images(avatars.Config(), conditions, 60, 11)))
    for name, value in conditions.items():
        hits = given[name].argmax(1) == shipped.attributes[name].index(value)
        assert float(hits.double().mean()) >= 0.95, (name, value)


def test_the_shipped_card_passes_the_gate():
    validation = weights.load("attribute-judge-avatars").card["validation"]
    assert {
        "hair",
        "skin",
        "hair_colour",
        "facial_hair",
        "eyewear",
        "mouth",
        "eyes",
        "clothing",
        "clothing_colour",
        "background",
    } == validation.keys()
    for name, numbers in validation.items():
        assert numbers["balanced_accuracy"] >= 0.97, name
        assert numbers["ece"] <= 0.05, name


@pytest.mark.slow
@pytest.mark.parametrize("split", ["balanced-test", "test"])
def test_the_shipped_judge_passes_the_gate_on_real_images(shipped: AttributeJudge, split: str):
    avatars = plugins.load("datasets", "avatars")
    data = avatars.load(avatars.Config(), split)
    numbers = report(shipped.predict(pixels(data)), encode_labels(data, shipped.attributes), shipped.attributes)
    if split == "balanced-test":
        found = {name: number["balanced_accuracy"] for name, number in numbers.items()}
        assert found == pytest.approx(
            {n: c["balanced_accuracy"] for n, c in weights.load(shipped.name).card["validation"].items()}, abs=2e-3
        )
    assert min(number["balanced_accuracy"] for number in numbers.values()) >= 0.97
