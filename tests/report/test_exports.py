"""Exports to other places: complete, ordered, of nothing that a board would not rank, and safe for any text."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from made_records import SOUND, record, value

from t2ibench.core import records
from t2ibench.report.exports import every_eval_ever, hugging_face
from t2ibench.report.verdicts import Standing

VALIDATOR = "every_eval_ever"
NASTY = "<b>\x1b[1m\u202e=1+1"


def rows() -> list[dict]:
    values = {
        "hue": value(0.5, 0.1),
        "fd": {**value(12.0, 1.0, "lower"), "interval": "influence function"},
        "flat": value(0.1, better="none"),
    }
    return [
        record("painter", values, **SOUND),
        record("other", values, judge_overlap={"hue": ["clip"]}, **SOUND),
        record("few", values, ok=1, **SOUND),
        record("real", values, kind="baseline", **SOUND),
        record(NASTY, {"hue": value(0.2)}, **SOUND),
    ]


def exported(url: str = "", standings=None) -> dict[str, dict]:
    files = every_eval_ever(rows(), f"Lab {NASTY}", url, 1_800_000_000, standings or {})
    return {name: json.loads(content) for name, content in files}


def test_every_eval_ever_holds_methods_with_intervals_counts_and_protocols():
    found = {content["model_info"]["name"]: content for content in exported("https://example.org").values()}
    assert list(found) == ["painter", "other", NASTY]
    [fd, hue] = found["painter"]["evaluation_results"]
    assert (fd["metric_config"]["lower_is_better"], hue["metric_config"]["lower_is_better"]) == (True, False)
    assert (fd["metric_config"]["min_score"], fd["metric_config"]["max_score"]) == ("-Infinity", "Infinity")
    assert hue["metric_config"]["additional_details"]["protocol_id"] == value()["protocol_id"]
    assert hue["score_details"]["score"] == 0.5
    said = hue["score_details"]["uncertainty"]
    interval = said["confidence_interval"]
    assert (interval["lower"], interval["upper"], interval["confidence_level"]) == (0.4, 0.6, 0.95)
    assert (said["num_samples"], hue["source_data"]["url"]) == (10, ["https://example.org"])
    assert [entry["metric_config"]["metric_id"] for entry in found["other"]["evaluation_results"]] == ["fd"]


def test_a_file_has_the_place_and_the_name_that_every_eval_ever_asks_for_and_always_the_same():
    names = list(exported())
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    form = rf"data/t2ibench_s/lab-b-1m-1-1-\w{{6}}/[a-z0-9_-]+/{uuid4}\.json"
    assert [name for name in names if not re.fullmatch(form, name)] == []
    assert names == list(exported())


def test_an_export_says_whether_it_was_verified():
    first = rows()[0]
    [content, *_] = exported(standings={records.cell_of(first): Standing("verified", "9 values")}).values()
    details = content["source_metadata"]["additional_details"]
    assert (details["standing"], details["record"]) == ("verified", first["sha256"])


def test_any_text_stays_text_and_every_byte_is_ascii():
    files = [*every_eval_ever(rows(), NASTY, "", 1, {}), *hugging_face(rows(), "a/b", "", {})]
    for name, content in files:
        assert content.isascii()
        assert name.isascii()
        assert b"\x1b" not in content
        assert ".." not in name


def test_hugging_face_parses_the_entries_and_gives_them_back():
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing: pip install 't2ibench[dev]'")
    found = {name: yaml.safe_load(content) for name, content in hugging_face(rows(), "a/b", "https://example.org", {})}
    assert len(found) == 3
    assert {"painter/.eval_results/s.yaml", "other/.eval_results/s.yaml"} <= found.keys()
    for entries in found.values():
        parsed = hub.parse_eval_result_entries(entries)
        assert all(isinstance(entry.value, float) for entry in parsed)
        assert hub.eval_result_entries_to_yaml(parsed) == entries
    [hue, fd] = sorted(found["painter/.eval_results/s.yaml"], key=lambda entry: entry["value"])
    assert (hue["value"], hue["dataset"]) == (0.5, {"id": "a/b", "task_id": "text_to_image-hue"})
    assert f"95 % interval 0.4 to 0.6, n = 10, protocol {value()['protocol_id']}, higher is better" in hue["notes"]
    assert fd["dataset"]["task_id"] == "text_to_image-fd"
    assert [entry["dataset"]["task_id"] for entry in found["other/.eval_results/s.yaml"]] == ["text_to_image-fd"]


def test_the_validator_of_every_eval_ever_passes_the_files(tmp_path):
    if shutil.which(VALIDATOR) is None:
        pytest.skip(f"{VALIDATOR} is not on the path: it needs Python 3.12 and a virtual environment of its own")
    for name, content in exported("https://example.org").items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")]
    answer = subprocess.run(
        [VALIDATOR, "validate", "--format", "json", *names], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout
    assert {entry["valid"] for entry in json.loads(answer.stdout)} == {True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("every-eval-ever", "made"), "add --organization NAME"),
        (("hugging-face", "made", "--dataset", "x"), "add --dataset owner/name"),
        (("hugging-face", "made", "--dataset", "a/b"), "holds no method with a value that could be exported"),
        (("every-eval-ever", "nowhere", "--organization", "x"), "nowhere is missing"),
    ],
)
def test_bad_input_is_one_line(t2ibench, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    records.write(rows()[3], records.path_of(Path("made"), "s", "text_to_image", "real", 0))
    answer = t2ibench("export", *arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
