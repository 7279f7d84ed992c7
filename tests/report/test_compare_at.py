"""report/matched.py and `compare --at`: two methods compared where both have reached the same."""

import json

import numpy as np
import pytest
from made_records import kept, record
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report.compare import Margins
from t2ibench.report.matched import At, at_of, compare_at, curves, strengths

ALPHAS = (1, 2, 4)


def swept(name: str, strength: float, cost: float, seed: int = 0, **settings) -> list[dict]:
    """A method whose success rises with alpha; what it keeps falls by `cost` for each unit of success."""
    found = []
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 0.02, (2, 40))
    noise -= noise.mean(1, keepdims=True)
    for alpha in ALPHAS:
        reached = strength * alpha + noise[0] + seed * 0.001
        values = {"reached": kept(reached), "kept": kept(1 - cost * reached + noise[1])}
        config = {"name": name, "config": {"alpha": alpha, **settings}, "weights": {}}
        columns = ["reached", "kept"]
        label = f"{name}-{alpha}{''.join(f'-{value}' for value in settings.values())}"
        found.append(record(label, values, config=config, columns=columns, seed=seed))
    return found


@pytest.fixture
def folder(tmp_path):
    for entry in [*swept("careful", 0.1, 0.2), *swept("hasty", 0.2, 0.5)]:
        records.write(entry, tmp_path / f"{entry['method']}.json")
    return tmp_path


def test_two_methods_are_compared_at_equal_success(folder):
    [(a, b)] = curves("careful", "hasty", folder, None, None)
    found = compare_at(a, b, At("reached", 0.3), Margins())
    assert (found.a, found.b) == ("careful at alpha=3", "hasty at alpha=1.5")
    [line] = found.lines
    assert (line.metric, line.verdict) == ("kept", "better")
    assert line.a == pytest.approx(1 - 0.2 * 0.3, abs=0.01)
    assert line.difference.value == pytest.approx(0.3 * 0.3, abs=0.01)


def test_at_their_defaults_the_order_is_another_one(folder):
    """What the option is for: at alpha 4 and 1 the hasty one keeps more."""
    values = {entry["method"]: entry["values"]["kept"]["value"] for entry in records.load(folder)}
    assert values["hasty-1"] > values["careful-4"] - 0.03
    [(a, b)] = curves("careful", "hasty", folder, None, None)
    assert compare_at(a, b, At("reached", 0.25), Margins()).lines[0].verdict == "better"


def test_the_command_prints_it_and_gives_json(folder):
    run = CliRunner().invoke(cli.app, ["compare", "careful", "hasty", "--folder", str(folder), "--at", "reached=0.3"])
    assert run.exit_code == 0
    assert "careful at alpha=3" in run.output
    found = CliRunner().invoke(
        cli.app, ["compare", "careful-2", "hasty-1", "--folder", str(folder), "--at", "reached=0.3", "--json"]
    )
    [comparison] = json.loads(found.output)
    assert comparison["b"] == "hasty at alpha=1.5"


def test_seeds_are_averaged():
    found = [entry for seed in (0, 1) for entry in swept("careful", 0.1, 0.2, seed)]
    curve = strengths("careful", found, "s text_to_image")
    assert [len(entries) for _, entries in curve.points] == [2, 2, 2]
    assert compare_at(curve, curve, At("reached", 0.2), Margins()).seeds == (0, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("careful", "hasty", "reached=0.9"), "careful has 0.1 to 0.4 from alpha=1 to 4"),
        (("careful", "hasty", "reech=0.3"), "no value 'reech', did you mean 'reached'"),
        (("careful", "hastty", "reached=0.3"), "has no curve of 'hastty'"),
        (("careful", "hasty", "0.3"), "expected METRIC=NUMBER"),
        (("careful", "hasty", "reached=nan"), "expected METRIC=NUMBER"),
    ],
)
def test_bad_input_is_one_line(folder, words, said):
    run = CliRunner().invoke(cli.app, ["compare", *words[:2], "--folder", str(folder), "--at", words[2]])
    assert isinstance(run.exception, UserError)
    assert said in str(run.exception)


def test_a_method_with_several_curves_asks_for_an_entry_of_one(tmp_path):
    for beta in (0.1, 0.2):
        for entry in swept("careful", beta, 0.2, beta=beta):
            records.write(entry, tmp_path / f"{entry['method']}.json")
    with pytest.raises(UserError, match=r"has several curves .*beta=0.1.* name an entry"):
        curves("careful", "careful", tmp_path, None, None)
    [(a, b)] = curves("careful-1-0.1", "careful beta=0.2", tmp_path, None, None)
    assert (a.name, b.name) == ("careful beta=0.1", "careful beta=0.2")


def test_a_metric_without_samples_is_left_out_and_said(folder):
    [(a, b)] = curves("careful", "hasty", folder, None, None)
    for side in (a, b):
        for _, entries in side.points:
            for entry in entries:
                entry["values"]["fid"] = {**kept([0.5, 0.6]), "details": {}}
    found = compare_at(a, b, At("reached", 0.3), Margins(), everything=True)
    assert "no samples" in found.left_out["fid"]


def test_what_is_no_number_is_refused():
    assert at_of("edit_success = 0.5") == At("edit_success", 0.5)
    with pytest.raises(UserError, match="METRIC=NUMBER"):
        at_of("=0.5")
