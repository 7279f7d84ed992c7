"""Bundles and their verification: a run that is as it says is verified, and whatever is changed in it is named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_records import record

from t2ibench.checks import bundle
from t2ibench.checks.verify import differing, verify
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.images import encode_png
from t2ibench.report import verdicts
from t2ibench.runner import journal
from t2ibench.runner import run as runner
from t2ibench.runner import suite as suites
from t2ibench.runner.journal import read_line, spelled

RECORD = "records/squares/text_to_image/painter/0.json"
JOURNAL = "journals/squares/text_to_image/painter/0.jsonl"


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Where the run of the first test is kept for the others."""
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def made(squares, kept, tmp_path) -> Path:
    """The bundle of a run of two methods over squares."""
    path = squares(("baselines: [real, shuffled, {name: unconditional, of: painter}]", "baselines: [real]"))
    if not kept.exists():
        list(runner.run(suites.load(str(path)), runner.RunOptions()))
        bundle.write(Path("runs/squares"), Path("sent"), "https://example.org/squares.tar", suite_file=path)
        shutil.copytree(tmp_path, kept)
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    return Path("sent")


def problems(method: str = "painter", work: str = "runs") -> str:
    """What is wrong with one cell of the bundle; empty text for one that is verified."""
    held = bundle.read(Path("sent"), Path(work))
    parsed = suites.parse(suites.read(held.suite_file), held.suite, "", "suite.yaml", makers=False)
    claims = [claim for claim in held.claims if claim.where == f"text_to_image/{method} seed 0"]
    [verdict] = verify(claims, parsed, "cpu")
    return "\n".join(verdict.problems)


def reseal(folder: Path, change, name: str = RECORD) -> None:
    """Change a file of a bundle as somebody would who also mends all hashes around it."""
    path = folder / name
    if name == RECORD:
        content = json.loads(path.read_text("utf-8"))
        change(content)
        path.write_text(json.dumps(records.seal(content)), "utf-8")
    else:
        lines = [read_line(line) for line in journal.lines_of(path)]
        path.write_bytes(spelled(change(lines)))
    listed = json.loads((folder / bundle.FILE).read_text("utf-8"))
    for cell in listed["cells"]:
        for file in cell["files"]:
            cell["files"][file] = bundle.file_hash(folder / file)
    (folder / bundle.FILE).write_text(json.dumps(records.seal(listed)), "utf-8")


def images_digest(folder: Path) -> str:
    lines = [read_line(line) for line in journal.lines_of(folder / JOURNAL)]
    return records.digest([[line["sample"], line["status"], line["sha256"]] for line in lines])


def test_a_run_that_is_as_it_says_is_verified_without_its_methods(made):
    content = suites.read(made / "suite.yaml")
    (made / "suite.yaml").write_text(
        (made / "suite.yaml").read_text("utf-8").replace("painter", "a_method_of_others"), "utf-8"
    )
    assert content["methods"][0] == "painter"
    reseal(made, lambda record: None)
    listed = json.loads((made / bundle.FILE).read_text("utf-8"))
    listed["suite_sha256"] = bundle.file_hash(made / "suite.yaml")
    (made / bundle.FILE).write_text(json.dumps(records.seal(listed)), "utf-8")
    assert [problems(name) for name in ("real", "painter", "blind")] == ["", "", ""]
    assert problems(work="runs/squares") == ""  # the run's folder will do


def edited(record: dict) -> None:
    record["values"]["hue"]["value"] -= 0.01


def emptied(record: dict) -> None:
    del record["values"]["hue"]


def of_another_protocol(record: dict) -> None:
    value = record["values"]["hue"]
    value["protocol"] = {**value["protocol"], "more": 1}
    value["protocol_id"] = records.digest(value["protocol"])[:12]


def with_other_settings(record: dict) -> None:
    record["identity_of"]["metrics"][0]["revision"] = 99
    record["identity"] = records.digest(record["identity_of"])


def of_another_seed(record: dict) -> None:
    record["counts"]["ok"] -= 1
    record["counts"]["black"] += 1
    record["coverage"] = record["counts"]["ok"] / record["counts"]["requested"]
    record["partial"] = True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edited, "hue: value: 0.99 in the record, 1 when scored again"),
        (emptied, "hue: is not in the record, but the suite asks for it"),
        (of_another_protocol, "hue: another protocol: more"),
        (with_other_settings, "another protocol than that of the suite: metrics[0].revision: 99 there"),
        (of_another_seed, "the counts of the record are not those of the journal: black: 1 there, 0 now"),
    ],
)
def test_a_changed_record_fails_also_with_sound_hashes(made, change, said):
    reseal(made, change)
    assert said in problems()
    assert problems("blind") == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "is missing from the journal"),
        (lambda lines: [*lines, lines[0]], "stands twice in the journal"),
        (lambda lines: [{**lines[0], "sample": "f" * 20}, *lines[1:]], "was not asked for by the suite"),
        (lambda lines: [{**lines[0], "text": "another"}, *lines[1:]], "has another prompt than the suite asks for"),
        (lambda lines: [{**lines[0], "sample": [1]}, *lines[1:]], "line 1 is damaged"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "in another order than the suite"),
        (lambda lines: [{**lines[0], "sha256": "0" * 64}, *lines[1:]], "not those of the record"),
    ],
)
def test_a_changed_journal_fails_also_with_sound_hashes(made, change, said):
    reseal(made, change, JOURNAL)
    assert said in problems()


def test_a_changed_missing_or_darkened_image_fails(made):
    [folder] = Path("runs/squares/text_to_image/painter").iterdir()
    lines = [read_line(line) for line in journal.lines_of(made / JOURNAL)]
    first = folder / "images" / f"{lines[0]['sample']}.png"
    kept = first.read_bytes()
    first.write_bytes(encode_png(np.zeros((3, 8, 8), np.uint8)))
    assert "the image has other pixels than when it was scored" in problems()
    first.unlink()
    assert f"{lines[0]['sample']}.png" in problems()
    first.write_bytes(kept)
    assert problems() == ""


def test_better_images_under_the_journal_of_others_do_not_score_better(made):
    """Somebody puts the images of a better method in place of his own, and keeps all hashes in order."""
    [theirs], [own] = (list(Path(f"runs/squares/text_to_image/{name}").iterdir()) for name in ("painter", "blind"))
    shutil.rmtree(own / "images")
    shutil.copytree(theirs / "images", own / "images")
    assert "the image has other pixels than when it was scored" in problems("blind")


def test_a_record_is_verified_whatever_the_order_of_its_journal(made, t2ibench):
    [folder] = Path("runs/squares/text_to_image/painter").iterdir()
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[20:], *lines[:20]]))
    command = ("verify", f"runs/{RECORD}", "--work", "runs", "--suite", "squares.yaml")
    assert t2ibench(*command).returncode == 0
    path.write_bytes(b"".join(lines[1:]))
    answer = t2ibench(*command)
    assert (answer.returncode, "is missing from the journal" in answer.stdout) == (1, True)
    shutil.rmtree(folder)
    answer = t2ibench(*command)
    assert (answer.returncode, "no images kept" in answer.stdout) == (1, True)


def test_files_changed_after_the_bundle_was_made_are_named(made):
    path = made / JOURNAL
    path.write_bytes(path.read_bytes()[:-20])
    assert "was changed after the bundle was made" in problems()
    assert "is damaged" in problems()
    (made / "records/squares/text_to_image/more.json").write_text("{}", "utf-8")
    with pytest.raises(UserError, match="does not list it"):
        problems()
    for content in ({}, {"suite": "s"}, {"suite": "s", "images": "x", "suite_sha256": "x", "cells": [{"files": 1}]}):
        (made / bundle.FILE).write_text(json.dumps(records.seal({"kind": bundle.KIND, **content})), "utf-8")
        with pytest.raises(UserError, match="its list has another form"):
            problems()
    (made / bundle.FILE).write_text("{}", "utf-8")
    with pytest.raises(UserError, match="not a sound bundle"):
        problems()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "<b>", "\x1b[1m", "-x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name):
    with pytest.raises(UserError, match="cannot be a file name"):
        bundle.names_of(record(name))


def test_a_bundle_is_submitted_verified_and_shown_by_commands(made, t2ibench):
    answer = t2ibench("submit", "runs/squares", "--images", "x", "--suite", "squares.yaml", "--out", "again")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("again: 3 cells")
    answer = t2ibench("verify", "again", "--work", "runs", "--out", "board")
    assert (answer.returncode, answer.stdout.splitlines()[-1]) == (0, "3 of 3 cells are verified")
    assert len(records.load(Path("board"))) == 3
    answer = t2ibench(
        "verify", "runs/records/squares/text_to_image/painter/0.json", "--suite", "squares.yaml", "--json"
    )
    [verdict] = json.loads(answer.stdout)
    assert (verdict["where"], verdict["problems"], verdict["images"]) == ("text_to_image/painter seed 0", [], 32)
    reseal(made, edited)
    answer = t2ibench("verify", "sent", "--work", "runs", "--out", "other")
    assert answer.returncode == 1
    assert "FAILED    text_to_image/painter seed 0: hue: value" in answer.stdout
    assert {record["method"] for record in records.load(Path("other"))} == {"real", "blind"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("submit", "nowhere", "--images", "x"), "nowhere is no folder"),
        (("submit", "runs/squares", "--images", "x", "--out", "sent"), "sent is not empty"),
        (("submit", "runs/squares", "--images", "x"), "no suite is called 'squares'"),
        (("verify", "sent"), "holds none of the images: get them from https://example.org/squares.tar"),
        (("verify", "sent", "--work", "empty"), "empty holds none of the images"),
        (("verify", "sent", "--suite", "squares.yaml"), "--suite has no effect here: a bundle brings the file"),
        (("verify", "nowhere"), "nowhere is missing"),
    ],
)
def test_bad_input_is_one_line(made, t2ibench, arguments, said):
    answer = t2ibench(*arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_record_is_verified_stale_or_self_reported(made, t2ibench):
    t2ibench("verify", "sent", "--work", "runs", "--out", "board")
    rows = records.load(Path("board"))
    assert {one.state for one in verdicts.standings(rows, [Path("board")]).values()} == {"verified"}
    assert {one.state for one in verdicts.standings(rows, [Path("runs")]).values()} == {"self-reported"}
    changed = [records.seal({**record, "cost": {"seconds_per_image": 9.0}}) for record in rows]
    found = verdicts.standings(changed, [Path("board")])
    assert {(one.state, one.why) for one in found.values()} == {
        ("stale", "the record has changed since it was verified")
    }
    for path in Path("board/verified").rglob("*.json"):
        content = json.loads(path.read_text("utf-8"))
        content["plugins"]["metrics/hue"]["revision"] = 99
        path.write_text(json.dumps(records.seal(content)), "utf-8")
    found = verdicts.standings(rows, [Path("board")])
    assert {(one.state, one.why) for one in found.values()} == {("stale", "metrics/hue changed since it was verified")}
    assert verdicts.worst(list(found.values())).state == "stale"


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({"a": 1.0}, {"a": 1.00001}, ""),
        ({"a": 1.0}, {"a": 1.001}, "a: 1 in the record, 1.001 when scored again"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a[1].b: 2 in the record, 3 when scored again"),
        ({"a": 1}, {}, "a: is only there in the record"),
        ({}, {"a": 1}, "a: is missing in the record"),
        ({"per_sample": "1101"}, {"per_sample": "1111"}, "per_sample: 1 of 4 numbers differ"),
        ({"per_sample": "0.5 -"}, {"per_sample": "0.5001 -"}, ""),
        ({"per_sample": "0.5 1"}, {"per_sample": "110"}, "per_sample: not as many numbers as when scored again"),
        ({"a": True}, {"a": 1.0}, ""),
        ({"a": "x"}, {"a": "y"}, "a: x in the record, y when scored again"),
    ],
)
def test_contents_differ_where_a_number_leaves_the_tolerance(then, now, said):
    assert differing(then, now, 1e-4) == said
