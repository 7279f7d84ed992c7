"""Composer as a method and as a recipe: images depend on their own request alone, training resumes, tasks are the
paper's.
"""

import dataclasses

import numpy as np
import pytest
import torch
from composer_tiny import TINY, half_split, write_tiny_weights

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.methods.composer import Config, Method, recipe, settings
from t2ibench.methods.composer.loading import load_denoiser
from t2ibench.networks import weights as weight_files
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import fit
from t2ibench.tracks.contract import TextToImage, TextToImageMethod

CONFIG = Config(weights="tiny-composer", upsampler="", prior="", steps=2)
SMALL = {"clip": "clip-guide-avatars", "size": "xs", "batch": 4, "warmup": 1, "learning_rate": 0.003, "ema": 0.5}


@pytest.fixture
def models(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    write_tiny_weights(tmp_path)
    tiny = {field.name: getattr(TINY, field.name) for field in dataclasses.fields(TINY)}
    monkeypatch.setitem(settings.SHAPES, "xs", {**tiny, "max_words": 8})
    return Models()


def requests(count: int) -> list[TextToImage]:
    return [TextToImage(f"a man with {['red', 'blond', 'black'][i % 3]} hair", 1000 + i) for i in range(count)]


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp2m"])
def test_an_image_is_the_same_in_any_batch(models, sampler):
    method = Method(dataclasses.replace(CONFIG, sampler=sampler), models)
    assert isinstance(method, TextToImageMethod)
    whole = method.text_to_image(requests(10))
    assert (whole.shape, whole.dtype) == ((10, 3, 16, 16), torch.uint8)
    assert torch.equal(method.text_to_image(requests(10)), whole)
    backward = method.text_to_image(requests(10)[::-1]).flip(0)
    torch.testing.assert_close(whole, backward, atol=1, rtol=0)  # one grey level of rounding
    torch.testing.assert_close(whole[9:], method.text_to_image(requests(10)[9:]), atol=1, rtol=0)


def test_both_the_prompt_and_the_seed_change_the_image(models):
    method = Method(CONFIG, models)
    asked = [TextToImage("a man", 1), TextToImage("a woman with long red hair", 1), TextToImage("a man", 2)]
    same, text, seed = method.text_to_image(asked).int()
    assert (same - text).abs().max() > 1
    assert (same - seed).abs().float().mean() > 5


def test_the_models_say_what_was_used_and_trained_on(models):
    method = Method(CONFIG, models)
    assert set(models.used) == {"tiny-composer", "clip-guide-avatars"}
    assert method.trained_on == ["halves train"]
    with pytest.raises(ValueError, match="at least one request"):
        method.text_to_image([])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 0}, "steps is 0, expected 1 to 1000"),
        ({"upsampler_steps": 1001}, "upsampler_steps is 1001, expected 1 to 1000"),
        ({"prior_candidates": 0}, "prior_candidates is 0, expected at least 1"),
        ({"inversion_steps": 0}, "inversion_steps is 0, expected 1 to 1000"),
        ({"inversion_iterations": 0}, "inversion_iterations is 0, expected at least 1"),
        ({"threshold": 1.0}, "threshold is 1.0, expected 0 to 1, without 1"),
        ({"renoise": 1.5}, "renoise is 1.5, expected 0 to 1"),
    ],
)
def test_settings_out_of_range_are_one_line(given, says):
    with pytest.raises(UserError, match=f"composer: {says}"):
        Config(**given)


def test_weights_that_do_not_fit_their_card_are_one_line(models):
    weights = models.weights("tiny-composer")
    wrong = {**weights.config, "local_hidden": 5}
    with pytest.raises(
        UserError, match=r"tiny-composer: weights do not fit the config of their card .*: train or fetch them again"
    ):
        load_denoiser(weight_files.Weights("tiny-composer", weights.tensors, wrong, weights.card, weights.sha256))


def training(models, **given):
    return recipe("composer", {**SMALL, **given}, half_split(), half_split(4, "val"), models, seed=0)


def test_a_stopped_training_goes_on_as_if_it_had_not(models):
    whole = training(models, phase1_frac=0.5)
    [whole.step(i, i / 4) for i in range(4)]
    first = training(models, phase1_frac=0.5)
    [first.step(i, i / 4) for i in range(2)]
    second = training(models, phase1_frac=0.5)
    second.load_state(first.state())
    [second.step(i, i / 4) for i in range(2, 4)]
    torch.testing.assert_close(second.result()[0], whole.result()[0], atol=1e-6, rtol=1e-5)


def test_the_averaged_weights_start_as_the_weights_and_follow_them_at_decay_0(models):
    made = training(models, ema=0.0)
    for index in range(2):
        torch.testing.assert_close(made.averaged().state_dict(), made.model.state_dict(), atol=0, rtol=0)
        made.step(index, 0.9)


def test_the_first_phase_sees_the_image_embedding_alone(models):
    made = training(models, phase1_frac=0.5)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    [made.step(index, 0.0) for index in range(3)]
    moved = {name for name, value in made.model.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("conditioner.vectors.E") for name in moved)
    assert not any(
        name.startswith(("conditioner.vectors.T", "conditioner.maps", "conditioner.words")) for name in moved
    )
    [made.step(index, 0.5) for index in range(3, 9)]
    assert not torch.equal(
        made.model.state_dict()["conditioner.maps.S.0.weight"], before["conditioner.maps.S.0.weight"]
    )


def test_training_lowers_the_loss_and_writes_weights_that_draw(models, tmp_path):
    made = training(models, phase1_frac=0.0)
    before = made.validate()
    assert before["loss_all"] == pytest.approx(1, abs=0.1)
    fit(made, "trained", tmp_path, steps=40)
    card = weight_files.load("trained").card
    assert card["validation"]["loss_all"] < 0.7 * before["loss_all"]
    assert card["data"]["dataset"] == "halves"
    assert card["recipe"]["extractors"]["G"] == "parts"
    assert made.preview().shape == (16, 3, 16, 16)
    assert Method(Config(weights="trained", upsampler="", prior="", steps=2), models).text_to_image(
        requests(1)
    ).shape == (1, 3, 16, 16)


def test_a_training_begins_with_given_weights_and_says_what_they_had_seen(models, tmp_path):
    fit(training(models), "first", tmp_path, steps=1)
    again = training(models, start="first")
    for network in (again.model, again.averaged()):
        torch.testing.assert_close(dict(network.state_dict()), dict(weight_files.load("first").tensors), atol=0, rtol=0)
    assert again.settings["start_sha256"] == weight_files.load("first").sha256
    assert again.facts["before"] == ["halves train"]
    again.begins_with = dataclasses.replace(
        again.begins_with, card={"data": {"dataset": "photos", "train": "all"}, "before": ["halves train"]}
    )
    fit(again, "second", tmp_path, steps=1)
    made = Method(dataclasses.replace(CONFIG, weights="second"), models)
    assert made.trained_on == ["halves train", "photos all"]
    settings.SHAPES["xs"]["local_hidden"] = 5
    with pytest.raises(UserError, match=r"first: not weights of this shape .*: name others as start"):
        training(models, start="first")


def test_a_batch_depends_on_its_step_alone(models):
    made = training(models)
    rows = np.arange(4)
    (x, first), (same, again), (_, other) = (
        made.batch(rows, 5, False),
        made.batch(rows, 5, False),
        made.batch(rows, 6, False),
    )
    assert torch.equal(x, same)
    assert torch.equal(first.present, again.present)
    assert all(torch.equal(value, again.values[name]) for name, value in first.values.items())
    assert not torch.equal(first.values["M"], other.values["M"])


def test_settings_of_a_training_that_cannot_be_are_one_line(models):
    with pytest.raises(UserError, match="images is 99, but halves train has 12"):
        training(models, images=99)
    with pytest.raises(UserError, match="composer composer: unknown key 'btach', did you mean 'batch'"):
        training(models, btach=1)
    with pytest.raises(UserError, match="composer has no part 'priors', did you mean 'prior'"):
        recipe("priors", {}, half_split(), half_split(), models, 0)


def test_the_method_is_listed_with_its_variant():
    assert plugins.method_ids()["composer"] == ("composer", {})
    assert plugins.paper("composer")["citation"]["arxiv"] == "2302.09778"
