"""From image to W+: what an encoder answers, what its training needs, and that projection only ever improves on its
start.
"""

import copy

import pytest
import torch
from clip_tiny import tiny_weights
from gan_cls_data import colour_split

from t2ibench.core.errors import UserError
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.pyramid import pyramid
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Config, Generator
from t2ibench.networks.stylegan2.inversion import Encoder, differences, encode, project, w_variance
from t2ibench.networks.training.encoder import EncoderRecipe
from t2ibench.networks.training.stylegan2 import recipe

TINY = Config(resolution=64, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=8)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(TINY).eval().requires_grad_(False)


@pytest.fixture
def clip() -> Clip:
    return Clip.from_zoo(tiny_weights())


@pytest.fixture
def models(generator, clip, monkeypatch) -> Models:
    def stylegan2(self: Models, name: str) -> Generator:
        self.used[name] = {"sha256": "00", "data": None, "optimised_for": None}
        return generator

    monkeypatch.setattr(Models, "stylegan2", stylegan2, raising=False)
    monkeypatch.setattr(Models, "clip", lambda self, name: clip)
    return Models()


def test_an_untrained_encoder_answers_rows_around_the_mean_w_each_image_for_itself(generator):
    encoder, images = Encoder(TINY, channels=8, hidden=8), torch.rand(3, 3, 64, 64) * 2 - 1
    generator.mapping.w_avg.fill_(7.0)
    with torch.no_grad():
        rows = encode(encoder, generator, images)
        alone = encode(encoder, generator, images[1:2])
    assert rows.shape == (3, TINY.rows, 8)
    torch.testing.assert_close(rows[1:2], alone)
    assert (rows - 7).abs().mean() < 5


def test_an_image_differs_from_itself_by_nothing_and_from_another_by_something(generator, clip):
    with torch.no_grad():
        images = generator(torch.randn(2, 8)).clamp(-1, 1)
        same, other = differences(clip, images, images), differences(clip, images, images.roll(1, 0))
    assert all(torch.equal(values, torch.zeros(2)) for values in same)
    assert all((values > 0).all() for values in other)


def test_projection_comes_nearer_to_each_image_and_does_not_look_at_the_batch(generator, clip):
    with torch.no_grad():
        images = generator(torch.randn(3, 8)).clamp(-1, 1)
    start = generator.mapping.w_avg.expand(3, TINY.rows, 8)

    def far(w_plus: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            pixels, features = differences(clip, generator.synthesis(generator.style(w_plus)), wanted)
        return pixels + 0.5 * features

    found = project(generator, clip, images, start, steps=15)
    assert (far(found, images) < far(start, images)).all()
    alone = project(generator, clip, images[2:], start[2:], steps=15)
    torch.testing.assert_close(found[2:], alone, atol=1e-3, rtol=1e-3)


def test_a_loss_that_is_not_finite_stops_a_projection(generator, clip):
    images = torch.full((1, 3, 64, 64), torch.nan)
    with pytest.raises(ValueError, match="the loss is nan at step 0: lower its rate"):
        project(generator, clip, images, generator.mapping.w_avg.expand(1, TINY.rows, 8))


def test_the_unit_of_distances_in_w_is_its_variance(generator):
    z = torch.randn(20_000, 8)
    with torch.no_grad():
        expected = float(generator.mapping(z).var(dim=0).mean())
    assert w_variance(generator, 20_000) == pytest.approx(expected, rel=0.05)


def test_an_encoders_training_goes_on_where_it_was(models):
    def made() -> EncoderRecipe:
        trained = recipe(
            "encoder", {"batch": 4, "bfloat16": False}, colour_split(12), colour_split(4, "val"), models, 0
        )
        assert isinstance(trained, EncoderRecipe)
        return trained

    whole, stopped, resumed = made(), made(), made()
    losses = [whole.step(index, index / 3) for index in range(3)]
    for index in range(2):
        stopped.step(index, index / 3)
    resumed.load_state(copy.deepcopy(stopped.state()))
    assert resumed.step(2, 2 / 3) == losses[2]
    assert all(torch.equal(a, b) for a, b in zip(whole.encoder.parameters(), resumed.encoder.parameters(), strict=True))
    assert set(whole.result()[0]) == set(Encoder(TINY).state_dict())
    assert whole.preview().shape == (8, 3, 64, 64)
    assert whole.validate()["difference_to_another"] > 0


def test_an_encoder_for_another_size_is_refused(models, generator):
    object.__setattr__(generator.config, "resolution", 32)
    with pytest.raises(UserError, match="images of 64 pixels, stylegan2-colours makes 32"):
        recipe("encoder", {}, colour_split(12), colour_split(4), models, 0)


def test_features_of_every_scale_need_a_convolutional_tower(clip):
    clip.model.visual = torch.nn.Identity()
    with pytest.raises(UserError, match="its image tower is a Identity, features of every scale need a ResNet"):
        pyramid(clip, torch.zeros(1, 3, 64, 64))
