"""Records of others: what cannot be is refused by name, and no text of theirs is obeyed by what shows it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_records import record, value

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.plain_text import for_csv, for_latex, for_markdown, is_name, plain
from t2ibench.report import audits, board, formats

COUNTS = {"requested": 4, "generated": 4, "ok": 4, "black": 0, "nan": 0, "failed": 0}


def changed(of: str, to: Any) -> Callable[[], dict[str, Any]]:
    return lambda: record(**{of: to})


IMPOSSIBLE = {
    "coverage is 7": changed("coverage", 7),
    "coverage is 0.5, but 4 of 4 are ok": changed("coverage", 0.5),
    "ok is -5": changed("counts", {**COUNTS, "ok": -5, "failed": 9}),
    "ok is True": changed("counts", {**COUNTS, "ok": True, "failed": 3}),
    "4 ok of 3 generated": changed("counts", {**COUNTS, "generated": 3}),
    "identity is not the hash": changed("identity", "0" * 64),
    "kind is '\"><script>": changed("kind", '"><script>alert(1)</script>'),
    "suite is '../../etc'": changed("suite", "../../etc"),
    "method is '..'": changed("method", ".."),
    "method is ''": changed("method", ""),
    "track is 'a.x1b": changed("track", "a\x1b[2J"),
    "far outside its interval": changed("values", {"hue": {**value(), "value": 9.0}}),
    "seed is True": changed("seed", True),
    "partial is True at a coverage of 1.0": changed("partial", True),
    r"columns holds \[\], expected texts": changed("columns", [[]]),
    "failures holds 'x', expected prompt, k": changed("failures", ["x"]),
    "weights: a has the sha256 None, expected another": changed("weights", {"a": {"b": [1]}}),
    "judges: a has the sha256 3, expected another": changed("judges", {"a": {"sha256": 3}}),
    "plugins: a has the source None, expected another": changed("plugins", {"a": {"settled": True}}),
    r"code: version is \[1\], expected str": changed("code", {"version": [1]}),
    "trained_on holds 3": changed("trained_on", [3]),
    "weights: a is 'x', expected fields": changed("weights", {"a": "x"}),
    "cost: seconds_per_image is -1": changed("cost", {"seconds_per_image": -1}),
    "cost: a is 'x', expected numbers": changed("cost", {"a": {"b": "x"}}),
    "better is 'best'": changed("values", {"hue": {**value(), "better": "best"}}),
}


@pytest.mark.parametrize("said", IMPOSSIBLE)
def test_a_record_that_cannot_be_is_refused_by_name(said: str, tmp_path: Path):
    path = tmp_path / "records/r.json"
    path.parent.mkdir()
    path.write_text(json.dumps(IMPOSSIBLE[said]()), "utf-8")
    with pytest.raises(UserError, match=said) as error:
        records.load(tmp_path)
    assert str(path) in str(error.value)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "null", '{"schema": 2}', '{"schema": [], "suite": {}}', '{"schema": 1e999}']
)
def test_what_is_no_record_at_all_is_one_line(content: str, tmp_path: Path):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UserError) as error:
        records.read(tmp_path / "r.json")
    assert "\n" not in str(error.value)


def test_files_that_are_no_records_are_passed_over(tmp_path: Path):
    folder = tmp_path / "records"
    records.write(record(), folder / "r.json")
    (folder / "key.json").write_text(json.dumps(records.seal({"kind": "audit key", "images": []})))
    (folder / "list.json").write_text("[1, 2]")
    assert len(records.load(tmp_path)) == 1
    (folder / "r.json").unlink()
    with pytest.raises(UserError, match="holds no record"):
        records.load(tmp_path)


def test_no_text_of_a_record_is_obeyed_by_a_terminal(tmp_path: Path):
    path = tmp_path / "r.json"
    failures = [{"prompt": "p", "k": 0, "status": "failed", "message": "a\x1b]0;owned\x07\u202eb\nc"}]
    path.write_text(json.dumps(record(failures=failures)), "utf-8")
    assert records.read(path)["failures"][0]["message"] == "a\ufffd]0;owned\ufffd\ufffdb\nc"
    assert plain({"a\x9b": ["\x00", 3]}) == {"a\ufffd": ["\ufffd", 3]}


NAMES = ['=HYPERLINK("http://x")', "<img src=x onerror=alert(1)>", "a|b", "[x](javascript:a)", "\\input{x}", "$x$%^~"]


def test_names_are_names_in_every_format():
    rows = [record(name, {"hue": value(0.4 + place / 100)}) for place, name in enumerate(NAMES)]
    boards = board.boards(rows)
    [one] = boards
    text = formats.markdown(one, everything=True)
    assert "<img" not in text
    assert "a\\|b" in text
    assert "[x](" not in text
    latex = formats.latex(one, everything=True)
    assert "\\input{x}" not in latex
    assert "\\textbackslash{}input\\{x\\}" in latex
    assert "\\$x\\$\\%\\textasciicircum{}\\textasciitilde{}" in latex
    assert "\n=HYPER" not in formats.as_csv(boards)
    assert [for_csv(text) for text in ("=1", "-1", "a=1")] == ["'=1", "'-1", "a=1"]
    assert (for_markdown("a\n<b>"), for_latex("a_b\nc")) == ("a &lt;b&gt;", "a\\_b c")


@pytest.mark.parametrize("name", ["..", "", "a/b", "..\\b", "a\nb", "x" * 300, "\u202ea", None])
def test_an_audit_is_written_below_its_folder(name: Any):
    assert not is_name(name)
    with pytest.raises(UserError, match="expected the name of one folder"):
        audits.path_of(Path("out"), "s", name)
    assert audits.path_of(Path("out"), "s", "gan-cls é") == Path("out/audits/s/gan-cls é.json")
