"""t2ibench/checks/drift: faults are found in their layer and named, equal things pass, what cannot be concluded is no
pass.
"""

import json
import runpy
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_records import record
from rich.console import Console
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.checks.drift import baseline, culprit, gate, golden, methods, reports
from t2ibench.checks.drift.examine import examine, shares_of, tiers_of
from t2ibench.checks.drift.fingerprint import fingerprint
from t2ibench.checks.drift.probes import LAYERS, Probe
from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.stats.paired import between_samples, spell

pytest_plugins = ["pytester"]
FAULTS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "faults" / "drift_power.py"))["MACHINERY"]
QUICK = ("resize", "estimator")  # layers whose probes take no network


@pytest.fixture(scope="module")
def shipped() -> baseline.Baseline:
    return baseline.read(baseline.SHIPPED)


def of_layers(known: baseline.Baseline, *layers: str) -> baseline.Baseline:
    return replace(known, measured=[measured for measured in known.measured if measured.layer in layers])


def found(known: baseline.Baseline, tiers=(0, 1)) -> gate.Verdict:
    return gate.verdict(list(gate.recompute(known, tiers)), known, "b.json")


def test_nothing_has_drifted_on_this_machine(shipped):
    verdict = found(shipped)
    assert (verdict.exit_code, verdict.first_layer, verdict.culprit) == (0, None, "")
    assert {finding.layer for finding in verdict.findings} == set(LAYERS) - {"methods"}


@pytest.mark.parametrize("name", [name for name, (_, layer) in FAULTS.items() if layer in QUICK])
def test_a_fault_of_resizing_or_of_an_estimator_is_found_in_its_layer(shipped, name):
    fault, layer = FAULTS[name]
    with fault():
        verdict = found(of_layers(shipped, layer))
    assert (verdict.exit_code, verdict.first_layer) == (1, layer)


@pytest.mark.parametrize("name", ["features in bfloat16", "CLIP with QuickGELU for GELU"])
def test_a_fault_of_a_network_is_found_in_its_features(shipped, name):
    fault, layer = FAULTS[name]
    with fault():
        verdict = found(of_layers(shipped, "features"))
    assert (verdict.exit_code, verdict.first_layer) == (1, layer)


@pytest.mark.parametrize(
    ("kind", "then", "now", "one_platform", "another"),
    [
        ("number", [1000.0], [1000.0005], "pass", "pass"),
        ("number", [1000.0], [1000.05], "drift", "pass"),
        ("number", [1000.0], [1000.2], "drift", "drift"),
        ("number", [1.0], [np.nan], "drift", "drift"),
        ("share", [0.5], [0.5 + 1 / 48], "drift", "pass"),
        ("share", [0.5], [0.5 + 2 / 48], "drift", "drift"),
        ("pixels", [7] * 300, [7] * 299 + [8], "drift", "pass"),
        ("pixels", [7] * 300, [7] * 290 + [8] * 10, "drift", "drift"),
        ("floats", [100.0], [100.0005], "drift", "pass"),
        ("features", [[3.0, 4.0], [1, 0]], [[3.0, 4.0], [1, 5e-5]], "drift", "pass"),
        (
            "features",
            [[3.0, 4.0], [1, 0]],
            [[3.003, 4.004], [1, 0]],
            "drift",
            "drift",
        ),  # a scale, which a cosine does not see
        ("number", [1.0], [1.0, 2.0], "drift", "drift"),
    ],
)
def test_limits_of_one_platform_and_of_another(kind, then, now, one_platform, another):
    probe = Probe("x", "metrics", kind, lambda: np.array(now))
    measured = baseline.Measured("x", "metrics", kind, np.array(then))
    assert [gate.compare(probe, measured, same).status for same in (True, False)] == [one_platform, another]


def test_what_cannot_be_looked_at_is_inconclusive_and_exit_code_3(shipped):
    def absent() -> np.ndarray:
        raise UserError("weights are missing")

    measured = shipped.measured[0]
    finding = gate.compare(Probe("x", "decode", "pixels", absent), measured, True)
    assert (finding.status, finding.said) == ("inconclusive", "weights are missing")
    unknown = replace(shipped, measured=[replace(measured, name="features of a network that is not here")])
    assert found(unknown).exit_code == 3
    assert gate.verdict([], shipped, "b").exit_code == 3


def test_a_frozen_file_that_is_not_the_frozen_one_is_refused(tmp_path, monkeypatch):
    for path in golden.FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    assert len(golden.load().captions) == len(golden.load().made) == 48
    (tmp_path / "real.png").write_bytes((tmp_path / "made.png").read_bytes())
    with pytest.raises(UserError, match=r"real\.png is not the frozen file"):
        golden.load()


def test_sheets_hold_the_images_they_are_made_of():
    images = np.random.default_rng(0).integers(0, 256, (16, 3, 64, 64), np.uint8)
    np.testing.assert_array_equal(golden.tiles(golden.sheet(images)), images)
    assert golden.sheet(images).shape == (3, 128, 512)


# The culprit


def environment(**changes) -> dict:
    known = {
        "machine": {"processor": "p"},
        "packages": {"pillow": "12.3", "torch": "2.5", "pandas": "2"},
        "libraries": {"blas": "b"},
        "switches": {"threads": "1"},
        "weights": {"clip-judge-avatars": "aa", "gan-avatars": "bb"},
        "files": {"metrics/kid.py": "1", "methods/gan_cls/__init__.py": "2"},
    }
    return {key: {**value, **changes.get(key, {})} for key, value in known.items()}


@pytest.mark.parametrize(
    ("changed", "layer", "said"),
    [
        ({"packages": {"pillow": "13.0"}}, "resize", "culprit: package pillow: 12.3 → 13.0"),
        ({"packages": {"pillow": "13.0", "pandas": "3"}}, "resize", "culprit: package pillow: 12.3 → 13.0"),
        (
            {"weights": {"clip-judge-avatars": "cc", "gan-avatars": "dd"}},
            "features",
            "culprit: weights clip-judge-avatars: aa → cc",
        ),
        ({"files": {"metrics/kid.py": "9"}}, "estimator", "culprit: file metrics/kid.py: 1 → 9"),
        ({"packages": {"pandas": "3"}}, "resize", "no package, weight, switch or file that this layer uses differs"),
        (
            {"packages": {"torch": "2.6"}, "weights": {"clip-judge-avatars": "cc"}},
            "features",
            "suspects, most likely first: weights clip-judge-avatars: aa → cc; package torch: 2.5 → 2.6",
        ),
    ],
)
def test_the_culprit_is_what_changed_and_could_have_moved_the_layer(changed, layer, said):
    changes = culprit.changes(environment(), environment(**changed))
    assert culprit.verdict(changes, layer, frozenset({"clip-judge-avatars"})).startswith(said)


def test_a_package_that_came_or_went_is_a_change():
    before, now = environment(), environment()
    del now["packages"]["torch"]
    assert [str(change) for change in culprit.changes(before, now)] == ["package torch: 2.5 → absent"]


def test_the_fingerprint_knows_the_files_of_plug_in_folders():
    files = fingerprint()["files"]
    assert {"metrics/fid.py", "checks/drift/gate.py", "datasets/avatars/__init__.py"} <= set(files)


# T2: methods


def cell(values, images="same", **changes) -> dict:
    """A record whose one value keeps its samples."""
    values = np.asarray(values, float)
    kept = Estimate(
        float(values.mean()), (-9.0, 9.0), len(values), "higher", {"k": "p"}, "x", {"per_sample": spell(values, 9)}
    ).to_json("m")
    prompts = {"digest": "prompts", **changes.pop("prompts", {})}
    return record("gan", {"m": changes.pop("value", kept)}, images=images, prompts=prompts, **changes)


def status(then, now, margin=0.01, same=True) -> list[str]:
    return [finding.status for finding in methods.compare(then, now, {"*": margin}, same, 1)]


ROWS = np.random.default_rng(0).normal(1, 0.2, 400)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (ROWS, "pass"),
        (ROWS + 1e-4 * np.random.default_rng(1).normal(size=400), "pass"),
        (ROWS * 1.02, "drift"),
        (ROWS * 0.98, "drift"),
        (ROWS + np.random.default_rng(2).normal(0.05, 0.1, 400), "drift"),
        (ROWS + np.random.default_rng(2).normal(0.005, 0.1, 400), "inconclusive"),
        (np.random.default_rng(3).normal(1, 0.2, 400), "inconclusive"),  # other images: so few cannot show 1 %
    ],
)
def test_other_images_pass_within_the_margin_and_drift_beyond_it(now, expected):
    assert status(cell(ROWS), cell(now, "other")) == [expected]


def test_equal_images_must_have_equal_values():
    assert status(cell(ROWS), cell(ROWS * (1 + 1e-8))) == ["pass"]
    [finding] = methods.compare(cell(ROWS), cell(ROWS * 1.001), {"*": 0.01}, True, 1)
    assert finding.status == "drift"
    assert "the images are the same bit by bit, but the value is not" in finding.said
    assert status(cell(ROWS), cell(ROWS * 1.00005), same=False) == ["pass"]


def test_other_outcomes_prompts_or_protocols_are_drift_with_the_reason():
    other = {"requested": 4, "generated": 3, "ok": 3, "black": 0, "nan": 1, "failed": 0}
    cases = {
        "outcomes differ: 3 ok (before: 4)": cell(ROWS, counts=other, partial=True, coverage=0.75),
        "other prompts": cell(ROWS, prompts={"digest": "shuffled"}),
        "another protocol, so the numbers do not compare: k: p there, q now": cell(
            ROWS, value=Estimate(1.0, (0, 2), 4, "higher", {"k": "q"}, "x").to_json("m")
        ),
    }
    for said, now in cases.items():
        [finding] = methods.compare(cell(ROWS), now, {}, True, 1)
        assert finding.status == "drift"
        assert said in finding.said


def test_a_method_that_was_not_made_is_inconclusive(shipped):
    known = replace(shipped, records=[cell(ROWS)])
    assert [finding.status for finding in methods.examine(known, [], True)] == ["inconclusive"]


def test_equal_methods_are_hardly_ever_called_drift_even_without_a_margin():
    """0.5 % for all values together: three values with as good as no margin, 1,000 times."""
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(1000):
        gaps = [between_samples(row, np.zeros(40)) for row in rng.normal(size=(3, 40))]
        alarms += "drift" in [methods.zone(gap, 1e-9, 3)[0] for gap in gaps]
    assert alarms / 1000 <= 0.005 + 3 * (0.005 * 0.995 / 1000) ** 0.5


def test_a_suite_is_drawn_again_and_another_method_is_drift(squares, shipped, monkeypatch):
    squares((", pair_hue]", "]"))
    content = {**yaml.safe_load(Path("squares.yaml").read_text("utf-8")), "methods": ["painter"]}
    then = methods.generate(content, Path("then"))
    methods.check(then)
    known = replace(shipped, records=then)
    assert [f.status for f in methods.examine(known, methods.generate(content, Path("again")), True)] == ["pass"]
    changed = {**content, "methods": [{"name": "painter", "colour_blind": True}]}
    [finding] = methods.examine(known, methods.generate(changed, Path("changed")), True)
    assert finding.status == "drift"


# The file, the command, the reports


def test_a_baseline_comes_back_as_it_was_written_and_damage_is_found(tmp_path, shipped):
    path = tmp_path / "b.json"
    known = replace(shipped, records=[cell(ROWS)], suite={"a": 1}, margins={"*": 0.5}, reasons=["first", "second"])
    baseline.write(known, path)
    again = baseline.read(path)
    assert (again.reasons, again.suite, again.margins, again.records) == (
        known.reasons,
        known.suite,
        known.margins,
        known.records,
    )
    for one, other in zip(known.measured, again.measured, strict=True):
        assert (one.name, one.kind) == (other.name, other.kind)
        np.testing.assert_array_equal(one.values, other.values)
    text = path.read_text("utf-8")
    for damaged in (
        text.replace('"numbers": [', '"numbers": [1', 1),
        text[: len(text) // 2],
        text.replace('"schema": 1', '"schema": 2', 1),
    ):
        path.write_text(damaged, "utf-8")
        with pytest.raises(UserError, match=r"b\.json: not a sound baseline"):
            baseline.read(path)
    with pytest.raises(UserError, match="--write` makes it"):
        baseline.read(tmp_path / "none.json")


@pytest.fixture
def drifted(shipped, tmp_path) -> Path:
    """A baseline of three probes, one of which gave something else, with an older Pillow."""
    measured = [
        one
        for one in shipped.measured
        if one.name in ("decode jpeg", "CLIP resize squash, tall", "estimator Wilson interval")
    ]
    measured[1] = replace(measured[1], values=measured[1].values ^ 1)
    then = {**fingerprint(), "packages": {**fingerprint()["packages"], "pillow": "1.0"}}
    baseline.write(baseline.Baseline(then, measured, ["x"]), tmp_path / "b.json")
    return tmp_path / "b.json"


def test_the_command_names_layer_and_culprit_and_writes_every_report(drifted, tmp_path):
    answer = CliRunner().invoke(cli.app, ["drift", str(drifted), "--junit", str(tmp_path / "j.xml"), "--github"])
    assert answer.exit_code == 1
    lines = " ".join(answer.output.split())
    assert "beginning with the layer resize: 2 checks pass, 1 drift, 0 inconclusive" in lines
    assert "culprit: package pillow: 1.0 →" in lines
    assert "::error title=T0 CLIP resize squash%2C tall::off by 1 levels" in answer.output
    [suite] = ET.parse(tmp_path / "j.xml").getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"]) == ("3", "1", "0")
    assert [case.attrib["name"] for case in suite if case.find("failure") is not None] == ["CLIP resize squash, tall"]
    content = json.loads(CliRunner().invoke(cli.app, ["drift", str(drifted), "--json"]).output)
    assert (content["exit_code"], content["first_layer"], len(content["findings"])) == (1, "resize", 3)


def test_a_baseline_is_written_over_only_with_a_reason(drifted):
    before = drifted.read_bytes()
    with pytest.raises(UserError, match="--accept REASON"):
        CliRunner().invoke(cli.app, ["drift", str(drifted), "--write"], catch_exceptions=False)
    assert drifted.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tiers", "3"), "expected some of 0, 1 and 2"),
        (("--accept", "why"), "it is for --write"),
        (("--write",), "name the file to write"),
        (("none.json",), "none.json is missing"),
    ],
)
def test_what_is_wrong_with_a_command_is_one_line(words, said):
    with pytest.raises(UserError, match=said):
        CliRunner().invoke(cli.app, ["drift", *words], catch_exceptions=False)


def test_a_baseline_without_the_tier_asked_for_is_refused(drifted):
    with pytest.raises(UserError, match="has nothing of the tiers 2"):
        examine(drifted, tiers_of("2"))


def test_margins_of_a_baseline_are_shares():
    assert shares_of(["2%", "x=0.1%"]) == pytest.approx({"*": 0.02, "x": 0.001})
    assert shares_of(["x=0.1%"]) == pytest.approx({"x": 0.001})
    with pytest.raises(UserError, match="share of the value"):
        shares_of(["x=3"])


def test_reports_say_inconclusive_as_no_pass(shipped):
    finding = gate.Finding("a & b", 2, "methods", "inconclusive", "100% unsure\nsecond line\x00")
    verdict = gate.verdict([finding], shipped, "b.json")
    assert verdict.exit_code == 3
    [suite] = ET.fromstring(reports.junit(verdict))
    assert (suite.attrib["errors"], suite[0].find("error") is not None) == ("1", True)
    assert "::warning title=T2 a & b::100%25 unsure%0Asecond line" in "\n".join(reports.annotations(verdict))
    console = Console(width=120, record=True)
    reports.show(verdict, console)
    assert "inconclusive against b.json" in console.export_text()


def test_the_pytest_plug_in_makes_a_test_of_every_check(pytester, drifted):
    pytester.makepyfile("def test_of_its_own(): pass")
    result = pytester.runpytest_inprocess("-v", "--t2ibench-drift", str(drifted))
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*T0 CLIP resize squash, tall*FAILED*", "*off by 1 levels*", "*culprit: package pillow: 1.0*"]
    )
    assert pytester.runpytest_inprocess("--t2ibench-drift", "none.json").ret == pytest.ExitCode.USAGE_ERROR


def test_committed_baselines_are_sound():
    folder = Path(__file__).parents[2] / "results" / "baselines"
    for path in folder.glob("*.json"):
        known = baseline.read(path)
        methods.check(known.records)
        assert known.suite == yaml.safe_load(path.with_suffix(".yaml").read_text("utf-8"))


def test_the_record_of_the_gates_power_is_what_the_benchmark_asks_for():
    content = json.loads((Path(__file__).parents[2] / "results" / "studies" / "drift_power.json").read_text("utf-8"))
    assert {row["fault"] for row in content["machinery"]} == {"nothing", *FAULTS}
    assert all(row["found"] == row["expected"] for row in content["machinery"] + content["methods"])
    outcomes = content["other_seeds"].values()
    for margins in content["margins"]:
        assert sum(outcome[margins] == "drift" for outcome in outcomes) <= max(1, len(outcomes) // 100)
