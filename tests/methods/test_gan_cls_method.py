"""The method GAN-CLS: images depend on their own request alone, weights that do not fit are one line,
interpolations end at plain images.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from gan_cls_data import TINY, colour_split, write_tiny_weights
from PIL import Image
from typer.testing import CliRunner

from t2ibench.cli import app
from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.core.settings import configure
from t2ibench.methods.gan_cls import Config, Method
from t2ibench.methods.gan_cls.text_encoder import EncoderShape
from t2ibench.methods.gan_cls.train import recipe
from t2ibench.networks import weights as weight_files
from t2ibench.networks.models import Models
from t2ibench.report import sheets
from t2ibench.tracks.contract import TextToImage, TextToImageMethod

WIDE = dataclasses.replace(
    TINY, text_dim=16, nz=16, nt=16, ngf=16
)  # widths that fill vector registers, as real ones do
CONFIG = Config(weights="tiny-gan", style_encoder="tiny-style")


@pytest.fixture
def models(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    write_tiny_weights(tmp_path, WIDE, EncoderShape(channels=(16, 16, 16), length=60, out=16))
    return Models()


def requests(count: int) -> list[TextToImage]:
    return [TextToImage(f"a card, number {i}", 1000 + i) for i in range(count)]


@pytest.mark.parametrize(
    ("batch", "levels"), [(1, 1), (7, 1), (64, 0)]
)  # 64 rows are whole passes: each image keeps its place in one
def test_an_image_is_the_same_in_batches_of_any_size(models, batch, levels):
    method = Method(CONFIG, models)
    assert isinstance(method, TextToImageMethod)
    whole = method.text_to_image(requests(70))
    parts = [method.text_to_image(requests(70)[i : i + batch]) for i in range(0, 70, batch)]
    assert whole.shape == (70, 3, 64, 64)
    assert whole.dtype == torch.uint8
    torch.testing.assert_close(torch.cat(parts), whole, atol=levels, rtol=0)


def test_order_and_company_change_no_image_by_more_than_a_grey_level(models):
    method = Method(CONFIG, models)
    forward, backward = method.text_to_image(requests(20)), method.text_to_image(requests(20)[::-1]).flip(0)
    torch.testing.assert_close(forward, backward, atol=1, rtol=0)


def test_both_the_prompt_and_the_seed_change_the_image(models):
    method = Method(CONFIG, models)
    same, text, seed = method.text_to_image(
        [TextToImage("a red card", 1), TextToImage("blue", 1), TextToImage("a red card", 2)]
    )
    assert (same.int() - text.int()).abs().float().mean() > 5
    assert (same.int() - seed.int()).abs().float().mean() > 5


def test_no_request_is_no_image(models):
    with pytest.raises(ValueError, match="at least one request"):
        Method(CONFIG, models).text_to_image([])


def test_the_models_say_what_was_used_and_trained_on(models):
    method = Method(CONFIG, models)
    assert set(models.used) == {"tiny-gan", "tiny-encoder"}
    assert method.trained_on == ["colours train"]


def test_weights_that_do_not_fit_their_card_are_one_line(models, tmp_path):
    weights = models.weights("tiny-gan")
    weight_files.write(
        tmp_path / "wrong.safetensors",
        weights.tensors,
        {**weights.config, "ngf": 8},
        {"data": None, "optimised_for": None},
    )
    with pytest.raises(
        UserError, match=r"wrong: weights do not fit the config of their card .*: train or fetch them again"
    ):
        Method(dataclasses.replace(CONFIG, weights="wrong"), models)
    with pytest.raises(UserError, match=r"no weights are called 'tiny-gam' .* did you mean 'tiny-gan'"):
        Method(dataclasses.replace(CONFIG, weights="tiny-gam"), models)


def test_loading_leaves_the_global_random_state_alone(models):
    before = torch.random.get_rng_state()
    Method(CONFIG, models).text_to_image(requests(1))
    assert torch.equal(before, torch.random.get_rng_state())


def train_style_encoder(folder, models, steps=3, **settings):
    given = {"generator": "tiny-gan", "width": 2, "batch": 4, **settings}
    trained = recipe("style-encoder", given, colour_split(), colour_split(8, "val"), models, seed=0)
    losses = [trained.step(i, i / steps) for i in range(steps)]
    weight_files.write(folder / "tiny-style.safetensors", *trained.result(), {"data": None, "optimised_for": None})
    return trained, losses


def test_interpolations_begin_and_end_with_plain_images(models):
    method = Method(CONFIG, models)
    plain = method.text_to_image([TextToImage("one", 3), TextToImage("two", 3), TextToImage("one", 4)])
    texts, noises = method.interpolate_sentences("one", "two", 5, seed=3), method.interpolate_noise("one", 5, (3, 4))
    for found, expected in ((texts[0], plain[0]), (texts[-1], plain[1]), (noises[0], plain[0]), (noises[-1], plain[2])):
        torch.testing.assert_close(found, expected, atol=1, rtol=0)


@pytest.mark.parametrize("network", ["trunk", "whitened"])
def test_the_style_of_an_image_does_not_depend_on_its_batch(models, tmp_path, network):
    train_style_encoder(tmp_path, models, network=network, components=4, fitted_on=8)
    method = Method(CONFIG, models)
    images = torch.from_numpy(colour_split(3).images.read([0, 1, 2]))
    styles = method.style_of(images)
    assert styles.shape == (3, WIDE.nz)
    assert torch.equal(method.style_of(images[1:2]), styles[1:2])  # each image is read by itself
    together, alone = (
        method.transfer_style(images, ["a", "b", "c"]),
        method.draw(styles[2:], method.encoder.embed(["c"])),
    )
    torch.testing.assert_close(together[2:], alone, atol=1, rtol=0)  # drawing has passes: one grey level of rounding


def test_generate_draws_texts_in_the_style_of_images(models, tmp_path, monkeypatch):
    train_style_encoder(tmp_path, models)
    monkeypatch.chdir(tmp_path)
    images = torch.from_numpy(colour_split(2).images.read([0, 1]))
    for name, image in zip("ab", images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(f"{name}.png")
    settings = ["--set", "weights=tiny-gan", "--set", "style_encoder=tiny-style"]
    words = ["generate", "gan-int-cls", "a card", "--image", "a.png", "--image", "b.png", *settings]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    made = Method(CONFIG, models).transfer_style(images, ["a card", "a card"])
    sheets.save(
        sheets.table([list(images.numpy()), list(made.numpy())], ["image", "a card"], ["a.png", "b.png"], margin=220),
        Path("expected.png"),
    )
    assert Path("sheet.png").read_bytes() == Path("expected.png").read_bytes()


def test_a_generator_is_refused_with_another_text_encoder_than_its_own(models, tmp_path):
    own = weight_files.load("tiny-encoder").sha256
    settings = {
        "preset": "reference",
        "text_encoder": "tiny-encoder",
        "nz": 16,
        "nt": 16,
        "ngf": 2,
        "ndf": 2,
        "batch": 4,
    }
    trained = recipe("gan", settings, colour_split(), colour_split(8, "val"), models, 0)
    assert trained.result()[1]["text_encoder_sha256"] == own
    gan = weight_files.load("tiny-gan")
    path, card = tmp_path / "tiny-gan.safetensors", {"data": gan.card["data"], "optimised_for": None}
    weight_files.write(path, gan.tensors, {**gan.config, "text_encoder_sha256": own}, card)
    Method(CONFIG, Models())
    weight_files.write(path, gan.tensors, {**gan.config, "text_encoder_sha256": "0" * 64}, card)
    with pytest.raises(UserError, match="tiny-gan was trained with another tiny-encoder than the one here"):
        Method(CONFIG, Models())


def test_a_style_encoder_of_another_generator_is_one_line(models, tmp_path):
    train_style_encoder(tmp_path, models)
    weights = models.weights("tiny-gan")
    weight_files.write(
        tmp_path / "other-gan.safetensors",
        {k: v * 1.5 if v.is_floating_point() else v for k, v in weights.tensors.items()},
        weights.config,
        {"data": weights.card["data"], "optimised_for": None},
    )
    method = Method(dataclasses.replace(CONFIG, weights="other-gan"), models)
    with pytest.raises(
        UserError, match="tiny-style recovers the noise of tiny-gan as it was then, not of this other-gan: train one by"
    ):
        method.transfer_style(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), ["a"])


def test_the_four_variants_are_the_methods_a_suite_can_name():
    ids = {id: settings for id, (name, settings) in plugins.method_ids().items() if name == "gan_cls"}
    assert ids == {name: {"variant": name} for name in ("gan", "gan-cls", "gan-int", "gan-int-cls")}
    assert all(configure(Config, settings, "x") for settings in ids.values())
