"""The pipelines that the suite `coco30k` names, each as a tiny one of its class, through that suite's own settings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
import yaml
from diffusers_families import FAMILIES
from release_files import write_coco

from t2ibench.core import records
from t2ibench.methods.diffusers_pipeline import Config, loading
from t2ibench.runner import suite
from t2ibench.runner.cell import RunOptions
from t2ibench.runner.run import run

ROWS = {row["as"]: row for row in yaml.safe_load(suite.available()["coco30k"].read_text("utf-8"))["methods"]}
CLASSES = {
    "sd-1.5": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
    "sd-3": diffusers.StableDiffusion3Pipeline,
    "flux-schnell": diffusers.FluxPipeline,
    "pixart": diffusers.PixArtAlphaPipeline,
}
# what a tiny model cannot have: the steps and the size of a large one, and half precision, which a processor rounds
TINY: dict[str, dict[str, Any]] = {name: {"dtype": "float32", "steps": 2, "side": 64} for name in ROWS}
TINY["flux-schnell"] |= {"height": 16, "width": 16}
TINY["pixart"] |= {"arguments": {"use_resolution_binning": False}}  # it knows the sizes of the published ones


@pytest.fixture
def coco(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "val"):
        write_coco(tmp_path / "coco", part=part)
    return tmp_path


def coco30k(**changes: Any) -> dict[str, Any]:
    content = yaml.safe_load(suite.available()["coco30k"].read_text("utf-8"))
    content["dataset"] |= {"partial": True, "drawn": 4, "size": 64}
    content["prompts"]["captions"] = 4
    content["metrics"] = [{"name": "fid", "extractor": "attribute-judge-avatars", "fewest": 2}]
    return {**content, **changes}


def recorded(content: dict[str, Any], method: str) -> dict[str, Any]:
    list(run(suite.parse(content, "tiny", "", "tiny"), RunOptions()))
    return records.read(records.path_of(Path("runs"), "tiny", "text_to_image", method, 0))


def test_every_row_of_the_suite_has_a_rehearsal():
    assert set(ROWS) == set(FAMILIES) == set(CLASSES)
    assert all(Config(**{key: row[key] for key in row if key not in ("name", "as")}) for row in ROWS.values())


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_pipeline_of_its_class_draws_the_captions_of_the_suite(name, coco):
    folder = FAMILIES[name](coco / name)
    index = diffusers.DiffusionPipeline.load_config(folder)
    assert index["_class_name"] == CLASSES[name].__name__
    row = {**ROWS[name], "model": str(folder), **TINY[name]}
    record = recorded(coco30k(methods=[row], baselines=["real"]), name)
    assert record["counts"]["ok"] == 4
    assert record["values"]["fd_avatars"]["value"] > 0
    [weights] = record["weights"].values()
    assert len(weights["sha256"]) == 64


def test_what_the_safety_checker_withholds_is_an_outcome_and_no_score(coco):
    import diffusers_tiny

    folder = diffusers_tiny.stable_diffusion(coco / "withheld", diffusers_tiny.safety_checker(-2))
    row = {**ROWS["sd-1.5"], "model": str(folder), **TINY["sd-1.5"]}
    record = recorded(coco30k(methods=[row], baselines=["real"]), "sd-1.5")
    assert record["counts"]["failed"] == 4
    assert {failure["message"] for failure in record["failures"]} == {
        "the pipeline's safety checker withheld the image"
    }


def test_the_photos_themselves_are_at_a_distance_of_0(coco):
    record = recorded(coco30k(methods=[], baselines=["real"]), "real")
    assert record["values"]["fd_avatars"]["value"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("offload", "device", "called"),
    [
        ("none", "cuda", "to"),
        ("networks", "cuda", "enable_model_cpu_offload"),
        ("layers", "cuda", "enable_sequential_cpu_offload"),
        ("layers", "cpu", "to"),
    ],
)
def test_offload_says_what_waits_in_the_memory_of_the_processor(offload, device, called):
    calls: list[str] = []

    def note(name: str) -> Any:
        def called(*places: torch.device, device: torch.device | None = None) -> None:
            calls.append(f"{name} {(device or places[0]).type}")

        return called

    names = ("to", "enable_model_cpu_offload", "enable_sequential_cpu_offload")
    loading.placed(SimpleNamespace(**{name: note(name) for name in names}), offload, torch.device(device))
    assert calls == [f"{called} {device}"]
    assert all(hasattr(diffusers.DiffusionPipeline, name) for name in names)


def test_offload_is_no_part_of_what_decides_an_image():
    from t2ibench.core.settings import recorded

    assert recorded(Config("x", offload="networks")) == recorded(Config("x"))
