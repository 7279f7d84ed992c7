"""Composer's upsampler: what it reads, what it makes, and its training."""

import dataclasses

import numpy as np
import pytest
import torch
from composer_tiny import assert_resumes, half_split
from gan_cls_data import Pixels

from t2ibench.data.split import Split
from t2ibench.methods.composer import recipe, settings
from t2ibench.methods.composer.loading import load_upsampler
from t2ibench.methods.composer.sampling import Drawing
from t2ibench.methods.composer.settings import UPSAMPLERS, Config, UpsamplerShape
from t2ibench.methods.composer.upsampler import Upsampler, blurred
from t2ibench.networks import weights as weight_files
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import fit

SHAPE = UpsamplerShape(
    image_size=64,
    patch=4,
    base_channels=8,
    channel_mult=(1, 2),
    attention=(8,),
    head_channels=8,
    gn_groups=8,
    prediction="sample",
)


def upsampler(shape: UpsamplerShape = SHAPE) -> Upsampler:
    """Evaluation mode; its last layer, which starts at zero, is random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Upsampler(shape)
        torch.nn.init.normal_(model.trunk.conv_out.weight, std=0.05)  # type: ignore[union-attr, arg-type]
    return model.eval().requires_grad_(False)


def small(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def drawing(model: Upsampler) -> Drawing:
    return Drawing(None, Config(upsampler_steps=2), model)  # type: ignore[arg-type]  # nothing is drawn at the small size


@pytest.mark.parametrize("factor", [2, 4])
def test_an_image_becomes_as_many_times_larger_as_the_network_says(factor):
    shape = dataclasses.replace(SHAPE, image_size=32 * factor, attention=())
    made = drawing(upsampler(shape)).upsample(small(), [1, 2])
    assert made.shape == (2, 3, 32 * factor, 32 * factor)
    assert made.isfinite().all()


def test_an_image_depends_on_its_small_one_and_its_seed_and_on_no_neighbour():
    draw, low = drawing(upsampler()), small(10)
    whole = draw.upsample(low, range(10))
    assert torch.equal(draw.upsample(low, range(10)), whole)
    torch.testing.assert_close(draw.upsample(low[9:], [9]), whole[9:], atol=1e-5, rtol=0)
    assert (draw.upsample(low[9:], [8]) - whole[9:]).abs().max() > 1e-3
    assert (draw.upsample(low[8:9], [9]) - whole[9:]).abs().max() > 1e-3


def test_a_flat_image_and_one_out_of_range_give_finite_images():
    draw = drawing(upsampler())
    assert draw.upsample(torch.ones(1, 3, 32, 32), [0]).isfinite().all()
    assert torch.equal(
        draw.upsample(5 * torch.ones(1, 3, 32, 32), [0]), draw.upsample(torch.ones(1, 3, 32, 32), [0])
    )  # clamped between


def test_an_untrained_network_that_predicts_images_predicts_the_small_one():
    with torch.random.fork_rng(devices=[]):
        model = Upsampler(SHAPE).eval()
    x, low = torch.randn(1, 3, 64, 64), torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(model(x, torch.tensor([500]), low), torch.full((1, 3, 64, 64), 0.3))
    noise = Upsampler(dataclasses.replace(SHAPE, prediction="epsilon")).eval()
    assert noise(x, torch.tensor([500]), low).abs().max() == 0


@pytest.mark.parametrize(("size", "millions"), [("xs", 2.004), ("s", 3.316), ("paper-256", 1170), ("paper-1024", 282)])
def test_upsamplers_have_the_parameters_they_are_declared_with(size, millions):
    with torch.device("meta"):
        model = Upsampler(UpsamplerShape(**UPSAMPLERS[size]))
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, rel=1e-2)


def test_blurring_keeps_flat_images_and_spreads_a_pixel_by_the_gaussian():
    torch.testing.assert_close(blurred(torch.full((2, 3, 6, 6), 0.4)), torch.full((2, 3, 6, 6), 0.4))
    point = torch.zeros(1, 3, 5, 5)
    point[:, :, 2, 2] = 1
    made = blurred(point)[0, 0]
    assert (made[2, 3] / made[2, 2]).item() == pytest.approx(np.exp(-0.5 / 0.6**2), rel=1e-4)
    assert made.sum().item() == pytest.approx(1, abs=1e-5)
    assert (made > 0).sum() == 9


def striped_split(count: int = 12, name: str = "train") -> Split:
    """64 pixels a side; every second column is darker, which nothing in an image of half the size tells."""
    halves = half_split(count, name, side=64)
    images = halves.images.read(range(count)).copy()
    images[:, :, :, ::2] //= 2
    return dataclasses.replace(halves, images=Pixels(images))


@pytest.fixture
def training(monkeypatch, tmp_path):
    """A recipe of a small network on 64-pixel images, as often as it is asked for."""
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(settings.UPSAMPLERS, "xs", dataclasses.asdict(SHAPE))
    given = {"judge": "attribute-judge-avatars", "batch": 4, "warmup": 1, "learning_rate": 0.003, "ema": 0.5}
    return lambda: recipe("upsampler", given, striped_split(), striped_split(4, "val"), Models(), seed=0)


def test_a_stopped_training_goes_on_as_if_it_had_not(training):
    assert_resumes(training)


def test_training_brings_images_nearer_and_writes_weights_that_draw(training, tmp_path):
    made = training()
    before = made.validate()
    fit(made, "up", tmp_path, steps=30)
    weights = weight_files.load("up")
    found = weights.card["validation"]
    assert found["psnr_model"] > before["psnr_model"] + 2
    assert found["psnr_bicubic"] == before["psnr_bicubic"]
    assert (weights.card["data"]["dataset"], weights.card["data"]["digest"]) == ("halves", striped_split().digest)
    assert made.preview().shape == (12, 3, 64, 64)
    assert drawing(load_upsampler(weights)).upsample(small(1), [0]).shape == (1, 3, 64, 64)
