"""Networks and their trainings on a pretended CUDA device, and what that device refuses."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_tiny import tiny_weights
from gan_cls_data import colour_split
from judged import squares
from lpips_files import lpips_files
from openai_clip import network
from pretend_cuda import CUDA, REAL, pretended, resumed
from stylegan2_files import generator_of

from t2ibench.core import environment
from t2ibench.networks import extractors, torchvision_inception
from t2ibench.networks.arcface import ArcFace, face_crop
from t2ibench.networks.clip import Clip
from t2ibench.networks.lpips import Lpips
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import checkpoints
from t2ibench.networks.training import attribute_judge, clip, stylegan2

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _on_cuda() -> Iterator[None]:
    with pretended():
        yield


MIXED: dict[str, Callable[[], Any]] = {
    "both devices": lambda: torch.zeros(3, device=CUDA) + torch.zeros(3),
    "a CPU generator": lambda: torch.randn(3, device=CUDA, generator=torch.Generator()),
    "a CPU tensor at CUDA indices": lambda: torch.arange(5)[torch.zeros(2, dtype=torch.long, device=CUDA)],
    "numpy": lambda: torch.zeros(3, device=CUDA).numpy(),
    "a product with a matrix": lambda: torch.zeros(3, 3) @ torch.zeros(3, 3, device=CUDA),
    "writing into a CPU tensor": lambda: torch.zeros(3).add_(torch.zeros(3, device=CUDA)),
}


@pytest.mark.parametrize("name", MIXED)
def test_the_pretended_device_refuses_what_cuda_refuses(name):
    with pytest.raises((RuntimeError, TypeError)) as caught:
        MIXED[name]()
    assert REAL or "PRETENDED" in str(caught.value)


def test_the_pretended_device_does_what_cuda_does():
    x = torch.arange(6.0).view(2, 3).to(CUDA)
    layer = torch.nn.Linear(3, 2).to(CUDA)
    assert all(value.device == CUDA for value in layer.parameters())
    assert (x + 1).device == (x * torch.tensor(2.0)).device == x[torch.tensor([1])].device == CUDA
    assert x.sum().item() == 15
    optimiser = torch.optim.Adam(layer.parameters(), 0.1)
    before = layer.weight.detach().cpu().clone()
    layer(x).square().mean().backward()
    optimiser.step()
    assert not torch.equal(layer.weight.detach().cpu(), before)
    assert layer.weight.grad is not None
    assert layer.weight.grad.is_cuda


SMALL_GAN = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 256, "channel_max": 8, "batch": 4}
TRAININGS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "small discriminator": (stylegan2, "stylegan2", {**SMALL_GAN, "r1_every": 2}),
    "projected discriminator": (stylegan2, "stylegan2", {**SMALL_GAN, "discriminator": "projected", "head_width": 4}),
    "stylegan2": (
        stylegan2,
        "stylegan2",
        {**SMALL_GAN, "discriminator": "stylegan2", "loss": "logistic", "path_length": 2.0, "path_every": 2},
    ),
    "encoder": (stylegan2, "encoder", {"generator": "tiny", "batch": 4}),
}


def models() -> Models:
    """A tiny CLIP and a tiny generator under the names that the recipes ask for."""
    made = Models(CUDA)
    made._clips["clip-guide-avatars"] = Clip.from_zoo(tiny_weights(), CUDA)
    torch.manual_seed(0)
    made._generators["tiny"] = checkpoints.Generator(
        checkpoints.Config(64, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=8)
    ).to(CUDA)
    made.used["tiny"] = {"sha256": "00", "data": None, "optimised_for": None}
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_resumes(name, tmp_path):
    module, part, given = TRAININGS[name]
    splits = colour_split(12), colour_split(4, "val")
    given = {**given, "bfloat16": False, "clip": "clip-guide-avatars"}
    resumed(lambda: module.recipe(part, given, *splits, models(), 0), tmp_path)


def test_the_attribute_judge_resumes(tmp_path):
    small = {"widths": [8, 16, 16, 16], "features": 16, "batch": 8, "calibration": 64, "bfloat16": False}
    splits = squares(120), squares(40, "val")
    resumed(lambda: attribute_judge.recipe("attribute-judge", small, *splits, Models(CUDA), 0), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["guide", "guide-styles"])
def test_a_clip_resumes(part, tmp_path):
    splits = squares(60), squares(40, "val")
    resumed(lambda: clip.recipe(part, {"batch": 8, "bfloat16": False}, *splits, Models(CUDA), 0), tmp_path)


def test_published_networks_answer_as_on_the_cpu(tmp_path: Path):
    path = str(tmp_path / "clip.pt")
    torch.save(network().state_dict(), path)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    there, here = Models(CUDA).clip(path), Models().clip(path)
    torch.testing.assert_close(there.encode_images(images.to(CUDA)), here.encode_images(images), atol=1e-6, rtol=0)
    torch.testing.assert_close(there.encode_texts(["a bird"]), here.encode_texts(["a bird"]), atol=1e-6, rtol=0)
    checkpoints.save(tmp_path / "network.pt", generator_of("stylegan2_32"), {})
    z = torch.randn(2, 32)
    made = Models(CUDA).stylegan2(str(tmp_path / "network.pt"))(z.to(CUDA), psi=0.7)
    torch.testing.assert_close(made.cpu(), generator_of("stylegan2_32")(z, psi=0.7), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_lpips_answers_as_on_the_cpu(tmp_path):
    heads, trunk, *_ = lpips_files(tmp_path)
    images = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    there = Lpips.from_files(heads, trunk).to(CUDA)(*images.to(CUDA))
    torch.testing.assert_close(there.cpu(), Lpips.from_files(heads, trunk)(*images), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_extractors_of_published_files_answer_on_the_cpu(tmp_path, monkeypatch):
    timm, models = pytest.importorskip("timm"), pytest.importorskip("torchvision.models")
    vision = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=518, num_classes=0)
    torch.save({**vision.state_dict(), "mask_token": torch.zeros(1, 384)}, tmp_path / "dinov2_vits14_pretrain.pth")
    path = tmp_path / torchvision_inception.FILE
    torch.save(models.inception_v3(weights=None, init_weights=False, transform_input=True).state_dict(), path)
    monkeypatch.setattr(torchvision_inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    monkeypatch.setenv(torchvision_inception.VARIABLE, str(tmp_path))
    images = torch.randint(0, 256, (2, 3, 30, 50), dtype=torch.uint8)
    for name in (f"dinov2:{tmp_path}/dinov2_vits14_pretrain.pth", "inception-torchvision-tensor"):
        made, expected = (extractors.find(Models(device), name).network(images) for device in (CUDA, "cpu"))
        assert made.device.type == "cpu"
        torch.testing.assert_close(made, expected, atol=1e-3, rtol=1e-3)


def test_arcface_answers_on_cuda():
    faces = ArcFace().to(CUDA)(face_crop(torch.zeros(1, 3, 64, 64, device=CUDA)))
    assert (faces.device, faces.shape) == (CUDA, (1, 512))


def test_the_record_names_the_gpu_that_was_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: {"cuda:1": "the second"}[device])
    assert environment.fingerprint("cuda:1")["device"] == "the second"
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: {"cuda:1": 7}[device])
    assert environment.peak_memory("cuda:1") == 7
