"""Every recipe of the track text_to_image, with the networks it needs, learns from stand-ins of CelebA-HQ and CUB, and
every method that comes of it is scored by every metric that applies.

Two steps each; `make rehearsal` trains each for two minutes, and on enough images for attribute pairs.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from rehearsal_sets import write_birds, write_faces

from t2ibench.cli.train import train
from t2ibench.runner import suite
from t2ibench.runner.cell import RunOptions
from t2ibench.runner.run import run

MINUTES = float(os.environ.get("T2IBENCH_REHEARSAL_MINUTES", "0"))
WHOLE = MINUTES >= 1
# what is trained, in the order in which one needs the other, with what makes a step small
RECIPES: list[tuple[str, str | None, list[str]]] = [
    ("clip", "judge", ["batch=16"]),
    ("clip", "guide", ["batch=16"]),
    ("attribute_judge", None, ["batch=32", "calibration=64"]),
    ("gan_cls", "text-encoder", ["batch=2"]),
    *(("gan_cls", variant, ["batch=16"]) for variant in ("gan", "gan-cls", "gan-int", "gan-int-cls")),
    ("stylegan2", "stylegan2", ["batch=4"]),
    ("stylet2i", "parts", ["batch=4"]),
    ("stylet2i", "attribute", ["batch=4"]),
    ("stylet2i", "sentence", ["batch=4"]),
    ("composer", "composer", ["batch=4"]),
    ("composer", "upsampler", ["batch=4"]),
    ("composer", "prior", ["batch=4"]),
]
OF_FACES = {("stylet2i", "parts"), ("stylet2i", "attribute")}  # birds do not say where an attribute shows


def methods(data: str) -> list[dict[str, Any]]:
    gans = [{"name": name, "weights": f"{name}-{data}"} for name in ("gan", "gan-cls", "gan-int", "gan-int-cls")]
    parts = {key: f"stylet2i-{key}-{data}" for key in ("sentence", "attribute")}
    if data == "cub":
        parts |= {"attribute": ""}
    composer = {
        "weights": f"composer-{data}",
        "upsampler": f"composer-upsampler-{data}",
        "prior": f"composer-prior-{data}",
    }
    return [
        *gans,
        {"name": "stylet2i", "generator": f"stylegan2-{data}", **parts, **({"caa": False} if data == "cub" else {})},
        {"name": "composer", **composer},
    ]


@pytest.mark.slow
@pytest.mark.parametrize("data", ["celeba_hq", "cub"])
def test_every_recipe_learns_from_a_stand_in_and_is_scored(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "trained"))
    learn(data)
    scored(data)


def learn(data: str) -> None:
    """Write the stand-in and train everything, here."""
    faces = 4_000 if WHOLE else 300
    if data == "celeba_hq":
        write_faces(Path(data), faces, 200 if WHOLE else 60, masked=faces)
    else:
        write_birds(Path(data), dict.fromkeys((1, 2, 3, 5), 500 if WHOLE else 100))
    of_data = ["dataset.partial=true", "dataset.size=64"]
    for name, variant, few in RECIPES:
        if data == "cub" and (name, variant) in OF_FACES:
            continue
        small = [setting for setting in few if not WHOLE or setting.startswith("calibration")]
        budget: dict[str, Any] = {"minutes": MINUTES} if WHOLE else {"steps": 2}
        train(name, variant, data, set=[*of_data, *small], **budget)


def scored(data: str) -> None:
    """Score every method that was trained here."""
    metrics: list[Any] = ["fid", "kid", "prdc", "clip_score", {"name": "r_precision", "pool": 10}]
    if WHOLE and data == "celeba_hq":
        metrics += [
            {"name": "pair_r_precision", "pool": 20},
            {"name": "compositional_accuracy", "images": 20, "single_images": 8},
        ]
    content = {
        "dataset": {"name": data, "partial": True, "size": 64},
        "methods": methods(data),
        "baselines": ["real", "shuffled"],
        "prompts": {"split": "train", "captions": 110},
        "reference": {"split": "train", "limit": 200},
        "metrics": metrics,
    }
    Path("mine.yaml").write_text("# a rehearsal\n" + yaml.safe_dump(content))
    records = {cell.record["method"]: cell.record for cell in run(suite.load("mine.yaml"), RunOptions())}
    assert len(records) == len(methods(data)) + 2
    for name, record in records.items():
        if not name.endswith("real"):
            assert record["counts"]["ok"] == record["counts"]["requested"], name
        for failure in record["failures"]:  # no photograph shows a pair that is never seen, such as a woman's moustache
            assert "no real image carries" in failure["message"], name
        assert record["unscored"] == {}, name
        assert {"clip_score", "r_precision", "precision"} <= {id.partition("@")[0] for id in record["values"]}, name
