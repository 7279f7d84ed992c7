"""Composer's diffusion: the schedule, closed forms of sampling and guidance."""

import dataclasses

import pytest
import torch
from composer_tiny import TINY, conditions, denoiser

from t2ibench.methods.composer.conditions import LETTERS, chosen
from t2ibench.methods.composer.diffusion import alphas_bar, inverse_sampler, loss, noised, sample, sampler
from t2ibench.methods.composer.network import Denoiser, guide

MEAN, SPREAD = 0.3, 0.5


def test_the_schedule_is_the_cosine_one():
    abar = alphas_bar().double()
    for t, golden in ((0, 0.999959), (500, 0.49229), (960, 3.690e-3), (999, 2.43e-9)):
        assert abar[t].item() == pytest.approx(golden, rel=2e-3)
    betas = 1 - abar[1:] / abar[:-1]
    assert (1 - abar[0]).item() == pytest.approx(4.128e-5, rel=2e-3)
    assert betas[997].item() == pytest.approx(0.75, abs=1e-3)
    assert betas[998].item() == pytest.approx(0.999, abs=1e-3)
    assert (abar.diff() < 0).all()
    assert ((1 - abar[0]).sqrt().item(), abar[999].sqrt().item()) == pytest.approx((0.0064, 4.9e-5), rel=1e-2)


def test_without_noise_an_image_is_scaled_by_alpha():
    x0, abar = torch.rand(2, 3, 4, 4), alphas_bar()
    t = torch.tensor([0, 700])
    torch.testing.assert_close(
        noised(x0, torch.zeros_like(x0), t, abar), abar[t].sqrt().view(-1, 1, 1, 1) * x0, atol=0, rtol=0
    )
    noise = torch.full_like(x0, 2.0)
    assert torch.equal(noised(torch.zeros_like(x0), noise, t, abar)[1, 0, 0, 0], (1 - abar[700]).sqrt() * 2)


def test_the_loss_of_an_untrained_network_is_the_power_of_the_noise():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, noise = Denoiser(TINY).eval(), torch.randn(40, 3, 16, 16)
        found = loss(model(torch.randn(40, 3, 16, 16), torch.arange(40) * 25, conditions(40)), noise)
    torch.testing.assert_close(found, noise.square().mean((1, 2, 3)))
    assert found.mean().item() == pytest.approx(1, abs=0.02)


def test_a_learned_variance_is_no_part_of_the_loss():
    noise = torch.randn(2, 3, 4, 4)
    assert loss(torch.cat([noise, noise + 100], 1), noise).tolist() == [0, 0]


def analytic(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The noise that is expected where data are N(0.3, 0.5^2)."""
    abar = alphas_bar()[t].view(-1, 1, 1, 1)
    return (1 - abar).sqrt() * (x - abar.sqrt() * MEAN) / (abar * SPREAD**2 + 1 - abar)


@pytest.mark.parametrize(
    ("name", "steps", "mean", "spread"),
    [("dpmpp2m", 25, 0.2985, 0.4999), ("ddim", 50, 0.2958, 0.4856), ("ddim", 100, 0.2980, 0.4930)],
)
def test_samples_of_a_gaussian_have_its_moments(name, steps, mean, spread):
    x = torch.randn(20, 1, 100, 100, generator=torch.Generator().manual_seed(0))
    made = sample(analytic, x, sampler(name, steps, 0))
    assert (made.mean().item(), made.std().item()) == pytest.approx((mean, spread), abs=0.005)


def test_ddim_starts_on_the_leading_grid_and_dpm_solver_where_the_signal_is_clipped():
    assert sampler("ddim", 25, 0).timesteps[0] == 960
    assert sampler("dpmpp2m", 25, 0).timesteps[0] == 995


@pytest.mark.parametrize("name", ["ddim", "dpmpp2m"])
def test_thresholding_brings_back_what_is_beyond_and_leaves_the_rest(name):
    scheduler = sampler(name, 25, 0.995)
    inside = torch.rand(2, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(scheduler._threshold_sample(inside), inside, atol=0, rtol=0)
    beyond = scheduler._threshold_sample(inside * 5)
    assert beyond.abs().max() <= 1
    assert beyond.std() > inside.std() * 0.8  # divided by the quantile rather than cut at 1


def test_guidance_is_the_sum_of_two_products():
    eps1, eps2 = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(guide(eps1, eps2, 1.0), eps2)
    assert torch.equal(guide(eps1, eps2, 0.0), eps1)
    torch.testing.assert_close(guide(eps1, eps2, 2.0), (guide(eps1, eps2, 1.0) + guide(eps1, eps2, 3.0)) / 2)
    torch.testing.assert_close(guide(eps1, eps1, 7.0), eps1, atol=1e-5, rtol=0)


def test_a_condition_in_both_sets_weighs_one_and_others_w_and_one_less_w():
    share = torch.arange(1.0, 9.0)  # of a denoiser that adds up what is present
    eps1, eps2 = ((share * chosen(letters)).view(1, 8, 1, 1) for letters in ("TES", "EPS"))
    found = dict(zip(LETTERS, (guide(eps1, eps2, 3.0)[0, :, 0, 0] / share).tolist(), strict=True))
    assert found == pytest.approx({"T": -2, "E": 1, "P": 3, "S": 1, "G": 0, "D": 0, "I": 0, "M": 0})


def test_any_two_sets_guide_a_sample():
    model, given = denoiser(), conditions()
    x, t = torch.randn(2, 3, 16, 16), torch.full((2,), 500)
    c1, c2 = given.only("SD"), given.only("SDT")
    expected = guide(model(x, t, c1), model(x, t, c2), 3.0)
    torch.testing.assert_close(
        model.guided(x, t, model.conditioner(c1), model.conditioner(c2), 3.0), expected, atol=1e-5, rtol=0
    )
    assert torch.equal(model.guided(x, t, model.conditioner(c1), model.conditioner(c2), 1.0), model(x, t, c2))


def test_a_learned_variance_is_left_out_of_what_is_guided():
    shape = dataclasses.replace(TINY, out_channels=6)
    model, given = denoiser(shape), conditions()
    c1, c2 = model.conditioner(given.only("")), model.conditioner(given)
    assert model.guided(torch.randn(2, 3, 16, 16), torch.full((2,), 500), c1, c2, 3.0).shape[1] == 3


@pytest.mark.parametrize(("steps", "error"), [(25, 0.042), (50, 0.024), (100, 0.013)])
def test_the_round_trip_of_an_inversion_has_the_error_of_a_first_order_solver(steps, error):
    x0 = MEAN + SPREAD * torch.randn(20, 1, 100, 100, generator=torch.Generator().manual_seed(0))
    noise = sample(analytic, x0, inverse_sampler(steps))
    back = sample(analytic, noise, sampler("ddim", steps, 0))
    assert (back - x0).square().mean().sqrt().item() == pytest.approx(error, abs=0.003)
    assert noise.std().item() == pytest.approx(1, abs=0.02)


def test_steps_of_an_inversion_that_are_made_again_end_where_the_way_back_began():
    x0 = MEAN + SPREAD * torch.randn(20, 1, 100, 100, generator=torch.Generator().manual_seed(0))
    errors = []
    for iterations in (1, 2, 3):
        noise = sample(analytic, x0, inverse_sampler(20), iterations=iterations)
        back = sample(analytic, noise, sampler("ddim", 20, 0))
        errors.append((back - x0).square().mean().sqrt().item())
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 2


def test_the_way_there_stops_at_the_times_of_the_way_back():
    assert inverse_sampler(50).timesteps.tolist() == sampler("ddim", 50, 0).timesteps.tolist()[::-1]
