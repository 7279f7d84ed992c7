"""The gate between records and methods of a suite: what is drawn for it, what is refused, and what its records add."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_records import kept, record

from t2ibench.checks.gate.faults import Picture, Source
from t2ibench.checks.gate.judge import judge, shared
from t2ibench.core import records

BLIND = "{name: painter, as: blind, colour_blind: true}"
TWO = (f"[painter, {BLIND}]", f"[painter, {{name: painter, as: again}}, {BLIND}]")
FEWER = ("[real, shuffled, {name: unconditional, of: painter}]", "[]")


METRIC = ("[hue, pair_hue]", "[{name: clip_score, clip: clip-judge-avatars}]")


@pytest.fixture
def suite(squares) -> str:
    return str(squares(TWO, FEWER, METRIC))


def test_methods_of_a_suite_are_drawn_and_scored_once(suite, t2ibench, monkeypatch, tmp_path):
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    answer = t2ibench("compare", "painter", "again", "--gate", "--suite", suite, "--json")
    result = json.loads(answer.stdout)
    assert (answer.returncode, result["faults"], result["far"]) == (0, [], [])
    assert {mean["name"] for mean in result["means"]} >= {"brightness", "clip_score"}
    assert all(mean["difference"] == 0 for mean in result["means"])
    drawn = (tmp_path / "log").read_text().split()
    paths = [records.path_of(Path("runs"), "squares", "text_to_image", name, 0) for name in ("painter", "again")]
    assert all(path.is_file() for path in paths)
    assert t2ibench("compare", *map(str, paths), "--gate").returncode == 0
    assert (tmp_path / "log").read_text().split() == drawn


def test_another_method_fails_it_and_the_metrics_say_how(suite, t2ibench):
    answer = t2ibench("compare", "painter", "blind", "--gate", "--suite", suite, "--json")
    result = json.loads(answer.stdout)
    assert answer.returncode == 1
    assert len({far["name"] for far in result["far"]}) > 10
    [score] = [mean for mean in result["means"] if mean["name"] == "clip_score"]
    assert score["status"] != "pass"
    wide = t2ibench("compare", "painter", "blind", "--gate", "--suite", suite, "--json", "--margin", "clip_score=2")
    [score] = [mean for mean in json.loads(wide.stdout)["means"] if mean["name"] == "clip_score"]
    assert (score["status"], score["margin"]) == ("pass", 2)


def test_an_image_that_failed_is_a_fault(suite, squares, t2ibench):
    path = str(squares((TWO[0], "[painter, {name: painter, as: fails, nan_below: 0.3}]"), FEWER, METRIC))
    result = json.loads(t2ibench("compare", "painter", "fails", "--gate", "--suite", path, "--json").stdout)
    assert {fault["kind"] for fault in result["faults"]} == {"unread"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["painter", "again"], "'painter' is no folder of images and no record: if it is a method, name the suite"),
        (["painter", "agan", "--suite", "SUITE"], "no method of squares, did you mean 'again'?"),
        (["painter", "again", "--suite", "SUITE", "--track", "edit"], "--tracks: squares has no 'edit'"),
        (["gone.json", "again", "--suite", "SUITE"], "'gone.json' is no folder of images, no record"),
    ],
)
def test_what_is_no_source_is_one_line(suite, t2ibench, words, line):
    answer = t2ibench("compare", *(suite if word == "SUITE" else word for word in words), "--gate")
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert line in answer.stderr


def test_records_without_seeds_without_images_or_of_other_prompts_are_one_line(t2ibench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(name: str, **changes) -> str:
        made = record(name, {"hue": kept([0.1, 0.5, 0.9])}, **changes)
        path = Path(f"{name}.json")
        path.write_text(json.dumps(made))
        return str(path)

    def said(*words: str) -> str:
        return t2ibench("compare", *words, "--gate").stderr

    a, b = written("a"), written("b")
    assert "its images are not in runs: name the folder of the run with --folder" in said(a, b)
    served = written("served", facts={"unseeded": True})
    assert "the images of served.json follow from no seeds" in said(a, served)
    other = written("other", seed=1)
    assert "a.json and other.json were asked for other tracks, prompts or seeds" in said(a, other)


def source(values: list[float], protocol: str = "p") -> Source:
    pictures = {f"{row}": Picture(np.full((8, 8, 3), 40 + row, np.uint8), "PNG") for row in range(4)}
    return Source("a", pictures, {}, {"hue": np.array(values)}, {"hue": protocol})


def test_values_of_one_protocol_are_compared_where_both_sides_have_them(caplog):
    nan = float("nan")
    a, b = shared(source([0.1, nan, 0.3, 0.4]), source([0.2, 0.2, nan, 0.4]))
    assert (a["hue"].tolist(), b["hue"].tolist()) == ([0.1, 0.4], [0.2, 0.4])
    assert shared(source([1, 2, 3, 4]), source([1, 2, 3, 4], "another")) == ({}, {})
    assert "by two protocols; it is left out" in caplog.text
    assert shared(source([1, nan, nan, 4]), source([nan, 1, 1, 4])) == ({}, {})
    assert "1 images have it on both sides" in caplog.text


def test_the_margin_of_a_value_is_a_quarter_of_its_deviation_or_what_reruns_move_it():
    a, b = source([0.1, 0.2, 0.3, 0.4]), source([0.15, 0.25, 0.35, 0.45])
    [mean] = [mean for mean in judge(a, b).means if mean.name == "hue"]
    assert mean.margin == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 4)
    rerun = source([0.2, 0.3, 0.4, 0.5])
    [mean] = [mean for mean in judge(a, b, [rerun]).means if mean.name == "hue"]
    assert (mean.margin, mean.status) == (pytest.approx(0.2), "pass")
