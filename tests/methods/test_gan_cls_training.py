"""Training of the GAN-CLS family: schedules, update order, resumption, batch statistics, and what each switch
changes.
"""

import copy
import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gan_cls_data import TINY, colour_split, tiny_encoder
from torch import nn

from t2ibench.core import plugins
from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.methods.gan_cls.networks import Discriminator, Generator
from t2ibench.methods.gan_cls.settings import EMBEDDED, VARIANTS, GanSettings, StyleSettings, TextSettings, choose
from t2ibench.methods.gan_cls.train import PARTS, _fixed_features, recipe
from t2ibench.methods.gan_cls.train_gan import (
    GanRecipe,
    average,
    estimate_statistics,
    gradient_penalty,
    learning_rate,
    update,
)
from t2ibench.networks.models import Models
from t2ibench.networks.training import loop

SMALL = {"nz": 4, "nt": 3, "ngf": 2, "ndf": 2, "batch": 4, "captions": 1}


def gan(variant: str = "gan-int-cls", preset: str = "reference", **given: object) -> Any:
    settings = choose(GanSettings, VARIANTS[variant], {"preset": preset, **SMALL, **given}, "test")
    return GanRecipe(
        settings,
        colour_split(),
        colour_split(8, "val"),
        tiny_encoder(),
        None,
        torch.device("cpu"),
        seed=0,
        cache=home(),
    )


@pytest.mark.parametrize(
    ("epoch", "rate"), [(1, 2e-4), (99, 2e-4), (100, 1e-4), (199, 1e-4), (200, 5e-5), (600, 3.125e-6)]
)
def test_the_learning_rate_is_halved_at_the_start_of_every_hundredth_epoch(epoch, rate):
    assert learning_rate(GanSettings(), epoch - 1) == pytest.approx(rate)


def test_epochs_are_counted_in_steps_or_are_shares_of_the_budget():
    by_steps = gan(decay_every=2)  # 24 images in batches of 4: six steps an epoch
    by_budget = gan(decay_every=2, schedule="progress", epochs=4)
    rates: dict[str, list[float]] = {"steps": [], "budget": []}
    for index, progress in ((0, 0.0), (5, 0.249), (6, 0.25), (17, 0.74), (18, 0.75)):
        for name, trained in (("steps", by_steps), ("budget", by_budget)):
            trained.step(index, progress)
            rates[name].append(trained.optimise_d.param_groups[0]["lr"])
    assert rates["steps"] == rates["budget"] == [2e-4, 2e-4, 1e-4, 1e-4, 5e-5]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_stopped_after_three_of_five_steps_ends_as_one_that_was_not(variant, tmp_path):
    def fit(out: str, steps: int) -> dict[str, torch.Tensor]:
        return dict(loop.fit(gan(variant, ema=0.9, precision="bfloat16"), "net", tmp_path / out, steps=steps).tensors)

    whole = fit("whole", 5)
    fit("stopped", 3)
    resumed = fit("stopped", 5)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_image_side_of_a_clip_is_what_it_sees_in_each_image():
    """Its preprocessing wants 8 bits or floats in [-1, 1]; bytes taken for floats made all images equal."""
    split, models = colour_split(8), Models()
    clip = models.clip("clip-guide-avatars")
    fixed = _fixed_features(clip.name, split, colour_split(4, "val"), models)
    assert fixed is not None
    torch.testing.assert_close(fixed[0], clip.encode_images(torch.from_numpy(split.images.read(range(8)))))
    assert float(fixed[0][0] @ fixed[0][1]) < 0.95  # red and green


@pytest.mark.parametrize(("steps", "batches"), [(1, 8), (9, 9), (200, 200), (5000, 200)])
def test_statistics_are_taken_once_and_of_as_many_batches_as_there_were_steps(steps, batches, monkeypatch):
    made, asked = gan(), list[int]()
    plain = type(made).sampling_generator

    def counted(self: GanRecipe, batches: int) -> Generator:
        asked.append(batches)
        return plain(self, min(batches, 2))

    monkeypatch.setattr(GanRecipe, "sampling_generator", counted)
    made.steps = steps
    tensors, _ = made.result()
    made.validate()
    assert asked == [batches]  # the weights and their validation share them
    assert tensors.keys() == made.generator.state_dict().keys()
    resumed = gan()
    resumed.load_state(made.state())
    assert resumed.steps == steps
    made.step(steps, 0.0)
    made.result()
    assert len(asked) == 2  # other weights, other statistics


@pytest.mark.parametrize("mismatch", ["wrong-image", "wrong-text"])
def test_noise_on_what_the_discriminator_sees_is_of_its_size_fresh_and_no_part_of_what_is_drawn(mismatch):
    plain, noisy = gan(mismatch=mismatch), gan(mismatch=mismatch, instance_noise=0.1)
    seen: list[torch.Tensor] = []
    noisy.discriminator.trunk.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    clean: list[torch.Tensor] = []
    plain.discriminator.trunk.register_forward_pre_hook(lambda _, given: clean.append(given[0].detach()))
    losses = [trained.step(1, 0.0) for trained in (plain, noisy)]
    assert losses[0] != losses[1]
    noises = [a - b for a, b in zip(seen[:-1], clean[:-1], strict=True)]  # before the first update of a network
    assert [float(noise.std()) for noise in noises] == pytest.approx([0.1] * len(noises), rel=0.05)
    assert all(abs(float((a * b).mean())) < 1e-3 for a, b in pairwise(noises))
    assert noisy.noisy(clean[0], 1, "x") is not clean[0]
    assert plain.noisy(clean[0], 1, "x") is clean[0]


def test_noise_ends_where_it_is_said_to():
    plain, noisy, ends = gan(), gan(instance_noise=0.1), gan(instance_noise=0.1, noise_until=0.8)
    before = [trained.step(1, 0.79) for trained in (plain, noisy, ends)]
    assert before[1] == before[2] != before[0]
    assert gan(instance_noise=0.1, noise_until=0.8).step(1, 0.8) == gan().step(1, 0.8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mismatch_of": 0}, "mismatch_of is 0, expected at least 1"),
        ({"mismatch_of": 4, "cls_weight": 0.0}, "mismatch_of is 4, but without cls_weight no mismatch is looked at"),
        ({"instance_noise": -0.1}, "instance_noise is -0.1, expected at least 0"),
        ({"instance_noise": 0.1, "noise_until": 0.0}, "noise_until is 0.0, expected 0 to 1, without 0"),
        ({"noise_until": 0.8}, "noise_until is for instance_noise, which is 0"),
    ],
)
def test_settings_of_a_training_that_cannot_be_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        GanSettings(**given)


def test_two_runs_have_bit_identical_losses():
    runs = [[trained.step(i, 0.0) for i in range(5)] for trained in (gan(), gan())]
    assert runs[0] == runs[1]


def test_training_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    gan().step(0, 0.0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_each_step_updates_one_network_and_leaves_no_gradient_on_the_other():
    trained = gan("gan-cls", conv_bias=False)
    batch = trained.sampler.draw(0)
    before = copy.deepcopy(trained.state())
    loss = trained.discriminator_loss(batch.real, batch.wrong, batch.text, batch.wrong_text, seed=1)
    update(trained.optimise_d, loss, trained.discriminator)
    assert parameters_equal(trained.generator, before["generator"])
    assert all(p.grad is None for p in trained.generator.parameters())
    after_d = copy.deepcopy(trained.discriminator.state_dict())
    assert not parameters_equal(trained.discriminator, before["discriminator"])
    for parameter in trained.discriminator.parameters():
        parameter.grad = None
    update(trained.optimise_g, trained.generator_loss(batch.text, seed=2), trained.generator)
    assert parameters_equal(trained.discriminator, after_d)
    assert all(p.grad is None for p in trained.discriminator.parameters())
    assert not parameters_equal(trained.generator, before["generator"])


def parameters_equal(network: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in network.named_parameters())


def test_batch_norm_sees_two_batches_an_iteration_in_g_and_one_a_pass_in_d():
    trained = gan()
    trained.step(0, 0.0)
    assert trained.generator.image[1].num_batches_tracked == 2
    assert trained.discriminator.trunk[3].num_batches_tracked == 4  # real, wrong, fake, and in the step of G


@pytest.mark.parametrize(
    ("variant", "strict", "texts"), [("gan-cls", False, 4), ("gan-cls", True, 6), ("gan-int", False, 6)]
)
def test_interpolants_are_drawn_where_they_count_or_where_the_released_code_is_followed(variant, strict, texts):
    trained, seen = gan(variant, strict_official=strict), []
    trained.generator.register_forward_hook(lambda module, given, output: seen.append(len(output)))
    trained.generator_loss(trained.sampler.draw_text(0), seed=0)
    assert seen == [texts]


def test_strict_mode_without_weight_is_two_thirds_of_the_plain_loss_for_equal_scores():
    trained = {strict: gan("gan-cls", strict_official=strict) for strict in (False, True)}
    for one in trained.values():
        one.discriminator.joint[3].weight.data.zero_()  # every score is 1/2
    text = trained[True].sampler.draw_text(0)
    losses = {strict: one.generator_loss(text, seed=0).item() for strict, one in trained.items()}
    assert losses[False] == pytest.approx(0.693147, abs=1e-6)
    assert losses[True] == pytest.approx(0.462098, abs=1e-6)


def test_conv_biases_are_zero_in_every_forward_pass_of_training():
    trained, seen = gan(), []

    def note(module: Any, given: object) -> None:
        seen.append(module.bias.abs().max().item())

    for network in (trained.generator, trained.discriminator):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_pre_hook(note)
    for index in range(2):
        trained.step(index, 0.0)
    assert max(seen) == 0
    assert trained.generator.image[0].bias.abs().max() > 0  # one Adam step old


def test_a_wrong_text_and_a_wrong_image_are_both_ways_to_mismatch():
    image, text = gan("gan-cls"), gan("gan-cls", mismatch="wrong-text")
    assert image.sampler.wrong_images
    assert not text.sampler.wrong_images
    batch = text.sampler.draw(0)
    assert batch.wrong is None
    assert torch.isfinite(text.discriminator_loss(batch.real, None, batch.text, batch.wrong_text, seed=0))


def test_the_gradient_penalty_is_half_the_squared_norm():
    class Linear(Discriminator):
        def __init__(self) -> None:
            nn.Module.__init__(self)

        def logits(self, images: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            return 3 * images.flatten(1).sum(dim=1) + text.sum(dim=1)

    penalty = gradient_penalty(Linear(), torch.randn(4, 3, 2, 2), torch.randn(4, 5))
    assert penalty.item() == pytest.approx(9 * 12 / 2)


def test_the_penalty_comes_every_r1_every_steps():
    trained = gan(r1=0.5, r1_every=2)
    passes: list[int] = []
    trained.discriminator.trunk.register_forward_hook(lambda module, given, output: passes.append(len(output)))
    counts = []
    for index in range(4):
        trained.step(index, 0.0)
        counts.append(len(passes))
        passes.clear()
    assert counts == [5, 4, 5, 4]  # real, wrong, fake, the step of G; and the penalty


def test_averaging_follows_its_decay():
    a, b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    a.weight.data.fill_(1.0)
    b.weight.data.fill_(3.0)
    average(a, b, 0.75)
    assert a.weight.item() == pytest.approx(1.5)


def test_estimated_statistics_make_evaluation_images_those_of_training():
    generator = Generator(dataclasses.replace(TINY, ngf=8))
    text, z = torch.randn(512, 5), torch.randn(512, 4)
    in_training = generator.train()(z, text)
    estimated = estimate_statistics(copy.deepcopy(generator), [(z, text)])
    assert not estimated.training
    # a batch is normalised by its biased variance, the running one is unbiased: n / (n - 1) of one percent at most
    torch.testing.assert_close(estimated(z, text), in_training, atol=2e-3, rtol=0)
    untouched = generator.eval()(z, text)
    assert (untouched - in_training).abs().max() > 0.01


@pytest.mark.parametrize(("variant", "reads_text"), [("gan", False), ("gan-cls", True)])
def test_only_a_cls_discriminator_learns_to_tell_matching_texts_from_others(variant, reads_text):
    trained = gan(variant, ndf=4, batch=16, learning_rate=2e-3)
    colours = torch.eye(5)[:4]  # red, green, blue, white in turn
    trained.sampler.embeddings = colours.repeat(6, 1)[:, None].expand(24, 2, 5)
    for index in range(60):
        trained.step(index, 0.0)
    batch = trained.sampler.draw(0)
    with torch.no_grad():
        match, other = (
            trained.discriminator.logits(batch.real, text).mean() for text in (batch.text, batch.wrong_text)
        )
    assert (match - other > 2) == reads_text


def test_validation_measures_change_with_noise_and_with_text():
    trained = gan()
    numbers = trained.validate()
    assert numbers["images"] == 8
    assert numbers["change_with_noise"] > 0
    assert trained.preview().shape == (64, 3, 64, 64)


def test_the_presets_of_the_paper_are_the_published_ones():
    published = plugins.paper("gan_cls")["trainings"]
    assert {
        name: {k: v for k, v in row.items() if k.endswith("weight")}
        for name, row in published.items()
        if name in VARIANTS
    } == VARIANTS
    coco = choose(GanSettings, {}, published["gan-cls-coco"], "test")
    assert (coco.ngf, coco.captions, coco.replace, coco.third_act, coco.decay_every) == (196, 3, False, True, 40)
    paper = choose(GanSettings, {}, {}, "test")
    assert (paper.batch, paper.captions, paper.augment, paper.ema, paper.mismatch) == (
        64,
        4,
        "reference",
        0.0,
        "wrong-image",
    )


@pytest.mark.parametrize("cls", [GanSettings, TextSettings, StyleSettings])
def test_embedded_settings_are_known_and_used_for_avatars(cls):
    chosen = choose(cls, {}, {"preset": "embedded"}, "test")
    assert {key: getattr(chosen, key) for key in EMBEDDED[cls]} == EMBEDDED[cls]
    assert choose(cls, {}, {"preset": "reference"}, "test") == cls()
    paper = choose(cls, {}, {"preset": "paper"}, "test")
    assert paper == (cls(mismatch="wrong-text") if cls is GanSettings else cls())


@pytest.mark.parametrize(
    ("variant", "given", "left_out"),
    [("gan", {}, "mismatch_of"), ("gan-int", {}, "mismatch_of"), ("gan-cls", {"instance_noise": 0.0}, "noise_until")],
)
def test_an_embedded_setting_without_effect_is_left_out(variant, given, left_out):
    chosen = choose(GanSettings, VARIANTS[variant], {"preset": "embedded", **given}, "test")
    kept = EMBEDDED[GanSettings].keys() - {left_out, *given}
    assert getattr(chosen, left_out) == getattr(GanSettings, left_out) != EMBEDDED[GanSettings][left_out]
    assert all(getattr(chosen, key) == EMBEDDED[GanSettings][key] for key in kept)


def test_unknown_parts_presets_and_keys_are_one_line():
    with pytest.raises(UserError, match="gan_cls has no part 'gan-sls', did you mean 'gan-cls'"):
        recipe("gan-sls", {}, colour_split(), colour_split(), Models(), 0)
    with pytest.raises(UserError, match="gan_cls gan: preset is 'big', expected 'embedded' or 'reference' or 'paper'"):
        recipe("gan", {"preset": "big"}, colour_split(), colour_split(), Models(), 0)
    with pytest.raises(UserError, match="gan_cls gan: unknown key 'bach', did you mean 'batch'"):
        recipe("gan", {"bach": 3}, colour_split(), colour_split(), Models(), 0)
    assert PARTS == ("text-encoder", "gan", "gan-cls", "gan-int", "gan-int-cls", "style-encoder")


def test_uniform_noise_lies_in_its_range():
    noise = gan(noise="uniform").noise(0, 1000)
    assert noise.abs().max() < 1
    assert noise.std().item() == pytest.approx(np.sqrt(1 / 3), rel=0.03)
