"""t2ibench/checks/contracts: every plug-in that ships keeps its contract, at the smallest sizes."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from PIL import Image
from plain_judges import ColourJudge, ColumnJudge, JudgedModels
from torch import Tensor

from t2ibench.checks.contracts import check_dataset, check_method, check_metric, squares
from t2ibench.core import plugins
from t2ibench.core.seeds import derive_seed
from t2ibench.datasets import avatars
from t2ibench.networks import inception

JUDGE = "attribute-judge-avatars"
# Few images of what the shipped networks know.
FACES: Mapping[str, Any] = {
    "dataset": "few_avatars",
    "asked": {
        "prompts": {"captions": 30},
        "edits": {"images": 4, "literals": ["eyewear=sunglasses", "facial_hair=beard"]},
        "adapt": {"images": 12, "reference": 12},
        "compose": {"inputs": 4, "tasks": ["S", "P", "style"]},
    },
}
SQUARES: Mapping[str, Any] = {"dataset": "judged_squares", "models": lambda: JudgedModels(ColourJudge())}
RARE: Mapping[str, Any] = {"dataset": "faces", "models": lambda: JudgedModels(ColumnJudge())}
PAIRS = {"images": 8, "single_images": 4, "draws": 50}

METHODS: Mapping[str, Mapping[str, Any]] = {  # settings of each shipped method or variant: the fewest steps
    "composer": {"steps": 1, "prior_steps": 1, "inversion_steps": 1, "upsampler": ""},
    "styleclip-global": {"statistics_samples": 50, "images": 2},
    "styleclip-optimization": {"steps": 2},
    "styleclip-mapper": {"mapper_steps": 1, "mapper_codes": 8},
    "stylegan-nada": {"steps": 1, "keep_every": 0},
}
METRICS: Mapping[str, Mapping[str, Any]] = {  # what each shipped metric is checked with, besides FACES
    "authenticity": {"settings": {"extractor": JUDGE}},
    "attributes_kept": {"settings": {"lessons": 60}, **SQUARES, "asked": None, "wrong": [{"lessons": 0}]},
    "cmmd": {"settings": {"fewest": 10}},
    "compositional_accuracy": {"settings": PAIRS, **RARE, "wrong": [{"images": 3}]},
    "diversity": {"settings": {"extractor": JUDGE}},
    "edit_success": {"settings": {"draws": 50, "calibration_images": 20}, **SQUARES, "asked": None},
    "fid": {"settings": {"extractor": JUDGE, "fewest": 10}},
    "identity": {**SQUARES, "asked": None},
    "image_similarity": {"settings": {"extractor": JUDGE}},
    "inception_score": {"settings": {"splits": 1, "fewest": 10}},
    "kid": {"settings": {"extractor": JUDGE, "fewest": 10}},
    "mind": {"settings": {"extractor": JUDGE, "fewest": 10, "directions": 50}, "ordered": True},  # a random subset
    "pair_r_precision": {
        "settings": {"clip": "clip-judge-avatars", "pool": 5},
        **RARE,
        "beside": {"compositional_accuracy": PAIRS},
        "wrong": [{"pool": 4}],
        "ordered": True,
    },
    "prdc": {"settings": {"extractor": JUDGE}, "wrong": [{"k": 0}]},
    "r_precision": {"settings": {"pool": 10}, "ordered": True},  # the order of the texts decides who is in a pool
    "reconstruction": {**SQUARES, "asked": None},
    "soft_tifa": {"settings": {"captions": 20}, "wrong": [{"captions": 1}, {"questions": "nowhere"}]},
    "structure": {"settings": {"extractor": JUDGE}},
    "vendi_score": {"settings": {"extractor": JUDGE, "prompts": 3, "images": 3}, "wrong": [{"order": 0.0}]},
    "vqa_score": {"wrong": [{"template": "no place for the text"}]},
}
# tried where their files are made: tests/metrics/test_{reference_likeness,preferences,dreamsim,dsg_score}.py
WITH_FILES = ("dreamsim", "dsg_score", "hps_v2", "image_reward", "lpips", "pick_score")
OURS = {"few_avatars", "judged_squares"}  # data sets made of others for these tests


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """One cache for all tests, so that the faces are drawn once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def known(squares, monkeypatch, drawn):
    """The plug-ins of tests/support/plugins are installed."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(drawn))


def shipped(kind: str) -> list[str]:
    return [name for name, path in plugins.find(kind).items() if path is not None]


def installed(kind: str) -> list[str]:
    return [name for name, path in plugins.find(kind).items() if path is None and name not in OURS]


@pytest.mark.parametrize(
    "id",
    [
        id
        for id, (name, _) in plugins.method_ids().items()
        if name not in ("image_folder", "diffusers_pipeline", "images_api")
    ],
)
def test_every_shipped_method_keeps_its_contract(id):
    one = {**FACES["asked"], "compose": {"inputs": 2, "tasks": ["S"]}}
    check_method(id, METHODS.get(id), dataset="few_avatars", asked=one)


def test_a_folder_of_images_keeps_the_contract_of_a_method(tmp_path):
    texts = {captions[0] for captions in squares.load(squares.Config(), "test").captions}
    texts |= {captions[1] for captions in squares.load(squares.Config(), "test").captions}
    with (tmp_path / "metadata.jsonl").open("w") as lines:
        for i, text in enumerate(sorted(texts) * 23):
            image = squares.paint("red", "light", 8, i).transpose(1, 2, 0)
            Image.fromarray(image).save(tmp_path / f"{i}.png")
            lines.write(json.dumps({"file_name": f"{i}.png", "text": text}) + "\n")
    check_method("image_folder", {"root": str(tmp_path)}, wrong=[{"root": "nowhere"}])


def test_a_pipeline_keeps_the_contract_of_a_method(tmp_path):
    pytest.importorskip("diffusers")
    from diffusers_tiny import stable_diffusion

    model = stable_diffusion(tmp_path / "model")
    check_method(
        "diffusers_pipeline",
        {"model": str(model), "steps": 2},
        asked={"compose": {"tasks": ["T"]}},
        wrong=[{"steps": 0}],
    )


@pytest.mark.parametrize("name", [name for name in shipped("metrics") if name not in WITH_FILES])
def test_every_shipped_metric_keeps_its_contract(name, monkeypatch):
    monkeypatch.setattr(inception, "Inception", Brightness)
    check_metric(name, **{**FACES, **METRICS.get(name, {})})


class Brightness:
    """In place of Inception, whose weights are not here: the probabilities of two classes, bright and dark."""

    sha256, resize, output = "e" * 64, "none", "probabilities"

    def __init__(self, device: Any, name: str) -> None:
        pass

    def features(self, images: Tensor) -> Tensor:
        bright = images.float().mean((1, 2, 3)) / 255
        return torch.stack([bright, 1 - bright], 1)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("avatars", {"settings": {"size": 16}, "splits": ["train", "test"], "wrong": [{"size": 8}]}),
        ("few_avatars", {"settings": {"size": 16}}),
        ("squares", {"wrong": [{"side": 0}]}),
        ("faces", {}),
    ],
)
def test_every_shipped_data_set_keeps_its_contract(name, given, monkeypatch):
    monkeypatch.setattr(avatars, "SPLITS", {"train": 12, "test": 6})
    monkeypatch.setattr(avatars, "REGIONS_IMAGES", 30)
    check_dataset(name, **given)


def test_a_folder_of_images_keeps_the_contract_of_a_data_set(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for i in range(3):
            image = squares.paint("red", "light", 8, derive_seed(split, i)).transpose(1, 2, 0)
            Image.fromarray(image).save(tmp_path / split / f"{i}.png")
        lines = [json.dumps({"file_name": f"{i}.png", "text": "a square", "colour": "red"}) for i in range(3)]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines))
    check_dataset("image_folder", {"root": str(tmp_path)}, wrong=[{"root": "nowhere"}])


def test_no_shipped_data_set_is_left_out():
    tried_with_their_own_tests = {"celeba_hq", "coco", "cub", "ffhq", "huggingface", "oxford_flowers", "prompts"}
    tried_with_their_own_tests |= {"dreambench", "magicbrush", "webdataset"}
    assert set(shipped("datasets")) == {"avatars", "image_folder", *tried_with_their_own_tests}


def test_the_plugins_of_these_tests_keep_their_contracts():
    for name in installed("methods"):
        check_method(name)
    for name in installed("metrics"):
        check_metric(name)
    assert {*installed("datasets")} == {"faces", "squares"}
