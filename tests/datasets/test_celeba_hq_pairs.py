"""Rare pairs of a copy of CelebA-HQ end to end: finder, prompts, a judge, values, and what people are to check."""

from pathlib import Path

import pytest
from rehearsal_sets import write_faces

from t2ibench.checks.audit.draw import draw
from t2ibench.data.dataset import opened
from t2ibench.data.rare_pairs import find_pairs
from t2ibench.runner import suite
from t2ibench.runner.cell import RunOptions
from t2ibench.runner.run import run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """4,000 training faces, of whom some 70 are men with lipstick, and 400 of test."""
    folder = tmp_path_factory.mktemp("pairs")
    write_faces(folder / "celeba_hq", 4_000, 400)
    return folder


def pairs_suite(place: Path, metric: dict[str, object]) -> suite.Suite:
    content = {
        "dataset": {"name": "celeba_hq", "root": str(place / "celeba_hq"), "partial": True, "size": 64},
        "reference": {"split": "test"},
        "methods": [],
        "baselines": ["real", "shuffled"],
        "prompts": {"split": "test", "captions": 200},
        "metrics": [{"name": "compositional_accuracy", "images": 8, "single_images": 8, **metric}],
    }
    return suite.parse(content, "pairs", "", "pairs")


@pytest.mark.slow
def test_the_finder_names_the_pairs_that_training_lacks(place):
    data = opened("celeba_hq", {"root": str(place / "celeba_hq"), "partial": True})
    assert data.train.attributes is not None
    assert data.train.vocabulary is not None
    found = find_pairs(data.train.attributes, data.train.vocabulary)
    controls = {pair.name: pair.control.name for pair in found.rare if pair.control is not None}
    assert controls["Male=yes+Wearing_Lipstick=yes"] == "Male=no+Wearing_Lipstick=yes"
    assert [pair.name for pair in found.near_unseen] == ["Male=no+Mustache=yes"]


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["cross-fitted", "trained"])
def test_rare_pairs_are_asked_for_judged_and_audited(judge, place, tmp_path, monkeypatch, t2ibench):
    monkeypatch.chdir(place)
    monkeypatch.setenv("T2IBENCH_CACHE", str(place / "cache"))
    metric: dict[str, object] = {"probe": "attribute-judge-avatars"}  # its features, not its answers
    if judge == "trained":
        trained = str(tmp_path / "trained")
        monkeypatch.setenv("T2IBENCH_WEIGHTS", trained)
        settings = ("batch=64", "calibration=400", "dataset.partial=true", "dataset.size=64")
        given = [word for setting in settings for word in ("--set", setting)]
        answer = t2ibench(
            "train", "attribute_judge", "--dataset", "celeba_hq", *given, "--steps", "150", "--out", trained
        )
        assert answer.returncode == 0, answer.stderr
        metric = {}
    wanted = pairs_suite(place, metric)
    options = RunOptions(out=tmp_path / "runs", work=tmp_path / "runs")
    real, shuffled = (cell.record for cell in run(wanted, options))
    rare = real["values"]["ca_rare"]
    assert rare["value"] > 0.7
    assert rare["ci"][0] - 1e-9 <= rare["value"] <= rare["ci"][1] + 1e-9
    assert shuffled["values"]["ca_rare"]["value"] < 0.5
    assert real["values"]["ca_near_unseen"]["value"] < 0.05  # there is no photo of a woman with a moustache
    folder = draw(wanted, "real", 8, options.out, options.work, tmp_path / "audit")
    assert (folder / "key.json").is_file()
    assert len([*(folder / "raters").rglob("*.png")]) == 8
