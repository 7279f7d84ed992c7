"""Weights and their cards: what is written is read, and what is damaged is refused in one line."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from t2ibench.core.errors import UserError
from t2ibench.networks import weights as weight_files
from t2ibench.networks import zoo


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    weight_files.write(
        tmp_path / "tiny.safetensors",
        {"weight": torch.tensor([1.0, 0.1]), "count": torch.tensor(70_000)},
        {"size": 2},
        {"seed": 1},
    )
    return tmp_path / "tiny.safetensors"


def test_what_is_written_is_read_in_half_precision(weights: Path):
    read = weight_files.load("tiny")
    assert read.tensors["weight"].tolist() == [1.0, float(torch.tensor(0.1).half())]
    assert read.tensors["weight"].dtype == torch.float32
    assert int(read.tensors["count"]) == 70_000  # integers are kept whole
    assert (read.config, read.card["seed"], read.card["parameters"]) == ({"size": 2}, 1, 3)
    assert sorted(path.name for path in weights.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_a_folder_of_ones_own_hides_the_package(weights: Path):
    own = zoo.available()["tiny"]
    assert own == weights


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: data[:-1], "its card expects"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "its card expects"),
    ],
    ids=["zero bytes", "truncated", "one bit"],
)
def test_damaged_weights_are_one_line(weights: Path, damage, says: str):
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(UserError, match=says) as caught:
        weight_files.load("tiny")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_safetensors_is_one_line(weights: Path):
    weights.write_bytes(b"PK no tensors")
    card = json.loads(weights.with_suffix(".json").read_text())
    del card["card_sha256"]
    card["sha256"] = hashlib.sha256(b"PK no tensors").hexdigest()
    weights.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="not a safetensors file"):
        weight_files.load("tiny")


@pytest.mark.parametrize("card", ["", "{", "[]", "{}", '{"sha256": "00"}'])
def test_a_damaged_card_is_one_line(weights: Path, card: str):
    weights.with_suffix(".json").write_text(card)
    with pytest.raises(UserError, match=r"tiny\.json") as caught:
        weight_files.load("tiny")
    assert "\n" not in str(caught.value)


def test_weights_without_a_card_are_refused(weights: Path):
    weights.with_suffix(".json").unlink()
    with pytest.raises(UserError, match="is missing"):
        weight_files.load("tiny")


def test_an_unknown_name_is_answered_with_the_nearest(weights: Path):
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        weight_files.load("tinny")


def test_a_name_like_none_is_refused_without_the_whole_zoo(weights: Path):
    with pytest.raises(UserError) as error:
        weight_files.load("sha256 0123")
    assert "t2ibench list weights" in str(error.value)
    assert "stylegan2-avatars" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_not_finite_are_never_written(weights: Path, value: float):
    before = weights.read_bytes()
    with pytest.raises(UserError, match="not finite"):
        weight_files.write(weights, {"weight": torch.tensor([value])}, {}, {})
    assert weights.read_bytes() == before


@pytest.mark.parametrize("name", sorted(path.stem for path in zoo.SHIPPED.glob("*.safetensors")))
def test_shipped_weights_are_whole_small_and_documented(name: str):
    path = zoo.SHIPPED / f"{name}.safetensors"
    card = weight_files.read(path).card
    assert path.stat().st_size <= 16 * 2**20
    assert {
        "sha256",
        "config",
        "recipe",
        "data",
        "seed",
        "minutes",
        "machine",
        "validation",
        "optimised_for",
    } <= card.keys()
    assert card["data"]["digest"]


def test_all_shipped_weights_together_stay_under_96_mib():
    assert sum(path.stat().st_size for path in zoo.SHIPPED.glob("*.safetensors")) <= 96 * 2**20


@pytest.mark.parametrize("path", sorted(zoo.SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_every_card_that_ships_holds_its_own_hash(path: Path):
    assert zoo.SEAL in json.loads(path.read_text("utf-8"))
    zoo.card(path)
