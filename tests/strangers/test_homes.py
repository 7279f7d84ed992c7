"""`~` in a path is the user's home, wherever the path is given; and no record names the user."""

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from t2ibench import cli
from t2ibench.cli import effects
from t2ibench.core import files
from t2ibench.core.errors import UserError
from t2ibench.core.settings import configure
from t2ibench.networks import weights
from t2ibench.networks.extractors import Extractor
from t2ibench.runner import suite
from t2ibench.scoring.score_images import score_images

TEXTS = '{"file_name": "0.png", "text": "a"}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "home"
    (folder / "made").mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (8, 8), (number * 30, 10, 20)).save(folder / f"made/{number}.png")
    monkeypatch.setenv("HOME", str(folder))
    files._user_in_paths.cache_clear()
    yield folder
    files._user_in_paths.cache_clear()


@dataclass(frozen=True)
class Config:
    root: Path
    weights: str = ""
    several: tuple[str, ...] = ()


def test_a_setting_with_a_tilde_is_a_path_at_home(home: Path):
    config = configure(Config, {"root": "~/made", "weights": "ViT-B-32:~/b.pt", "several": ["~/c", "a ~/ b"]}, "s")
    assert config == Config(home / "made", f"ViT-B-32:{home}/b.pt", (f"{home}/c", "a ~/ b"))
    text = "# t\ndataset: {name: avatars}\nmethods: [{name: image_folder, root: ~/made}]\nmetrics: [clip_score]\n"
    (home / "s.yaml").write_text(text)
    assert suite.load("~/s.yaml").methods[0].name == "image_folder"


def test_an_option_with_a_tilde_is_a_path_at_home(home: Path, monkeypatch: pytest.MonkeyPatch):
    assert effects._at_home(Path("~/made")) == home / "made"
    assert effects._at_home(["weights=~/w.pt", "prefix=a ~ b"]) == [f"weights={home}/w.pt", "prefix=a ~ b"]
    seen: dict[str, Any] = {}
    monkeypatch.setattr(effects, "check", lambda verb, ctx: seen.update(ctx.params))
    with pytest.raises(UserError, match="none is missing"):
        cli.app(["table", "~/none"])
    assert seen["folder"] == home / "none"


def test_a_folder_with_a_tilde_is_scored_from_python(home: Path, monkeypatch: pytest.MonkeyPatch):
    def patches(images: Tensor) -> Tensor:
        return adaptive_avg_pool2d(images.float(), 2).flatten(1) / 255

    monkeypatch.setenv("T2IBENCH_CACHE", str(home / "cache"))
    monkeypatch.setattr("t2ibench.scoring.evidence.find", lambda *_: Extractor("patches", "0" * 64, "none", patches))
    assert score_images("~/made", Path("~/made"), ["prdc"], extractor="patches")["coverage"].value == 1


def test_no_text_of_a_record_names_the_home_or_the_user(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    files._user_in_paths.cache_clear()
    content = {f"{home}/w.pt": [f"model:{home}/b.pt", f"{home}", f"'{home}/x' is missing", 3, f"{home}x/y"]}
    assert files.without_homes(content) == {"~/w.pt": ["model:~/b.pt", "~", "'~/x' is missing", 3, f"{home}x/y"]}
    text = "/scratch/alice/run, alice/b and /alice2/c"
    assert files.without_homes(text) == text.replace("/alice/", "/USER/")


def test_no_card_names_the_home(home: Path):
    settings = {"recipe": {"root": f"{home}/made", "guide": f"model:{home}/b.pt"}, "data": {"dataset": f"{home}/made"}}
    path = home / "a.safetensors"
    weights.write(path, {"x": torch.ones(2)}, {"width": 2}, settings)
    assert str(home) not in path.with_suffix(".json").read_text("utf-8")
    assert weights.read(path).card["recipe"]["guide"] == "model:~/b.pt"
