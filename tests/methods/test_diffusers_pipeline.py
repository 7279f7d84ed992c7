"""methods/diffusers_pipeline: an image depends on its own request alone, settings do what they say, nothing fails in
silence.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import diffusers_tiny
import numpy as np
import pytest
import torch
from pretend_cuda import pretended

from t2ibench.core import plugins, records
from t2ibench.core.errors import PartlyFailed, UserError
from t2ibench.methods.diffusers_pipeline import Config, Method
from t2ibench.methods.diffusers_pipeline.drawing import FLAGGED, draw
from t2ibench.networks.models import Models
from t2ibench.runner import methods, suite
from t2ibench.runner import run as runner
from t2ibench.tracks.contract import TextToImage, TextToImageMethod


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return diffusers_tiny.stable_diffusion(tmp_path_factory.mktemp("pipelines") / "tiny")


@pytest.fixture
def config(folder) -> Config:
    return Config(str(folder), steps=3, guidance_scale=4.0)


def requests(count: int) -> list[TextToImage]:
    return [TextToImage(f"a {['red', 'green', 'blue'][i % 3]} square", 2**62 + i) for i in range(count)]


def images(config: Config, asked: list[TextToImage] | None = None) -> torch.Tensor:
    return Method(config, Models()).text_to_image(asked or requests(2))


@pytest.mark.parametrize("pass_size", [1, 4])
def test_an_image_is_the_same_in_any_batch(config, pass_size):
    method = Method(replace(config, pass_size=pass_size), Models())
    assert isinstance(method, TextToImageMethod)
    whole = method.text_to_image(requests(6))
    assert (whole.shape, whole.dtype) == ((6, 3, 16, 16), torch.uint8)
    backward = method.text_to_image(requests(6)[::-1]).flip(0)
    alone = method.text_to_image(requests(6)[5:])
    limit = 0 if pass_size == 1 else 1  # grey levels
    assert (whole.int() - backward.int()).abs().max() <= limit
    assert (whole[5:].int() - alone.int()).abs().max() <= limit


def test_it_draws_what_diffusers_draws(config, folder):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    generator = torch.Generator().manual_seed(7)
    [theirs] = pipeline("a red square", num_inference_steps=3, guidance_scale=4.0, generator=generator).images
    ours = images(config, [TextToImage("a red square", 7)])[0].permute(1, 2, 0)
    np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_the_prompt_and_the_seed_change_the_image(config):
    asked = [TextToImage("a red square", 1), TextToImage("ZZZ 999", 1), TextToImage("a red square", 2)]
    same, text, seed = images(config, asked).int()
    assert (same - text).abs().max() > 1
    assert (same - seed).abs().float().mean() > 5


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 4},
        {"guidance_scale": 9.0},
        {"negative_prompt": "blurry"},
        {"scheduler": "DPMSolverMultistepScheduler"},
        {"scheduler_settings": {"prediction_type": "v_prediction"}},
        {"arguments": {"guidance_rescale": 0.9}},
        {"dtype": "bfloat16"},
    ],
)
def test_every_setting_reaches_the_pipeline(config, change):
    assert not torch.equal(images(replace(config, **change)), images(config))


def test_a_served_copy_that_gets_32_bits_of_the_seed_draws_the_same(config):
    """torch's generator of the processor reads no more of it, so the gate can pair a pipeline with a server."""
    long, short = TextToImage("a red square", 2**40 + 5), TextToImage("a red square", 5)
    assert torch.equal(images(config, [long]), images(config, [short]))


def test_resolution(config):
    assert images(replace(config, height=24, width=32)).shape == (2, 3, 24, 32)
    assert images(replace(config, side=8)).shape == (2, 3, 8, 8)
    whole, scaled = (images(replace(config, side=side)).float() for side in (None, 8))
    torch.testing.assert_close(scaled.mean((2, 3)), whole.mean((2, 3)), atol=3, rtol=0)  # grey levels


def test_a_scheduler_that_draws_from_the_global_generator_is_seeded_by_the_request(config):
    method = Method(replace(config, scheduler="DDPMScheduler"), Models())

    class Careless(type(method.pipeline.scheduler)):  # type: ignore[misc]
        def step(self, noise, t, sample, generator=None, **kwargs):
            return super().step(noise, t, sample, generator=None, **kwargs)

    method.pipeline.scheduler = Careless.from_config(method.pipeline.scheduler.config)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = method.text_to_image(requests(2)), method.text_to_image(requests(2)[::-1]).flip(0)
    assert torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_hash_is_of_what_is_read_and_not_of_where_it_lies(folder, tmp_path):
    def sha256(path: Path, **settings) -> str:
        models = Models()
        Method(Config(str(path), trained_on="LAION", **settings), models)
        [(name, used)] = models.used.items()
        assert (name, used["data"], used["optimised_for"]) == (path.name, "LAION", None)
        return used["sha256"]

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    whole = sha256(folder)
    (copy / "README.md").write_text("words")
    (copy / "unet/diffusion_pytorch_model.bin").write_bytes(b"an older format, which is not read")
    (copy / "unet/diffusion_pytorch_model.fp16.safetensors").write_bytes(b"another variant")
    assert sha256(copy) == whole
    assert sha256(copy, weights_variant="fp16") != whole
    path = copy / "scheduler/scheduler_config.json"
    path.write_text(path.read_text().replace("0.012", "0.013"))
    assert sha256(copy) != whole
    assert sha256(diffusers_tiny.stable_diffusion(tmp_path / "other", seed=1)) != whole


def test_a_flagged_image_fails_with_that_reason(config, tmp_path):
    withheld = diffusers_tiny.stable_diffusion(tmp_path / "all", diffusers_tiny.safety_checker(-2))
    with pytest.raises(
        PartlyFailed, match="2 of 2 failed, the first in row 0: the pipeline's safety checker withheld the image"
    ) as error:
        images(replace(config, model=str(withheld)))
    assert error.value.reasons == {0: FLAGGED, 1: FLAGGED}
    shown = diffusers_tiny.stable_diffusion(tmp_path / "none", diffusers_tiny.safety_checker(2))
    assert torch.equal(images(replace(config, model=str(shown))), images(config))


class Canned:
    """A pipeline that answers each prompt with a grey level; "flagged" is withheld, "nan" is not finite."""

    device = torch.device("cpu")

    def __call__(self, prompt, generator, output_type):
        levels = np.array([{"flagged": 0.0, "nan": np.nan}.get(text, 0.6) for text in prompt])
        flags = [text == "flagged" for text in prompt]
        return SimpleNamespace(images=np.tile(levels[:, None, None, None], (1, 2, 2, 3)), nsfw_content_detected=flags)


@pytest.mark.parametrize("pass_size", [1, 2, 8])
def test_other_rows_of_the_batch_are_kept(pass_size):
    rows = [{"prompt": text} for text in ("a", "flagged", "b", "nan", "c")]
    drawn, reasons = draw(Canned(), rows, range(5), pass_size, {})
    assert {row: reason.split(":")[0] for row, reason in reasons.items()} == {
        1: FLAGGED,
        3: "the image holds NaN or infinity",
    }
    assert drawn[:, 0, 0, 0].tolist() == [153, 0, 153, 0, 153]


def test_an_answer_that_is_no_image_is_one_line():
    class Latents(Canned):
        def __call__(self, prompt, generator, output_type):
            return SimpleNamespace(images=np.zeros((1, 4, 4, 4)))

    with pytest.raises(
        UserError, match=r"Latents answered with images of shape \[1, 4, 4, 4\], expected images \[1, H, W, 3\]"
    ):
        draw(Latents(), [{"prompt": "a"}], [0], 1, {})
    with pytest.raises(ValueError, match="at least one request"):
        draw(Latents(), [], [], 1, {})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model": "nowhere"}, "nowhere is missing, expected a folder that save_pretrained wrote, or hub:owner/name"),
        ({"model": "."}, r"\. has no model_index.json"),
        ({"model": "hub:owner"}, "'hub:owner': expected hub:owner/name or hub:owner/name@revision"),
        (
            {"scheduler": "EulerDiscretScheduler"},
            "no scheduler of StableDiffusionPipeline is called 'EulerDiscretScheduler', did you mean",
        ),
        (
            {"scheduler": "FlowMatchEulerDiscreteScheduler"},
            "no scheduler of StableDiffusionPipeline is called 'FlowMatchEuler",
        ),
        ({"scheduler_settings": {"beta_strt": 1}}, "DDIMScheduler has no 'beta_strt', did you mean 'beta_start'"),
        ({"arguments": {"clip_skp": 1}}, "StableDiffusionPipeline takes no clip_skp, did you mean 'clip_skip'"),
        ({"arguments": {"generator": 1}}, "generator is given by each request: take it out"),
        ({"weights_variant": "fp16"}, "cannot be read .*variant=fp16"),
        ({"lora": "nowhere"}, "lora: nowhere is missing"),
        ({"controlnets": {"depth": "nowhere"}}, "controlnets: depth: nowhere is missing"),
    ],
)
def test_settings_that_cannot_be_are_one_line(config, change, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=line) as error:
        images(replace(config, **change))
    assert "\n" not in str(error.value)


def test_a_controlnet_for_a_condition_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="controlnets: no condition is called 'skech', did you mean 'sketch'"):
        Config("x", controlnets={"skech": "y"})


@pytest.mark.parametrize("change", [{"pass_size": 0}, {"steps": 0}, {"strength": 0.0}, {"width": -8}])
def test_numbers_that_cannot_be_are_one_line(change):
    [(name, number)] = change.items()
    with pytest.raises(UserError, match=f"diffusers_pipeline: {name} is {number}, expected"):
        Config("x", **change)


def test_a_folder_that_is_damaged_is_one_line(config, folder, tmp_path):
    for name, line in (
        ("unet/diffusion_pytorch_model.safetensors", "cannot be read"),
        ("model_index.json", "model_index.json cannot be read"),
    ):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, copy)
        (copy / name).write_bytes((copy / name).read_bytes()[:40])
        with pytest.raises(UserError, match=line):
            images(replace(config, model=str(copy)))


def test_a_package_that_is_missing_is_named_with_its_installation(config, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("t2ibench.methods.diffusers_pipeline.places.known", lambda library: library != "transformers")
    with pytest.raises(
        UserError, match=r"text_encoder of .* needs the package transformers, .*: pip install 't2ibench\[pipelines\]'"
    ):
        Method(config, Models())


def test_a_pipeline_that_reads_no_text_is_one_line(config, tmp_path):
    blocks = {"down_block_types": ("DownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "UpBlock2D")}
    unet = diffusers.UNet2DModel(8, 3, 3, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, **blocks)
    pipeline: Any = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path / "ddpm")
    with pytest.raises(UserError, match="DDPMPipeline takes no prompt, so it cannot draw from a text"):
        images(Config(str(tmp_path / "ddpm")))


def run(path: Path, method: str) -> dict:
    list(runner.run(suite.load(str(path)), runner.RunOptions()))
    return records.read(records.path_of(Path("runs"), "squares", "text_to_image", method, 0))


def squares_suite(squares, config: Config, label: str) -> Path:
    entry = f"{{name: diffusers_pipeline, as: {label}, model: {config.model}, steps: 2, pass_size: 4}}"
    return squares(("{name: painter, as: blind, colour_blind: true}", entry), ("hue, pair_hue", "hue"))


def test_it_runs_through_a_suite_and_is_recorded(squares, config):
    record = run(squares_suite(squares, config, "tiny"), "tiny")
    assert record["counts"]["ok"] == record["counts"]["requested"] == 20
    assert 0 <= record["values"]["hue"]["value"] <= 1
    assert record["identity_of"]["maker"]["weights"] == [record["weights"]["tiny"]["sha256"]]
    assert record["config"]["config"]["steps"] == 2
    assert record["trained_on"] == ["unknown"]


def test_withheld_images_are_no_scores(squares, config, tmp_path):
    withheld = diffusers_tiny.stable_diffusion(tmp_path / "withheld", diffusers_tiny.safety_checker(-2))
    record = run(squares_suite(squares, replace(config, model=str(withheld)), "withheld"), "withheld")
    assert record["counts"] == {"requested": 20, "generated": 0, "ok": 0, "black": 0, "nan": 0, "failed": 20}
    assert record["partial"]
    assert record["failures"][0]["message"] == FLAGGED
    assert record["values"] == {}


def test_the_suite_of_the_documentation_is_one(tmp_path, folder):
    """With the folder put in, every method's settings are read, and the pipeline draws at the size of the data set."""
    text = (Path(__file__).parents[2] / "docs/pipelines.md").read_text("utf-8")
    (tmp_path / "mine.yaml").write_text(
        text.split("```yaml\n")[1].split("```")[0].replace("path/to/folder", str(folder))
    )
    shown = suite.load(str(tmp_path / "mine.yaml"))
    assert shown.title.startswith("My pipeline beside a GAN of the zoo")
    for entry in shown.methods[:2]:
        _, config = methods.configured(entry, shown.name)
        assert images(replace(config, steps=2, dtype="float32")).shape == (2, 3, 64, 64)


def test_the_method_is_listed():
    assert plugins.method_ids()["diffusers_pipeline"] == ("diffusers_pipeline", {})
    assert "diffusers" in plugins.paper("diffusers_pipeline")["citation"]["code"]


@pytest.mark.gpu
def test_a_pipeline_draws_on_cuda(tmp_path):
    method = Method(Config(model=str(diffusers_tiny.stable_diffusion(tmp_path / "sd")), steps=2), Models())
    with pretended() as device:  # after the pipeline was read: its library leaves memory unset on a pretended device
        method.pipeline.to(device)
        made = method.text_to_image([TextToImage("a bird", 1), TextToImage("a fish", 2)])
    assert (made.device.type, made.shape) == ("cpu", (2, 3, 16, 16))
