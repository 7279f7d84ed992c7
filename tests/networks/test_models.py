"""Networks are loaded once, and a list says which were handed out."""

from pathlib import Path

import pytest
import torch
from clip_tiny import tiny_weights

from t2ibench.core.errors import UserError
from t2ibench.networks import weights as weight_files
from t2ibench.networks.models import Models


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    weights = tiny_weights()
    weight_files.write(
        tmp_path / "clip-own.safetensors",
        weights.tensors,
        weights.config,
        {"optimised_for": "guiding", "data": {"dataset": "d"}, "x": 1},
    )
    return tmp_path


def test_a_network_is_loaded_once(own: Path):
    models = Models()
    assert models.clip("clip-own") is models.clip("clip-own")
    assert models.weights("clip-own") is models.weights("clip-own")
    assert models.device == torch.device("cpu")


def test_what_was_handed_out_is_listed_with_its_hash_and_purpose(own: Path):
    models = Models()
    assert models.used == {}
    clip = models.clip("clip-own")
    assert models.used == {"clip-own": {"sha256": clip.sha256, "optimised_for": "guiding", "data": {"dataset": "d"}}}


def test_unknown_and_damaged_weights_are_not_listed(own: Path):
    models = Models()
    (own / "clip-own.safetensors").write_bytes(b"")
    for name, says in (("clip-own", "0 bytes"), ("clip-onw", "did you mean 'clip-own'")):
        with pytest.raises(UserError, match=says):
            models.clip(name)
    assert models.used == {}


def test_the_zoo_hands_out_its_judges():
    models = Models()
    assert models.judge("attribute-judge-avatars").dimension == 192
    assert models.judge("attribute-judge-avatars") is models.judge("attribute-judge-avatars")
    assert models.used["attribute-judge-avatars"]["optimised_for"] == "scoring"
