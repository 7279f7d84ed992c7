"""Numbers of others: read from Every Eval Ever's files, kept once, on a page of their own, or refused in one line."""

import json
from pathlib import Path

import pytest
from made_records import SOUND, record, value
from typer.testing import CliRunner

from t2ibench.cli import app
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report import elsewhere
from t2ibench.report.exports import every_eval_ever

NASTY = "<script>alert(1)</script>"


def ours() -> None:
    made = record("ours", {"hue": value(0.3, 0.1)}, **SOUND)
    records.write(made, Path("runs/records/s/text_to_image/ours/0.json"))


def exported(tmp_path: Path, name: str = "painter", number: float = 0.5) -> Path:
    """What another lab exports of one record."""
    rows = [record(name, {"hue": value(number, 0.1)}, **SOUND)]
    [(place, content)] = every_eval_ever(rows, "Other lab", "https://example.org", 1_800_000_000, {})
    path = tmp_path / "eee" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_number_comes_back_as_it_was_exported(tmp_path):
    [number] = elsewhere.read_eee(exported(tmp_path))
    assert (number.method, number.value, number.number, number.low, number.high) == ("painter", "hue", 0.5, 0.4, 0.6)
    assert (number.count, number.better, number.organization) == (10, "higher", "Other lab")
    assert number.protocol_id == value()["protocol_id"]
    assert number.benchmark == "s/text_to_image/hue"


def test_importing_again_replaces_and_the_page_says_what_compares(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours()
    exported(tmp_path, NASTY)
    for _ in range(2):
        result = CliRunner().invoke(app, ["import", "eee", "--out", "runs"])
        assert (result.exit_code, result.output.split("; ")[1]) == (0, "1 are shown by `t2ibench report runs`\n")
    assert CliRunner().invoke(app, ["report", "runs", "--out", "site"]).exit_code == 0
    page = Path("site/elsewhere.html").read_text("utf-8")
    assert "s / text_to_image" in page
    assert "Other lab" in page
    assert NASTY not in page
    assert "elsewhere.html" in Path("site/index.html").read_text("utf-8")
    assert NASTY not in Path("site/index.html").read_text("utf-8")


def test_without_numbers_there_is_no_such_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours()
    assert CliRunner().invoke(app, ["report", "runs", "--out", "site"]).exit_code == 0
    assert not Path("site/elsewhere.html").exists()
    assert "elsewhere.html" not in Path("site/index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("model_info"), "KeyError: 'model_info'"),
        (lambda content: content.update(evaluation_results=3), "TypeError"),
        (lambda content: content["evaluation_results"][0]["score_details"].update(score=float("nan")), "is not finite"),
        (
            lambda content: content["evaluation_results"][0]["score_details"].update(score=7.0),
            "outside its own interval",
        ),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, change, message):
    path = exported(tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        elsewhere.read_eee(path)
    assert "\n" not in str(error.value)


def test_what_is_no_json_and_a_damaged_store_are_one_line(tmp_path):
    (tmp_path / "page.json").write_text("<html>")
    with pytest.raises(UserError, match=r"page\.json: cannot be read \(no JSON"):
        elsewhere.read_eee(tmp_path / "page.json")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/numbers.json").write_text('[{"method": "x"}]')
    with pytest.raises(UserError, match="not what `t2ibench import` writes"):
        elsewhere.load(tmp_path)
