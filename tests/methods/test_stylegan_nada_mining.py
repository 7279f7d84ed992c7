"""Mining latents: codes of an adapted generator are moved by a mapper of its own, trained once, and the sources stay as
they are.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from stylegan_nada_tiny import FACE, SEPIA, SKETCH, TinyModels, config

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed
from t2ibench.methods.stylegan_nada import Method
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.schedule import batch_rows
from t2ibench.networks.training import loop
from t2ibench.networks.training.latent_mapper import norm_loss
from t2ibench.tracks.contract import Adapt

REQUESTS = [Adapt(FACE, SKETCH, 1), Adapt(FACE, SEPIA, 2), Adapt(FACE, SKETCH, 2)]
MINED: dict[str, Any] = {
    "steps": 1,
    "mining_steps": 2,
    "mining_batch": 2,
    "mining_codes": 4,
    "mining_learning_rate": 0.05,
}


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "zoo"))
    return tmp_path


def method(**settings: Any) -> Method:
    return Method(config(**{**MINED, **settings}), TinyModels())


def test_mined_images_are_others_from_the_same_sources_and_are_trained_once(monkeypatch: pytest.MonkeyPatch):
    names: list[str] = []
    plain = loop.fit

    def counted(recipe: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        names.append(name)
        return plain(recipe, name, *args, **kwargs)

    monkeypatch.setattr(loop, "fit", counted)
    mined, straight = method(), method(mining_steps=0)
    images, before = mined.adapt(REQUESTS), mined.unadapted(REQUESTS)
    assert torch.equal(before, straight.unadapted(REQUESTS))
    assert (images != straight.adapt(REQUESTS)).flatten(1).any(1).all()
    assert len(names) == 4  # an adaptation and a mapper for each of two texts; those of `straight` are the same
    again = method()
    torch.testing.assert_close(again.adapt(REQUESTS[1:]), images[1:], atol=1, rtol=0)  # one grey level of rounding
    assert len(names) == 4
    assert again.cost["spent_seconds"] == 0
    assert again.cost["training_seconds"] == pytest.approx(mined.cost["training_seconds"])
    assert mined.cost["training_seconds"] > straight.cost["training_seconds"]
    assert mined.cost["training_seconds_per_prompt"] == pytest.approx(mined.cost["training_seconds"] / 2)
    assert mined.cost["spent_seconds"] >= mined.cost["training_seconds"]


def test_another_adaptation_has_another_mapper(folders: Path):
    for settings in ({}, {"seed": 1}, {"strength": 0.5}, {"mining_norm": 0.0}):
        method(**settings).adapt(REQUESTS[:1])
    assert len(list((folders / "stylegan_nada" / "mappers").glob("*.safetensors"))) == 4
    assert len(list((folders / "stylegan_nada").glob("*.safetensors"))) == 2  # mining decides nothing of an adaptation


def test_several_clips_and_ranger_can_mine():
    settings = {
        "clips": ("clip-1", "clip-2"),
        "clip_weights": (1.0, 0.5),
        "mining_optimiser": "ranger",
        "mining_schedule": "constant",
    }
    assert method(**settings).adapt(REQUESTS[:1]).shape == (1, 3, 32, 32)


def test_equal_images_lose_nothing_by_the_length_of_their_embeddings():
    models = TinyModels()
    distance = ClipDistance(models.clip())
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert float(norm_loss(distance, images, images)) == pytest.approx(0, abs=1e-9)
    embeddings = [distance.embeddings(part).norm(dim=1) for part in (images[:1], images[1:])]
    assert float(norm_loss(distance, images[:1], images[1:])) == pytest.approx(
        float((embeddings[0] - embeddings[1]) ** 2), rel=1e-4
    )


def test_a_round_of_training_sees_as_many_codes_as_were_asked_for():
    rows = [int(row) for index in range(10) for row in batch_rows(derive_seed("stylegan_nada", "order"), index, 20, 2)]
    assert sorted(rows) == list(range(20))  # the released windows overlap, and show 11


def test_settings_of_mining_are_checked():
    with pytest.raises(UserError, match="mining_batch is 0, expected at least 1"):
        method(mining_batch=0)
