"""Composer's drawing: two sets of conditions, regions that stay, inversion and the way back, what lies between two
images.
"""

import dataclasses
from typing import Any

import pytest
import torch
from composer_tiny import conditions, denoiser, write_tiny_weights

from t2ibench.core.errors import UserError
from t2ibench.methods.composer.conditions import LETTERS, Conditions, between, chosen, slerp
from t2ibench.methods.composer.diffusion import alphas_bar
from t2ibench.methods.composer.loading import load_drawing
from t2ibench.methods.composer.network import Denoiser
from t2ibench.methods.composer.prior import Prior
from t2ibench.methods.composer.sampling import Drawing, leak, put_back, renoised
from t2ibench.methods.composer.settings import Config, PriorShape, UpsamplerShape
from t2ibench.methods.composer.upsampler import Upsampler
from t2ibench.networks import weights
from t2ibench.networks.models import Models

CONFIG = Config(steps=3)


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    return Drawing(denoiser(), CONFIG)


def noise(count: int = 2, seed: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def lower_half(count: int = 2) -> torch.Tensor:
    """k: the lower half of the image is known."""
    k = torch.zeros(count, 1, 16, 16)
    k[:, :, 8:] = 1
    return k


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp2m"])
def test_both_sets_of_conditions_and_the_noise_decide_an_image(sampler):
    drawing, given = Drawing(denoiser(), Config(steps=3, sampler=sampler)), conditions()
    made = drawing.sample(noise(), given.only(""), given.only("T"), 2.0)
    assert torch.equal(drawing.sample(noise(), given.only(""), given.only("T"), 2.0), made)
    assert (drawing.sample(noise(), given.only("S"), given.only("T"), 2.0) - made).abs().max() > 1e-4
    assert (drawing.sample(noise(), given.only(""), given.only("TS"), 2.0) - made).abs().max() > 1e-4
    assert (drawing.sample(noise(seed=4), given.only(""), given.only("T"), 2.0) - made).abs().max() > 1e-4


def test_the_two_sets_may_have_values_of_their_own(drawing):
    one, other = conditions(), conditions(seed=1)
    made = drawing.sample(noise(), one, other, 2.0)
    assert (drawing.sample(noise(), other, other, 2.0) - made).abs().max() > 1e-4
    assert torch.equal(
        drawing.sample(noise(), one, other, 1.0), drawing.sample(noise(), other, other, 1.0)
    )  # w = 1: c2 alone


def test_an_image_does_not_depend_on_its_neighbours(drawing):
    given, x = conditions(10), noise(10)
    whole = drawing.sample(x, given.only("SD"), given, 2.0)
    for row in (0, 7, 9):
        index = torch.tensor([row])
        alone = drawing.sample(x[index], given.rows(index).only("SD"), given.rows(index), 2.0)
        torch.testing.assert_close(alone, whole[index], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp2m"])
def test_known_pixels_are_those_of_the_source_bit_for_bit(sampler):
    drawing, given, source = Drawing(denoiser(), Config(steps=3, sampler=sampler)), conditions(), noise(seed=5).tanh()
    made = drawing.sample(noise(), given.only(""), given, 1.0, (source, lower_half()))
    free = drawing.sample(noise(), given.only(""), given, 1.0)
    assert torch.equal(made[:, :, 8:], source[:, :, 8:])
    assert (made[:, :, :8] - source[:, :, :8]).abs().mean() > 0.01
    assert (made[:, :, :8] - free[:, :, :8]).abs().max() > 1e-4  # the hole is drawn beside what is known


def test_with_everything_known_the_source_comes_back_and_with_nothing_a_plain_sample(drawing):
    given, source = conditions(), noise(seed=5)
    everything = (source, torch.ones(2, 1, 16, 16))
    assert torch.equal(drawing.sample(noise(), given.only(""), given, 2.0, everything), source)
    nothing = (source, torch.zeros(2, 1, 16, 16))
    plain = drawing.sample(noise(), given.only(""), given, 2.0)
    assert torch.equal(drawing.sample(noise(), given.only(""), given, 2.0, nothing), plain)


def test_the_leak_is_what_known_pixels_moved_before_they_were_put_back(drawing):
    source, k = torch.zeros(3, 3, 16, 16), lower_half(3)
    k[2] = 0
    images = source.clone()
    images[0, :, 8:] = 0.5
    images[1, :, :8] = 9
    assert leak(images, (source, k)).tolist() == pytest.approx([0.5, 0, 0])
    assert torch.equal(put_back(images, (source, k))[:, :, 8:], source[:, :, 8:])
    given, known = conditions(), (noise(seed=5), lower_half())
    assert (leak(drawing.uncomposited(noise(), given.only(""), given, 1.0, known), known) > 1e-3).all()


class Gaussian:
    """A denoiser that is right: images of a set of conditions are N(mean of E, 0.5^2) in every pixel."""

    guided = Denoiser.guided

    def conditioner(self, given: Conditions) -> torch.Tensor:
        return given.values["E"].mean(1)

    def predict(self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        abar, mean = alphas_bar()[t].view(-1, 1, 1, 1), context.view(-1, 1, 1, 1)
        return (1 - abar).sqrt() * (x - abar.sqrt() * mean) / (abar * 0.25 + 1 - abar)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_reconfiguration_moves_an_image_as_its_distribution_moves(scale):
    model: Any = Gaussian()
    one, other = (Conditions({"E": torch.full((2, 6), mean)}, chosen("E").expand(2, -1)) for mean in (0.3, 0.5))
    drawing, x0 = Drawing(model, Config(threshold=0)), 0.3 + 0.5 * noise(seed=5)
    expected = x0 + scale * (0.5 - 0.3)  # w * 0.5 + (1 - w) * 0.3 is the mean that is come back to
    errors = [
        (drawing.reconfigure(x0, one, other, scale, steps) - expected).square().mean().sqrt().item()
        for steps in (25, 50, 100)
    ]
    assert errors == pytest.approx([0.042, 0.024, 0.013], abs=0.012)
    assert errors[0] > errors[1] > errors[2]
    same = drawing.reconfigure(x0, one, one, scale)
    assert (same - x0).square().mean().sqrt().item() == pytest.approx(0.024, abs=0.003)


def test_a_reconfiguration_is_an_inversion_and_the_way_back_and_keeps_what_is_known(drawing):
    one, other, x0 = conditions(), conditions(seed=1), 0.5 * noise(seed=5)
    halves = drawing.way_back(drawing.invert(x0, one, 4), one, other, 1.0, 4)
    assert torch.equal(drawing.reconfigure(x0, one, other, steps=4), halves)
    made = drawing.reconfigure(x0, one, other, steps=4, known=(x0, lower_half()))
    assert torch.equal(made[:, :, 8:], x0[:, :, 8:])
    assert not torch.equal(made[:, :, :8], x0[:, :, :8])


def test_noise_is_mixed_in_by_its_share_and_stays_unit():
    x, fresh = noise(40), noise(40, seed=4)
    assert torch.equal(renoised(x, fresh, 0.0), x)
    assert torch.equal(renoised(x, fresh, 1.0), fresh)
    assert renoised(x, fresh, 0.6).std().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(renoised(x, fresh, 0.6), 0.8 * x + 0.6 * fresh)


def test_the_ends_of_an_interpolation_are_the_two_images(drawing):
    a, b = conditions(), conditions(seed=1)
    for share, end in ((0.0, a), (1.0, b)):
        made = between(a, b, "TEP", share)
        pure = dataclasses.replace(
            a, values={**a.values, **{name: end.values[name] for name in ("words", "word_mask", "sentence", "E", "P")}}
        )
        assert all(torch.equal(made.values[name], value) for name, value in pure.values.items())
        assert torch.equal(drawing.sample(noise(), made, made, 1.0), drawing.sample(noise(), pure, pure, 1.0))


def test_between_two_images_the_embedding_turns_and_palette_and_sentence_are_averaged():
    a, b = conditions(), conditions(seed=1)
    unit = [
        dataclasses.replace(
            c, values={**c.values, "E": c.values["E"] / c.values["E"].square().mean(1, keepdim=True).sqrt()}
        )
        for c in (a, b)
    ]
    made = between(unit[0], unit[1], "TEP", torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(made.values["E"].square().mean(1), torch.ones(2))
    torch.testing.assert_close(made.values["P"][1], 0.25 * a.values["P"][1] + 0.75 * b.values["P"][1])
    torch.testing.assert_close(
        made.values["sentence"][0], 0.75 * a.values["sentence"][0] + 0.25 * b.values["sentence"][0]
    )
    assert torch.equal(made.values["words"], torch.stack([a.values["words"][0], b.values["words"][1]]))
    assert torch.equal(between(a, b, "P", 0.5).values["E"], a.values["E"])
    assert torch.equal(made.values["S"], a.values["S"])


def test_the_arc_has_equal_angles_and_parallel_ends_stay():
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(
        slerp(x, y, torch.tensor([[1 / 3]], dtype=torch.float64)), torch.tensor([[0.75**0.5, 0.5]])
    )
    torch.testing.assert_close(slerp(x, x, torch.tensor([[0.3]], dtype=torch.float64)), x)


def test_nothing_lies_between_two_sketches_or_a_caption_and_none():
    given = conditions()
    with pytest.raises(UserError, match="nothing lies between two conditions 'S', expected letters of TEP"):
        between(given, given, "ES", 0.5)
    with pytest.raises(ValueError, match="one of them at one end alone"):
        between(given, given.only(LETTERS[1:]), "T", 0.5)


def test_an_upsampler_of_other_sizes_and_a_prior_of_another_clip_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    write_tiny_weights(tmp_path)
    up, prior = (
        UpsamplerShape(patch=4, base_channels=8, channel_mult=(1, 2), attention=(), gn_groups=8),
        PriorShape(layers=1, heads=1),
    )
    for name, made, config in (
        ("up", Upsampler(up), dataclasses.asdict(up)),
        ("prior", Prior(prior), {**dataclasses.asdict(prior), "clip": "clip-judge-avatars"}),
    ):
        weights.write(tmp_path / f"{name}.safetensors", made.state_dict(), config, {"data": {}, "optimised_for": None})
    with pytest.raises(UserError, match="up enlarges images of 32 pixels, tiny-composer draws 16"):
        load_drawing(Config(weights="tiny-composer", upsampler="up", prior=""), Models())
    with pytest.raises(
        UserError, match="prior makes embeddings of clip-judge-avatars, tiny-composer reads those of clip-guide-avatars"
    ):
        load_drawing(Config(weights="tiny-composer", upsampler="", prior="prior"), Models())


def test_rows_are_taken_in_the_order_of_their_index():
    given = conditions(3).with_present(torch.stack([chosen("T"), chosen("E"), chosen("P")]))
    taken = given.rows(torch.tensor([2, 0, 0]))
    assert isinstance(taken, Conditions)
    assert torch.equal(taken.present, torch.stack([chosen("P"), chosen("T"), chosen("T")]))
    assert all(torch.equal(taken.values[name], value[[2, 0, 0]]) for name, value in given.values.items())
