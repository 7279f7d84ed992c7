"""The preflight: what can be known before the first image is known before it."""

import json
from pathlib import Path

import pytest

from t2ibench.core.errors import UserError
from t2ibench.runner import preflight, suite
from t2ibench.runner import run as runner

BROKEN = ("{name: painter, as: blind, colour_blind: true}]", "{name: image_folder, as: mine, root: missing}]")


def lines(path: Path) -> list[preflight.PreflightLine]:
    options = runner.RunOptions(batch=8)
    return list(preflight.preflight(preflight.planned(suite.load(str(path)), options), options))


def test_what_the_last_method_lacks_is_said_before_the_first_image(squares, monkeypatch, tmp_path):
    path = squares(BROKEN)
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    with pytest.raises(UserError, match="missing does not exist"):
        list(runner.run(suite.load(str(path)), runner.RunOptions(batch=8)))
    assert not (tmp_path / "log").exists()
    assert not list(Path("runs").rglob("*.png"))


def test_every_problem_is_listed_and_the_first_one_says_how_many_there_are(squares, t2ibench):
    path = squares(BROKEN, ("methods: [painter,", "methods: [painter, {name: image_folder, as: other, root: gone},"))
    problems = [line for line in lines(path) if line.problem]
    assert [line.what for line in problems] == ["other seed 0", "mine seed 0"]
    answer = t2ibench("run", str(path))
    assert answer.returncode == 2
    assert "gone does not exist" in answer.stderr
    assert "(and 1 more: t2ibench run --dry-run lists them)" in answer.stderr


def test_a_dry_run_makes_nothing_and_says_what_would_be_made(squares, t2ibench):
    path = squares()
    answer = t2ibench("run", str(path), "--dry-run")
    assert answer.returncode == 0
    assert "160 images to make" in answer.stdout
    assert not list(Path("runs").rglob("*.json"))
    assert t2ibench("run", str(path)).returncode == 0
    found = json.loads(t2ibench("run", str(path), "--dry-run", "--json").stdout)
    assert {line["state"] for line in found} == {"recorded"}
    found = json.loads(t2ibench("run", str(path), "--dry-run", "--json", "--again", "blind").stdout)
    assert [line["what"] for line in found if line["state"] == "to make"] == ["blind seed 0"]
    assert t2ibench("doctor", "--suite", str(path)).stdout == t2ibench("run", str(path), "--dry-run").stdout


def test_too_few_images_for_a_metric_are_said_before_they_are_made(squares):
    path = squares((", pair_hue]", ", {name: fid, extractor: attribute-judge-avatars}]"))
    [problem] = [line.problem for line in lines(path) if line.problem]
    assert "fid: 20 made images of 'captions', at least 100 are needed" in problem


def test_an_extractor_that_is_not_there_is_said_before_the_images_are_made(squares):
    path = squares((", pair_hue]", ", {name: prdc, extractor: 'dinov2:nowhere.pth'}]"))
    [problem] = [line.problem for line in lines(path) if line.problem]
    assert "prdc" in problem
    assert "nowhere.pth" in problem
