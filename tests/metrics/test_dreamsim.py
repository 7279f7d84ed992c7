"""DreamSim by the numbers of its sheet, with a package that stands in for the authors' own."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_edits import FakeEdits
from PIL import Image

from t2ibench.checks.contracts import check_metric
from t2ibench.core.errors import UserError
from t2ibench.metrics import dreamsim
from t2ibench.networks import extractors
from t2ibench.networks.dreamsim import DreamSim, centred
from t2ibench.networks.models import Models

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder as the released zip leaves it, and a package whose embedding is the mean colour of four quarters."""
    (tmp_path / "ensemble_lora").mkdir()
    (tmp_path / "ensemble_lora" / "adapter_config.json").write_text("{}")
    (tmp_path / "ensemble_lora" / "adapter_model.safetensors").write_bytes(b"weights")
    asked = []

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[1:] == (3, 224, 224)
        assert 0 <= pixels.min() <= pixels.max() <= 1
        return torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1)

    def load(**given):
        asked.append(given)
        return SimpleNamespace(embed=embed), None

    monkeypatch.setitem(sys.modules, "dreamsim", SimpleNamespace(dreamsim=load, asked=asked))
    return tmp_path


def pixels(count: int, seed: int, side: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), np.uint8)
    return coarse.repeat(side // 4, 2).repeat(side // 4, 3)


def test_the_golden_distance():
    """(1,2,3,4) and (2,1,0,5) are .5219085 apart; not centred they would be .2."""
    a, b = centred(torch.tensor([[1.0, 2, 3, 4], [2, 1, 0, 5]], dtype=torch.float64))
    assert 1 - float(a @ b) == pytest.approx(0.5219085, abs=1e-7)


def test_the_package_is_asked_for_embeddings_as_they_are_and_images_are_squashed(folder):
    network = DreamSim(folder, CPU)
    [asked] = sys.modules["dreamsim"].asked
    assert asked == {
        "pretrained": True,
        "device": "cpu",
        "cache_dir": str(folder),
        "normalize_embeds": False,
        "dreamsim_type": "ensemble",
    }
    image = pixels(1, 0)[:, :, :48]
    shown = Image.fromarray(image[0].transpose(1, 2, 0)).resize((224, 224), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(shown)).permute(2, 0, 1)[None].float() / 255
    embedding = torch.nn.functional.adaptive_avg_pool2d(expected, 2).flatten(1)
    torch.testing.assert_close(network.features(torch.from_numpy(image)), centred(embedding))
    other = folder / "ensemble_lora" / "adapter_model.safetensors"
    other.write_bytes(b"others")
    assert DreamSim(folder, CPU).sha256 != network.sha256


def test_equal_images_are_0_apart_and_others_are_not(folder):
    sources = pixels(4, 0)
    name, values = f"dreamsim:{folder}", []
    for made in (sources, np.roll(sources, 1, 0)):
        network = extractors.find(Models(), name)
        images = {"edits": made, "sources": sources}
        features = {group: network.network(torch.from_numpy(pixels)) for group, pixels in images.items()}
        evidence = FakeEdits(["hat=red"], 4, features=features)
        values.append(dreamsim.score(evidence, dreamsim.Config(str(folder)))["dreamsim"])
    assert values[0].value == pytest.approx(0, abs=1e-6)
    assert values[1].value == pytest.approx(values[1].details["another"], abs=1e-6)
    assert values[1].value > 0.1
    assert values[0].better == "lower"


def test_what_is_missing_is_one_line(folder, tmp_path, monkeypatch):
    evidence = FakeEdits(["hat=red"], 2)
    with pytest.raises(UserError, match="no folder of its weights is given: download"):
        dreamsim.score(evidence, dreamsim.Config())
    with pytest.raises(UserError, match="has no folder ensemble_lora or dino_vitb16_single_lora"):
        DreamSim(tmp_path / "gone", CPU)

    def broken(**given):
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(sys.modules["dreamsim"], "dreamsim", broken)
    with pytest.raises(UserError, match=r"cannot load .* \(RuntimeError: no network\): download"):
        DreamSim(folder, CPU)
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    with pytest.raises(UserError, match="pip install dreamsim"):
        DreamSim(folder, CPU)


def test_it_keeps_the_contract_of_a_metric(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    few = {"prompts": {"captions": 6}, "edits": {"images": 3}, "adapt": {"images": 3, "reference": 3}}
    asked: dict[str, dict[str, Any]] = {**few, "compose": {"inputs": 2, "tasks": ["S"]}}
    check_metric("dreamsim", {"weights": str(folder)}, asked=asked, wrong=[{"weights": ""}, {"weights": "nowhere"}])
