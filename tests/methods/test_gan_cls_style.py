"""The style encoder inverts what can be inverted, and a stopped training goes on as if it was not stopped."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gan_cls_data import colour_split, tiny_encoder
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from t2ibench.methods.gan_cls import style_network
from t2ibench.methods.gan_cls.networks import Generator, Shape
from t2ibench.methods.gan_cls.settings import StyleSettings
from t2ibench.methods.gan_cls.style_network import WhitenedEncoder
from t2ibench.methods.gan_cls.train_style import StyleRecipe, directions


class LinearGenerator(Generator):
    """x = 10 (A z + C h) with orthonormal A and C: A^T x / 10 is z, but for the rounding to 8 bits.

    `gains` weigh the directions of z.
    """

    a: Tensor
    c: Tensor

    def __init__(self, gains: tuple[float, ...] = (1, 1, 1, 1)) -> None:
        nn.Module.__init__(self)
        self.shape = Shape(text_dim=5, nz=4)
        basis = torch.linalg.qr(torch.randn(3 * 64 * 64, 9, generator=torch.Generator().manual_seed(0))).Q.T
        self.register_buffer("a", 10 * torch.tensor(gains)[:, None] * basis[:4])
        self.register_buffer("c", 10 * basis[4:])

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        return (z.to(self.a) @ self.a + text.to(self.c) @ self.c).view(-1, 3, 64, 64)


@pytest.fixture
def linear_recipe(monkeypatch, tmp_path) -> Callable[..., StyleRecipe]:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))

    def make(generator: Generator | None = None, **settings: Any) -> StyleRecipe:
        chosen = StyleSettings(generator="linear", width=2, batch=32, learning_rate=0.03, **settings)
        train, val = colour_split(), colour_split(200, "val")
        return StyleRecipe(
            chosen,
            train,
            val,
            tiny_encoder(),
            generator or LinearGenerator(),
            "sha",
            torch.device("cpu"),
            seed=0,
            cache=tmp_path,
        )

    return make


def flat(outputs: int) -> Any:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, outputs))


def test_the_noise_of_a_linear_generator_is_recovered(linear_recipe):
    trained: Any = linear_recipe()
    trained.network = flat(4)
    trained.optimiser = torch.optim.Adam(trained.network.parameters(), 0.01)
    before = trained.validate()
    for index in range(150):
        trained.step(index, index / 150)
    after = trained.validate()
    assert before["mse_per_dimension"] > 0.5
    assert after["mse_per_dimension"] < 0.01
    for captions in ("same_caption", "another_caption"):
        assert after[captions]["recovered"] < 0.1 * after[captions]["no_noise"] < 0.1 * after[captions]["fresh_noise"]


def test_whitening_hears_what_drowns_in_pixels():
    """Faint noise under a loud text that shares its pixels: the same linear layer and steps recover it from components
    only.
    """
    draws = torch.Generator().manual_seed(0)
    z, text = torch.randn(300, 4, generator=draws), torch.randn(300, 4, generator=draws)
    patterns = torch.randn(4, 3, 32, 32, generator=draws)
    faint = patterns + torch.randn(4, 3, 32, 32, generator=draws)
    images = (
        (torch.tensordot(text, patterns, 1) + 0.003 * torch.tensordot(z, faint, 1))
        .repeat_interleave(2, 2)
        .repeat_interleave(2, 3)
    )
    errors = {}
    for name in ("pixels", "whitened"):
        encoder = WhitenedEncoder(8, 2, 0, 4)
        encoder.fit(images)
        seen = {
            "pixels": avg_pool2d(images, 2).flatten(1),
            "whitened": (avg_pool2d(images, 2).flatten(1) - encoder.mean) @ encoder.projection,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = nn.Linear(seen[name].shape[1], 4)
        optimiser = torch.optim.Adam(layer.parameters(), 0.03)
        for _ in range(100):
            error = (z - layer(seen[name])).square().mean()
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
        errors[name] = error.item()
    assert errors["whitened"] < 0.1
    assert errors["pixels"] > 0.5


@pytest.mark.parametrize("count", [300, 4000])  # fewer images than pixels, and more
def test_components_are_the_strongest_and_have_unit_variance(count, monkeypatch):
    monkeypatch.setattr(style_network, "SIDE", 16)
    images = torch.randn(count, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 16, 16).clone()
    images[:, 0] *= 2
    encoder = WhitenedEncoder(components=3, width=2, blocks=1, out=4)
    assert not encoder(images).any()  # it says nothing before it learns
    encoder.fit(images)
    seen = (images.flatten(1) - encoder.mean) @ encoder.projection
    torch.testing.assert_close(seen.T @ seen / len(seen), torch.eye(3), atol=0.01, rtol=0)
    assert (
        encoder.projection[:256, 0].abs().min() > 3 * encoder.projection[256:, 0].abs().max()
    )  # the red channel comes first
    with pytest.raises(ValueError, match="3 components need more images than that, got 3"):
        encoder.fit(images[:3])


def test_directions_are_those_that_change_the_image_most():
    z, text = torch.randn(128, 4), torch.randn(128, 5)
    change, basis = directions(LinearGenerator(gains=(1, 4, 2, 0)), z, text, seed=0)
    torch.testing.assert_close(change, 100 * torch.tensor([16.0, 4, 1, 0]), rtol=0.3, atol=1e-3)
    assert basis.abs().argmax(0).tolist() == [1, 2, 0, 3]


def test_without_emphasis_the_loss_is_the_papers_and_with_it_visible_directions_weigh_more(linear_recipe):
    generator = LinearGenerator(gains=(1, 4, 2, 1))
    assert linear_recipe(generator).weights.tolist() == pytest.approx([1, 1, 1, 1])
    assert linear_recipe(generator, emphasis=0.5).weights.tolist() == pytest.approx([2, 1, 0.5, 0.5], rel=0.2)


def test_every_image_of_a_pool_is_read_as_often_as_asked(linear_recipe):
    trained = linear_recipe(pool=64, reuse=3)
    batches = [trained.batch(index)[0] for index in range(12)]
    first, second = torch.cat(batches[:6]), torch.cat(batches[6:])
    for pool in (first, second):
        _, counts = pool.unique(dim=0, return_counts=True)
        assert counts.tolist() == [3] * 64
    assert torch.cat([first, second]).unique(dim=0).shape[0] == 128


@pytest.mark.parametrize(
    "settings", [{}, {"pool": 64, "reuse": 2, "network": "whitened", "components": 8, "fitted_on": 20}]
)
def test_a_style_run_that_was_stopped_goes_on_as_if_it_was_not(linear_recipe, settings):
    whole, stopped, resumed = (linear_recipe(**settings) for _ in range(3))
    losses = [whole.step(i, 0.0) for i in range(5)]
    for i in range(3):
        stopped.step(i, 0.0)
    resumed.load_state(stopped.state())
    assert [resumed.step(i, 0.0) for i in (3, 4)] == losses[3:]
