"""Training of StyleGAN2: both discriminators, their regularisers in closed form, augmentation, resumption, and what is
refused.
"""

import numpy as np
import pytest
import torch
from clip_tiny import tiny_weights
from gan_cls_data import Pixels, colour_split
from torch import nn

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2.discriminator import Discriminator, spread
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.projected import ProjectedDiscriminator, deceive, hinge
from t2ibench.networks.training import loop
from t2ibench.networks.training.stylegan2 import (
    StyleGAN2Recipe,
    adversarial,
    disturb,
    gradient_penalty,
    path_lengths,
    recipe,
)

SMALL: dict[str, object] = {
    "clip": "clip-guide-avatars",
    "z_dim": 8,
    "w_dim": 8,
    "mapping_layers": 2,
    "channel_base": 256,
    "channel_max": 8,
    "batch": 4,
    "head_width": 4,
    "bfloat16": False,
}


@pytest.fixture
def models() -> Models:
    models = Models()
    models._clips["clip-guide-avatars"] = Clip.from_zoo(tiny_weights())
    return models


def made(models: Models, **given: object) -> StyleGAN2Recipe:
    trained = recipe("stylegan2", {**SMALL, **given}, colour_split(12), colour_split(4, "val"), models, seed=0)
    assert isinstance(trained, StyleGAN2Recipe)
    return trained


@pytest.mark.parametrize(
    "given",
    [
        {"r1_every": 2},
        {"discriminator": "projected"},
        {"discriminator": "stylegan2", "loss": "logistic", "r1_every": 2, "path_length": 2.0, "path_every": 2},
    ],
    ids=["small", "projected", "own"],
)
def test_a_run_stopped_after_one_of_three_steps_ends_as_one_that_was_not(given, models, tmp_path):
    def fit(out: str, steps: int) -> dict[str, torch.Tensor]:
        return dict(loop.fit(made(models, **given), "net", tmp_path / out, steps=steps).tensors)

    whole = fit("whole", 3)
    fit("stopped", 1)
    resumed = fit("stopped", 3)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_step_moves_generator_and_discriminator_but_not_the_frozen_tower(models):
    trained, tower = made(models, discriminator="projected"), models.clip("clip-guide-avatars").model
    before = {
        name: [p.clone() for p in net.parameters()]
        for name, net in (("g", trained.generator), ("d", trained.discriminator), ("t", tower))
    }
    statistics = [b.clone() for b in tower.buffers()]
    trained.step(0, 0.0)
    changed = {
        name: any(not torch.equal(old, new) for old, new in zip(before[name], net.parameters(), strict=True))
        for name, net in (("g", trained.generator), ("d", trained.discriminator), ("t", tower))
    }
    assert changed == {"g": True, "d": True, "t": False}
    assert all(torch.equal(old, new) for old, new in zip(statistics, tower.buffers(), strict=True))
    assert all(parameter.grad is None for parameter in tower.parameters())


def test_the_running_mean_of_w_moves_towards_the_w_of_the_step(models):
    trained = made(models)
    trained.step(0, 0.0)
    mean = trained.generator.mapping.w_avg
    assert mean.abs().max() > 0
    torch.testing.assert_close(trained.averaged.mapping.w_avg, mean)


def test_hinge_losses_by_hand():
    real, fake = [torch.tensor([2.0, 0.5]), torch.tensor([0.0])], [torch.tensor([-3.0, 0.0]), torch.tensor([1.0])]
    assert hinge(real, fake).item() == pytest.approx((0.25 + 0.5 + 1 + 2) / 2)
    assert deceive(fake).item() == pytest.approx(-(-1.5 + 1.0) / 2)


def test_r1_of_a_linear_discriminator_is_the_squared_norm_of_its_weights():
    weights = torch.arange(12.0).view(1, 3, 2, 2)

    class Linear(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images * weights).sum(dim=(1, 2, 3))

    assert gradient_penalty(Linear(), torch.randn(5, 3, 2, 2)).item() == pytest.approx(float(weights.square().sum()))


def test_path_length_of_a_linear_generator_by_hand():
    w_plus = torch.ones(2, 4, 1, requires_grad=True)  # every row moves all 3 * 2 * 2 colours alike
    images = w_plus.sum(dim=1).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    directions = torch.full((2, 3, 2, 2), 0.5)
    expected = 12 * 0.5 / (2 * 2) ** 0.5  # each row's derivative, and so the root of the mean of their squares
    torch.testing.assert_close(path_lengths(images, w_plus, directions), torch.full((2,), expected))


def test_equal_images_have_no_spread_and_groups_are_strided():
    x = torch.zeros(8, 2, 4, 4)
    assert spread(x)[:, 2].abs().max() < 2e-4
    x[0::2] = torch.arange(4.0)[:, None, None, None] * 10  # samples 0, 2, 4, 6 form one group, 1, 3, 5, 7 another
    found = spread(x)[:, 2, 0, 0]
    expected = torch.tensor([0.0, 10.0, 20.0, 30.0]).std(unbiased=False)
    torch.testing.assert_close(found[0::2], expected.expand(4))
    assert found[1::2].abs().max() < 2e-4


def test_the_papers_discriminator_gives_one_logit_an_image():
    assert Discriminator(Config(resolution=32, channel_base=128, channel_max=8))(torch.zeros(4, 3, 32, 32)).shape == (
        4,
    )


def test_only_the_heads_of_a_projected_discriminator_are_trained_and_saved():
    projected = ProjectedDiscriminator(Clip.from_zoo(tiny_weights()), 64, width=4)
    assert {key.split(".")[0] for key in projected.state_dict()} == {"heads"}
    assert {name.split(".")[0] for name, _ in projected.named_parameters()} == {"heads"}
    features = projected.features(torch.zeros(2, 3, 64, 64))
    assert [tuple(x.shape[2:]) for x in features] == [
        (64, 64),
        (16, 16),
        (8, 8),
        (4, 4),
        (2, 2),
        (1, 1),
    ]  # the tower of 32 pixels
    assert all(len(map_) == 2 and map_.shape[1] == 1 for map_ in projected.logits(features))


def test_augmentation_is_a_function_of_its_stream_and_lets_gradients_through():
    images = torch.rand(3, 3, 16, 16, requires_grad=True)
    first, again, other = (disturb(images, torch.Generator().manual_seed(seed), True, 2) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    [gradient] = torch.autograd.grad(first.sum(), images)
    assert (gradient != 0).float().mean() > 0.5


def test_augmentation_shifts_by_at_most_its_reach():
    image = torch.zeros(64, 3, 16, 16)
    image[:, :, 8, 8] = 1e4  # far above what colour changes add
    rows, columns = (
        disturb(image, torch.Generator().manual_seed(0), True, 2).mean(1).flatten(1).argmax(1) // 16,
        disturb(image, torch.Generator().manual_seed(0), True, 2).mean(1).flatten(1).argmax(1) % 16,
    )
    assert set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}


def test_what_cannot_be_trained_is_refused(models):
    with pytest.raises(UserError, match=r"no part 'stylegan'.*stylegan2"):
        recipe("stylegan", {}, colour_split(), colour_split(), models, 0)
    with pytest.raises(UserError, match="has 12 images, a batch is 32: lower `batch`"):
        recipe("stylegan2", {}, colour_split(12), colour_split(), models, 0)
    wide = Split("wide", "train", ["0"], Pixels(np.zeros((1, 3, 32, 64), np.uint8)), [("a",)])
    with pytest.raises(UserError, match="images of 64x32 pixels, StyleGAN2 makes squares"):
        recipe("stylegan2", {"batch": 1}, wide, wide, models, 0)


def test_each_entry_of_a_weight_moves_against_its_own_gradient(models):
    """Adam's first step is the rate times the gradient's sign.

    Convolutions give gradients laid out otherwise than their weights.
    """
    trained = made(models)
    weight = next(p for p in trained.discriminator.parameters() if p.ndim == 4)
    before = weight.detach().clone()
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )
    weight.grad = direction.clone()
    trained.optimise_d.step()
    torch.testing.assert_close((weight - before).sign(), -direction.sign())


@pytest.mark.parametrize(("relativistic", "expected"), [(False, 0.126928 + 0.048587), (True, 0.006715)])
def test_losses_of_a_pair_of_logits_by_hand(relativistic, expected):
    """softplus(-2) + softplus(-3), and softplus(-3 - 2)."""
    assert adversarial(torch.tensor([2.0]), torch.tensor([-3.0]), relativistic).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_a_training_may_begin_with_the_logistic_loss_and_its_own_penalty(models):
    """The penalty of step 0 is R1 alone, and R1 and R2 together without the first phase; gamma is not in it."""
    phased, plain = (made(models, logistic_steps=steps, logistic_r1_every=3, r1_every=2) for steps in (4, 0))
    assert phased.step(0, 0.0)["penalty"] < plain.step(0, 0.0)["penalty"]
    assert ["penalty" in phased.step(index, 0.0) for index in range(1, 7)] == [False, False, True, True, False, True]


def test_learning_rates_fall_to_nothing_after_the_named_share_of_the_budget(models):
    trained = made(models, decay_from=0.5)
    rates = []
    for index, progress in enumerate((0.0, 0.5, 0.75, 0.9)):
        trained.step(index, progress)
        rates.append([of.param_groups[0]["lr"] for of in (trained.optimise_g, trained.optimise_d)])
    full = [0.002, 0.0004]  # of the generator and of the small discriminator
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([1.0, 1.0, 0.5, 0.2])[:, None] * torch.tensor([full]))


def test_noise_hides_real_and_generated_images_from_the_discriminator_alone(models):
    plain, noisy = made(models), made(models, instance_noise=0.1)
    seen: dict[str, list[torch.Tensor]] = {"plain": [], "noisy": []}
    for name, trained in (("plain", plain), ("noisy", noisy)):
        trained.discriminator.register_forward_pre_hook(
            lambda _, given, name=name: seen[name].append(given[0].detach())
        )
        trained.step(1, 0.0)  # without a penalty
    fake, real = (b - a for a, b in zip(seen["plain"][:2], seen["noisy"][:2], strict=True))
    assert [float(fake.std()), float(real.std())] == pytest.approx([0.1, 0.1], rel=0.05)
    assert abs(float((fake * real).mean())) < 1e-3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay_from": 1.5}, "decay_from is 1.5, expected 0 to 1"),
        ({"instance_noise": -0.1}, "instance_noise is -0.1, expected at least 0"),
        ({"instance_noise": 0.1, "discriminator": "projected"}, "the projected discriminator sees no instance_noise"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(given, message, models):
    with pytest.raises(UserError, match=message):
        made(models, **given)
