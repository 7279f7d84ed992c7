"""benchmarks/studies/judges.py: what it says follows from the committed records, and its tables are right by hand."""

import json
import re
from pathlib import Path

import pytest
from scripts import loaded

from t2ibench.core import records

ROOT = Path(__file__).parents[2]


def committed(track):
    """What the committed study says of a track."""
    return json.loads((ROOT / "results/studies/judges.json").read_text("utf-8"))["tracks"][track]


@pytest.fixture(scope="module")
def study():
    return loaded("benchmarks/studies/judges.py")


def test_the_committed_study_follows_from_the_committed_records(study):
    told = study.compared(records.load(ROOT / "results/judges"))
    assert told == json.loads((ROOT / "results/studies/judges.json").read_text("utf-8"))
    assert study.page(told) == (ROOT / "results/studies/judges.md").read_text("utf-8")


def test_real_images_have_what_their_texts_ask_for_by_either_judge(study):
    told = committed("text_to_image")
    asked = ("ca_", "vqa_", "soft_tifa_")
    assert min(value for id, value in told["methods"]["real"].items() if id.startswith(asked)) > 0.95


def tables(heading):
    """The rows of the table behind a heading of docs/which_metric.md: its cells."""
    text = (ROOT / "docs/which_metric.md").read_text("utf-8").partition(f"## {heading}")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]


def test_the_page_says_of_images_from_texts_what_the_study_says():
    metrics = json.loads((ROOT / "results/studies/judges.json").read_text("utf-8"))["tracks"]["text_to_image"][
        "metrics"
    ]

    def said(name, trusted):
        found = metrics[f"{name}@vqa" if name.startswith("vqa_ca") else name].get("beside", {}).get(trusted)
        return found and f"{found['agrees']} / {found['open']} / {found['contradicts']}"

    rows = tables("Images from texts")
    assert len(rows) == 9
    for cell, common, rare, _ in rows:
        names = re.findall("`([^`]+)`", cell)
        of_pairs = names[0].startswith("vqa_ca")  # each of the two is laid beside the trusted value of its own pairs
        for found, trusted, of in ((common, "ca_control", names[:1]), (rare, "ca_rare", names[1:])):
            expected = {said(name, trusted) for name in (of if of_pairs else names)}
            assert set(found.split(", ")) == {text or "" for text in expected}, (cell, trusted)


def test_the_page_says_of_edits_what_the_study_says():
    methods = committed("edit")["methods"]
    rows = tables("Edits")
    assert len(rows) == 8
    for cell, *found, _ in rows:
        name = re.findall("`([^`]+)`", cell)[0]
        of = (methods[f"{row}-styleclip-global"] for row in ("unedited", "resampled"))
        expected = [values[name] for values in (*of, methods["exact"])]
        assert [float(value) for value in found] == [pytest.approx(value, abs=0.0051) for value in expected], name


def row(method, **values):
    """A record of a method: of every value its number, and an interval of .1 to either side. `fd` is better if low."""
    entries = {
        id: {
            "value": value,
            "ci": [value - 0.1, value + 0.1],
            "better": "lower" if id == "fd" else "none" if id == "variety" else "higher",
            "protocol_id": "p",
            "details": {},
        }
        for id, value in values.items()
    }
    kind = "baseline" if method in ("real", "shuffled-real") else "method"
    return {"method": method, "kind": kind, "track": "text_to_image", "columns": list(values), "values": entries}


def test_an_order_is_laid_beside_the_trusted_one(study):
    rows = [
        row("real", ca_control=1.0, ca_rare=1.0, fd=0.0, variety=9.0),
        row("a", ca_control=0.8, ca_rare=0.2, fd=3.0, variety=1.0),
        row("b", ca_control=0.5, ca_rare=0.6, fd=2.0, variety=2.0),
        row("c", ca_control=0.4, ca_rare=0.0, fd=2.1, variety=3.0),
        row("shuffled-real", ca_control=0.1, ca_rare=0.0, fd=0.0, variety=9.0),
    ]
    told = study.of_track("text_to_image", {row["method"]: row for row in rows})
    assert list(told["methods"]) == ["real", "a", "b", "c", "shuffled-real"]
    distance = told["metrics"]["fd"]
    assert distance["first"] == "b"
    control = distance["beside"]["ca_control"]  # tells a from b and from c, not b from c
    assert (control["agrees"], control["open"], control["contradicts"]) == (0, 0, 2)
    assert control["against"] == [["b", "a"], ["c", "a"]]
    assert control["tau"] == pytest.approx(-1 / 3, abs=1e-3)
    rare = distance["beside"]["ca_rare"]  # tells b from a and from c, not a from c
    assert (rare["agrees"], rare["open"], rare["contradicts"]) == (1, 1, 0)
    assert distance["best_above_all"]
    assert distance["above_ignoring"] == [0, 3]  # real images with other texts are as near to real images as can be
    assert told["metrics"]["ca_control"]["above_ignoring"] == [3, 3]
    assert told["metrics"]["ca_control"]["beside"]["ca_control"] == {
        "tau": 1.0, "methods": 3, "agrees": 2, "open": 0, "contradicts": 0, "against": [],
    }  # fmt: skip
    assert told["metrics"]["variety"] == {"better": "none"}


def test_a_value_that_some_methods_lack_is_compared_where_it_is(study):
    rows = [row("a", ca_control=0.8, ca_rare=0.2, fd=3.0), row("b", ca_control=0.5, ca_rare=0.6)]
    told = study.of_track("text_to_image", {row["method"]: row for row in rows})
    assert told["methods"]["b"]["fd"] is None
    found = told["metrics"]["fd"]
    assert (found["best_above_all"], found["above_ignoring"]) == (None, [0, 0])
    assert found["beside"]["ca_control"]["methods"] == 1
    assert found["beside"]["ca_control"]["tau"] is None


def cell(*rates):
    rows = [
        {"pair": f"pair {number}", "ca": rate, "status": "not judged" if rate is None else "corrected"}
        for number, rate in enumerate(rates)
    ]
    return {"details": {"pairs": rows}}


def test_rates_of_pairs_are_compared_where_both_gates_passed(study):
    cells = [{"method": "gan", "values": {"ca_rare": cell(0.1, 0.5, None), "vqa_ca_rare@vqa": cell(0.2, 0.4, 0.9)}}]
    told = study.pairs(cells)
    assert (told["compared"], told["refused_by_a_gate"]) == (2, 1)
    assert told["mean_difference"] == pytest.approx(0.1)
    assert told["largest_at"] == ["gan", "pair 0"]
    assert told["bias"] == pytest.approx(0.0)
    assert told["correlation"] == pytest.approx(1.0)
