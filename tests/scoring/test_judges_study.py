"""benchmarks/studies/judges.py: what it says follows from the committed records, and its tables are right by hand."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from t2ibench.core import records

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("judges_study", ROOT / "benchmarks" / "studies" / "judges.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["judges_study"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_study_follows_from_the_committed_records(study):
    told = study.compared(records.load(ROOT / "results/judges"))
    assert told == json.loads((ROOT / "results/studies/judges.json").read_text("utf-8"))
    assert study.page(told) == (ROOT / "results/studies/judges.md").read_text("utf-8")


def test_real_images_have_what_their_texts_ask_for_by_either_judge(study):
    real = json.loads((ROOT / "results/studies/judges.json").read_text("utf-8"))["methods"]["real"]
    assert min(value for id, value in real.items() if id != "clip_score") > 0.95


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
