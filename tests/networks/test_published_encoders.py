"""e4e, pSp and ReStyle: files in the published layouts give the latents of formulas written anew, others one line."""

import argparse
import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from encoder_files import WIDTH, encoder_file, offsets
from openai_clip import network, write_archive
from styleclip_models import TEXTS, tiny_clip, tiny_generator
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.methods.styleclip import Method
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.stylegan2.inversion import differences, project
from t2ibench.networks.stylegan2.published_encoders import KINDS, read
from t2ibench.tracks.contract import Edit


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator(w_dim=WIDTH)


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def drawn(generator: Generator, w_plus: Tensor) -> Tensor:
    return generator.synthesis(generator.style(w_plus))


@pytest.mark.parametrize("kind", KINDS[:2])
@torch.no_grad()
def test_e4e_and_psp_find_the_latents_of_the_released_code(kind, generator, photographs, tmp_path):
    content = encoder_file(generator, kind)
    found = read(saved(tmp_path / "e4e.pt", content), generator).encode(generator, photographs)
    torch.testing.assert_close(
        found, content["latent_avg"] + offsets(content["state_dict"], kind, photographs), atol=1e-4, rtol=1e-4
    )
    [alone] = read(tmp_path / "e4e.pt", generator).encode(generator, photographs[1:])
    torch.testing.assert_close(alone, found[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS[2:])
@torch.no_grad()
def test_restyle_looks_at_its_last_drawing_five_times(kind, generator, photographs, tmp_path):
    content = encoder_file(generator, kind)
    state = content["state_dict"]
    for name in [name for name in state if ".linear." in name]:
        state[name] = 0.1 * state[name]  # small steps: five of them must not blow up
    encoder = read(saved(tmp_path / "restyle.pt", content), generator)
    exact, exactly = copy.deepcopy(generator).double(), {name: value.double() for name, value in state.items()}
    w_plus = content["latent_avg"].double().expand(2, -1, -1)
    for _ in range(5):
        last = F.adaptive_avg_pool2d(drawn(exact, w_plus), 256)
        w_plus = w_plus + offsets(exactly, kind, torch.cat([photographs.double(), last], dim=1))
    found = encoder.encode(generator, photographs)  # five rounds of rounding come to 3e-5
    torch.testing.assert_close(found.double(), w_plus, atol=1e-4, rtol=1e-4)
    double = dataclasses.replace(encoder, network=encoder.network.double(), start=encoder.start.double())
    torch.testing.assert_close(double.encode(exact, photographs.double()), w_plus, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_offsets_may_be_from_zero_and_options_a_namespace(generator, photographs, tmp_path):
    content = encoder_file(generator, "GradualStyleEncoder", start_from_latent_avg=False)
    content |= {"opts": argparse.Namespace(**content["opts"]), "latent_avg": None}
    found = read(saved(tmp_path / "psp.pt", content), generator).encode(generator, photographs)
    expected = offsets(content["state_dict"], "GradualStyleEncoder", photographs)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_encoder_of_cars_sees_three_quarters_of_the_height(generator, photographs, tmp_path):
    content = encoder_file(generator, "Encoder4Editing", dataset_type="cars_encode")
    found = read(saved(tmp_path / "cars.pt", content), generator).encode(generator, photographs)
    expected = offsets(content["state_dict"], "Encoder4Editing", photographs[:, :, 32:224])
    torch.testing.assert_close(found, content["latent_avg"] + expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_real_image_is_edited_from_the_latents_that_the_file_finds(generator, tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    models = Models()
    models._generators["tiny"], models._clips["tiny-clip"] = generator, tiny_clip()
    models.used["tiny"] = {"sha256": "a0", "data": "squares", "optimised_for": None}
    content = encoder_file(generator, "Encoder4Editing")
    path = saved(tmp_path / "e4e_ffhq_encode.pt", content)
    config = Config("optimization", "tiny", "tiny-clip", encoder=str(path), projection_steps=0, steps=2, lambda_id=0.0)
    image = to_uint8(drawn(generator, 0.5 * torch.randn(1, 8, WIDTH))).clamp(0, 255)[0]
    unedited = Method(config, models).unedited([Edit(TEXTS[2], TEXTS[1], 0, image.numpy())])
    shown = F.interpolate(image[None] / 127.5 - 1, (256, 256), mode="bilinear", antialias=True)
    expected = content["latent_avg"] + offsets(content["state_dict"], "Encoder4Editing", shown)
    assert (unedited.int() - to_uint8(drawn(generator, expected)).int()).abs().max() <= 1
    assert models.used[str(path)]["sha256"]


def broken(generator: Generator) -> dict[str, tuple[Any, str]]:
    """Contents that are refused, and what the line says."""
    whole, kind = encoder_file(generator, "Encoder4Editing"), "Encoder4Editing"
    state = whole["state_dict"]
    other = {**state, "decoder.style.1.weight": state["decoder.style.1.weight"] + 1}
    sketch = {**state, "encoder.input_layer.0.weight": torch.zeros(16, 1, 3, 3)}
    return {
        "mapper": ({"g_ema": {}, "latent_avg": None}, "expected an encoder of e4e, pSp or ReStyle"),
        "no options": ({**whole, "opts": None}, "its options are missing, which tell e4e from pSp"),
        "old": ({**whole, "opts": {"encoder_type": "SingleStyleCodeEncoder"}}, "of the type 'SingleStyleCodeEncoder'"),
        "says nothing": ({**whole, "opts": {"encoder_type": kind}}, "do not say start_from_latent_avg"),
        "no mean": ({**whole, "latent_avg": None}, "its latent_avg is missing"),
        "part": (
            {**whole, "state_dict": {k: v for k, v in state.items() if k != "encoder.latlayer2.bias"}},
            "latlayer2.bias is missing",
        ),
        "generator": ({**whole, "state_dict": other}, r"another generator \(style.1.weight differs by 1\)"),
        "no generator": (
            {**whole, "state_dict": {k: v for k, v in state.items() if k.startswith("encoder.")}},
            "it holds no generator to compare with",
        ),
        "sketches": ({**whole, "state_dict": sketch}, "reads 1 channels, an encoder of images 3"),
        "shallow": (
            {**whole, "state_dict": {k: v for k, v in state.items() if ".body.4." not in f".{k}"}},
            "a body of 3 widths",
        ),
    }


def test_what_is_no_encoder_of_this_generator_is_one_line(generator, tmp_path):
    for name, (content, says) in broken(generator).items():
        path = saved(tmp_path / "file.pt", content)
        with pytest.raises(UserError, match=says) as error:
            read(path, generator)
        assert str(error.value).startswith(str(path)), name
        assert "\n" not in str(error.value), name


def test_a_clip_with_a_transformer_leads_the_projection_too(generator, tmp_path):
    clip = Clip.from_file(str(write_archive(tmp_path / "ViT-B-32.pt", network())))
    with torch.no_grad():
        images = drawn(generator, torch.randn(2, 8, WIDTH, generator=torch.Generator().manual_seed(2))).clamp(-1, 1)
        same, other = differences(clip, images, images), differences(clip, images, images.flip(0))
    assert all(torch.equal(values, torch.zeros(2)) for values in same)
    assert all((values > 0).all() for values in other)
    start = generator.mapping.w_avg.expand(2, 8, WIDTH)
    found = project(generator, clip, images, start, steps=10)
    with torch.no_grad():
        before, after = (
            torch.stack(differences(clip, drawn(generator, w_plus), images)).sum(0) for w_plus in (start, found)
        )
    assert (after < before).all()
