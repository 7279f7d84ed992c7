"""Methods and their trainings on a pretended CUDA device: nothing mixes tensors of both devices."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import composer_tiny
import encoder_files
import extractor_files
import gan_cls_data
import numpy as np
import pytest
import reed_files
import styleclip_models
import stylegan_nada_tiny
import torch
from clip_tiny import tiny_weights
from gan_cls_data import colour_split
from lpips_files import lpips_files
from PIL import Image
from pretend_cuda import CUDA, pretended, resumed
from styleclip_tiny import TinyModels
from stylegan2_files import public_state
from stylet2i_tiny import TINY, squares, train_all
from torch import nn

from t2ibench.methods import composer, gan_cls, styleclip, stylegan_nada, stylet2i
from t2ibench.methods.composer import settings as composer_settings
from t2ibench.methods.composer.decompose import Decomposition, Extractors
from t2ibench.methods.gan_cls.settings import VARIANTS
from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models
from t2ibench.tracks.compose import request
from t2ibench.tracks.compose_tasks import tasks
from t2ibench.tracks.contract import Adapt, Edit, Source, TextToImage

NEUTRAL, TARGET = "a red square on white", "this square is blue"


pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _on_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    with pretended():
        yield


def on_cuda(models: Any) -> Any:
    """Tiny models, moved."""
    models.device = CUDA
    if isinstance(models, TinyModels):
        models.tiny, models.reader = models.tiny.to(CUDA), Clip.from_zoo(tiny_weights(), CUDA)
    for name, generator in models._generators.items():
        models._generators[name] = generator.to(CUDA)
    return models


def photographs(count: int = 1, side: int = 32) -> list[np.ndarray]:
    return list(np.random.Generator(np.random.PCG64(0)).integers(0, 256, (count, 3, side, side), np.uint8))


# GAN-CLS


@pytest.mark.parametrize("variant", [*VARIANTS, "style-encoder"])
def test_a_gan_resumes(variant, tmp_path):
    gan_cls_data.write_tiny_weights(tmp_path)
    small = {"text_encoder": "tiny-encoder", "nz": 4, "nt": 3, "ngf": 2, "ndf": 2, "batch": 4, "captions": 1}
    if variant == "style-encoder":
        small = {"generator": "tiny-gan", "batch": 4}
    splits = colour_split(12), colour_split(8, "val")
    resumed(lambda: gan_cls.recipe(variant, {**small, "preset": "reference"}, *splits, Models(CUDA), 0), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("image_side", ["joint", "attributes", "clip-guide-avatars"])
def test_a_text_encoder_resumes(image_side, tmp_path):
    small = {"channels": [4, 5, 6], "length": 60, "out": 5, "batch": 4, "image_side": image_side, "preset": "reference"}
    splits = colour_split(12), colour_split(8, "val")
    resumed(lambda: gan_cls.recipe("text-encoder", small, *splits, Models(CUDA), 0), tmp_path)


def test_a_gan_draws(tmp_path):
    gan_cls_data.write_tiny_weights(tmp_path)
    method = gan_cls.Method(gan_cls.Config(weights="tiny-gan"), Models(CUDA))
    images = method.text_to_image([TextToImage("a red card", 1), TextToImage("a blue card", 2)])
    assert (images.device.type, images.shape) == ("cpu", (2, 3, 64, 64))


def test_released_networks_of_lua_torch_draw(tmp_path):
    generator = reed_files.generator_file(tmp_path / "net_G.t7", reed_files.generator_numbers())
    encoder = reed_files.encoder_file(tmp_path / "lm_sje.t7", reed_files.encoder_numbers(gated=True), pool=False)
    method = gan_cls.Method(gan_cls.Config(weights=str(generator), text_encoder=str(encoder)), Models(CUDA))
    assert method.text_to_image([TextToImage("a bird", 1), TextToImage("a flower", 2)]).device.type == "cpu"


# StyleCLIP

STYLECLIP: dict[str, dict[str, Any]] = {
    "jacobian": {},
    "vjp": {"relevance": "vjp", "probes": 2},
    "table": {"relevance": "table", "max_resolution": 4},
    "optimization": {"variant": "optimization", "steps": 2},
    "optimization in s": {"variant": "optimization", "steps": 2, "latent": "s", "start": "mean", "stop_at": 0.9},
    "mapper": {"variant": "mapper", "mapper_steps": 2, "mapper_batch": 2, "mapper_codes": 10},
    "mapper in s": {"variant": "mapper", "mapper_steps": 2, "mapper": "style", "mapper_optimiser": "ranger"},
}


@pytest.mark.parametrize("name", STYLECLIP)
def test_styleclip_edits_seeds_and_images(name):
    small = {"images": 2, "statistics_samples": 30, "projection_steps": 2}
    method = styleclip.Method(styleclip.Config(**{**small, **STYLECLIP[name]}), on_cuda(TinyModels()))
    [photograph] = photographs()
    requests = [Edit(NEUTRAL, TARGET, 1), Edit(NEUTRAL, TARGET, 2, image=photograph)]
    assert method.edit(requests).device.type == "cpu"
    assert method.unedited(requests).shape == (2, 3, 32, 32)


def test_styleclip_starts_from_and_learns_from_the_latents_of_a_file(tmp_path):
    models = on_cuda(TinyModels())
    path, layout = str(tmp_path / "faces.pt"), models.stylegan2("").config
    torch.save(torch.randn(4, layout.rows, layout.w_dim), path)
    config = styleclip.Config("mapper", latents=path, mapper_latents=path, mapper_steps=2, mapper_batch=2)
    method = styleclip.Method(config, models)
    assert method.edit([Edit(NEUTRAL, TARGET, 1), Edit(NEUTRAL, TARGET, 6)]).device.type == "cpu"


@pytest.mark.parametrize("kind", ["Encoder4Editing", "BackboneEncoder"])
def test_styleclip_edits_what_a_published_encoder_finds(kind, tmp_path):
    generator = styleclip_models.tiny_generator(w_dim=encoder_files.WIDTH)
    torch.save(encoder_files.encoder_file(generator, kind), tmp_path / "e4e.pt")
    config = styleclip.Config("optimization", encoder=str(tmp_path / "e4e.pt"), projection_steps=2, steps=2)
    method = styleclip.Method(config, on_cuda(TinyModels(generator)))
    assert method.edit([Edit(NEUTRAL, TARGET, 0, image=photographs()[0])]).device.type == "cpu"


def test_styleclip_edits_by_published_tables_and_lpips_leads_a_projection(tmp_path):
    layout = TinyModels().stylegan2("").config
    rows = sum(layer.channels for layer in layout.layers if not layer.is_rgb)
    table = np.random.default_rng(0).standard_normal((rows, TinyModels().clip("").encode_texts(["a"]).shape[1]))
    np.save(tmp_path / "fs3.npy", (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32))
    np.save(tmp_path / "W.npy", np.random.default_rng(1).standard_normal((20, layout.w_dim)).astype(np.float32))
    heads, trunk, *_ = lpips_files(tmp_path)
    files: dict[str, Any] = {
        "directions": str(tmp_path / "fs3.npy"),
        "codes": str(tmp_path / "W.npy"),
        "lpips": str(heads),
    }
    config = styleclip.Config(**files, lpips_trunk=str(trunk), relevance="table", projection_steps=2, images=2)
    method = styleclip.Method(config, on_cuda(TinyModels()))
    requests = [Edit(NEUTRAL, TARGET, 1), Edit(NEUTRAL, TARGET, 2, image=photographs()[0])]
    assert method.edit(requests).device.type == "cpu"


# StyleGAN-NADA


def test_an_adaptation_to_images_with_every_loss_resumes(tmp_path):
    Image.fromarray(photographs()[0].transpose(1, 2, 0)).save(tmp_path / "texture.png")
    picture = str(tmp_path / "texture.png")
    given: dict[str, Any] = {"target_images": (picture,), "lambda_patch": 1.0, "patch_side": 16, "lambda_manifold": 1.0}
    given |= {"lambda_texture": 1.0, "texture": picture, "texture_clip": "clip-1", "target_latents": 2}

    def make() -> Any:
        models = on_cuda(stylegan_nada_tiny.TinyModels())
        models._clips["clip-1"] = moved_clip(models.clip("clip-1"))
        return stylegan_nada_tiny.recipe(models, **given)

    resumed(make, tmp_path)


def test_a_released_child_draws(tmp_path):
    child = styleclip_models.tiny_generator()
    with torch.no_grad():
        child.const.add_(0.3)
    torch.save({"g_ema": public_state(child), "g_optim": {}}, tmp_path / "anime.pt")
    models = on_cuda(stylegan_nada_tiny.TinyModels())
    method = stylegan_nada.Method(stylegan_nada_tiny.config(weights=str(tmp_path / "anime.pt")), models)
    assert method.adapt([Adapt("a face", "an anime face", 1)]).device.type == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"noise": "random", "views": 2, "layers": 2, "lambda_global": 0.5}])
def test_an_adaptation_resumes(given, tmp_path):
    def make() -> Any:
        models = on_cuda(stylegan_nada_tiny.TinyModels())
        models._clips["clip-1"] = moved_clip(models.clip("clip-1"))
        return stylegan_nada_tiny.recipe(models, **given)

    resumed(make, tmp_path)


def moved_clip(clip: Clip) -> Clip:
    clip.model, clip.device = clip.model.to(CUDA), CUDA
    return clip


def test_stylegan_nada_adapts_and_mines():
    models = on_cuda(stylegan_nada_tiny.TinyModels())
    models._clips["clip-1"] = moved_clip(models.clip("clip-1"))
    config = stylegan_nada_tiny.config(mining_steps=2, mining_batch=2, mining_codes=4)
    method = stylegan_nada.Method(config, models)
    requests = [Adapt(stylegan_nada_tiny.FACE, stylegan_nada_tiny.SKETCH, seed) for seed in (1, 2)]
    assert method.adapt(requests).device.type == "cpu"
    assert method.unadapted(requests).shape == (2, 3, 32, 32)


# StyleT2I


@pytest.mark.slow
@pytest.mark.parametrize("part", ["parts", "attribute", "sentence", "clip"])
def test_a_part_of_stylet2i_resumes(part, tmp_path):
    models = on_cuda(train_all(tmp_path))
    given = {"base": "c", "batch": 4, "steps": 2, "learning_rate": 1e-2} if part == "clip" else TINY[part]
    if part == "clip":
        models.weights = lambda name: tiny_weights()
    resumed(lambda: stylet2i.recipe(part, given, squares(), squares("val", 6), models, 0), tmp_path)


def test_stylet2i_draws(tmp_path):
    models = on_cuda(train_all(tmp_path))
    config = stylet2i.Config("stylet2i-sentence-squares", "stylet2i-attribute-squares", "g")
    method = stylet2i.Method(config, models)
    assert method.text_to_image([TextToImage("person 1 with long hair", 1)]).device.type == "cpu"


def test_stylet2i_draws_with_a_released_network(tmp_path):
    models = on_cuda(TinyModels())
    layout, text = models.stylegan2("").config, nn.GRU(6, 5, bidirectional=True)
    out = layout.rows * layout.w_dim
    layers = nn.Linear(5 + layout.w_dim, out), nn.ReLU(), nn.Linear(out, out), nn.ReLU(), nn.Linear(out, out)
    network = nn.ModuleDict({"recurrent": text, "mlp": nn.Sequential(*layers)})
    torch.save({"sentence_encoder": network.state_dict()}, tmp_path / "last.pt")
    (tmp_path / "glove.txt").write_text("person 1 2 3 4 5 6\nhat 6 5 4 3 2 1\n")
    config = stylet2i.Config(str(tmp_path / "last.pt"), caa=False, vectors=str(tmp_path / "glove.txt"))
    method = stylet2i.Method(config, models)
    assert method.text_to_image([TextToImage("a person", 1), TextToImage("a hat", 2)]).device.type == "cpu"


# Composer


@pytest.fixture
def _small_composer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    composer_tiny.write_tiny_weights(tmp_path)
    tiny = {field.name: getattr(composer_tiny.TINY, field.name) for field in dataclasses.fields(composer_tiny.TINY)}
    monkeypatch.setitem(composer_settings.SHAPES, "xs", {**tiny, "max_words": 8})


@pytest.mark.slow
@pytest.mark.usefixtures("_small_composer")
@pytest.mark.parametrize("part", ["composer", "prior", "upsampler"])
def test_a_part_of_composer_resumes(part, tmp_path):
    network = {"judge": "attribute-judge-avatars"} if part == "upsampler" else {"clip": "clip-guide-avatars"}
    small = {**network, "batch": 4, "warmup": 1, "ema": 0.5}
    splits = composer_tiny.half_split(), composer_tiny.half_split(4, "val")
    resumed(lambda: composer.recipe(part, small, *splits, Models(CUDA), 0), tmp_path)


@pytest.mark.usefixtures("_small_composer")
def test_composer_draws_and_edits():
    config = composer.Config(weights="tiny-composer", upsampler="", prior="", steps=2, inversion_steps=2)
    method = composer.Method(config, Models(CUDA))
    assert method.text_to_image([TextToImage("a red floor", 1)]).device.type == "cpu"


@pytest.mark.usefixtures("_small_composer")
def test_composer_puts_every_task_together():
    config = composer.Config(
        weights="tiny-composer", upsampler="", prior="", steps=1, inversion_steps=1, source_side=16
    )
    method = composer.Method(config, Models(CUDA))
    split: Any = composer_tiny.half_split(2)
    a, b = (Source(split.images.read([k])[0], split.masks.read([k])[0], caption="a red floor") for k in range(2))
    known = np.arange(256).reshape(16, 16) < 128
    made = method.compose([request(task, a, b, 3, known) for task in tasks().values()])
    assert made.device.type == "cpu"
    assert method.edit([Edit("a red floor", "a blue floor", 1, image=photographs(side=16)[0])]).device.type == "cpu"


def test_composer_takes_photographs_apart(tmp_path):
    torch.save(extractor_files.pidinet_state(), tmp_path / "edges.pth")
    extractor_files.write_simplification(tmp_path / "model_gan.t7", extractor_files.simplification_state())
    torch.save(extractor_files.midas_state(), tmp_path / "dpt.pt")
    sketch = f"{tmp_path}/edges.pth+{tmp_path}/model_gan.t7"
    extractors = Extractors(sketch=sketch, instances="silhouette", depth=str(tmp_path / "dpt.pt"))
    images = torch.from_numpy(np.stack(photographs(2)))
    made, expected = (Decomposition(extractors, Models(device), 16).extract(images) for device in (CUDA, "cpu"))
    for name in ("palette", "embedding"):
        torch.testing.assert_close(getattr(made, name), getattr(expected, name), atol=1e-4, rtol=1e-4)
    assert (made.maps.int() - expected.maps.int()).abs().max() <= 1


def test_composer_draws_with_its_upsampler_and_prior():
    method = composer.Method(composer.Config(steps=1, prior_steps=1), Models(CUDA))
    assert method.text_to_image([TextToImage("a man with glasses", 1)]).shape == (1, 3, 64, 64)
