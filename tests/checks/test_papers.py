"""t2ibench/checks/papers/claims.py, checks/papers/reproduce.py and checks/papers/ledger.py: verdicts in closed form,
honest reasons, and sheets that are refused in one line.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import kept, record
from scipy import stats
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.checks.papers import claims, ledger, reproduce
from t2ibench.checks.papers.claims import Paper
from t2ibench.core import plugins, records
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.runner import suite

ROOT = Path(__file__).parents[2]
SHEET: dict[str, Any] = {
    "citation": {"title": "On Painting", "venue": "X 2001"},
    "suite": "ablations.yaml",
    "variants": {"painter": {}},
    "reported": [
        {
            "source": "table 1",
            "method": "painter",
            "dataset": "squares",
            "metric": "hue",
            "value": 0.5,
            "status": "verified",
        }
    ],
    "claims": [
        {"id": "sees", "text": "Who sees paints better", "better": "painter", "worse": "blind", "metric": "hue"}
    ],
}
NOISE = np.random.default_rng(0).normal(0, 1, 40)
NOISE = (NOISE - NOISE.mean()) / NOISE.std(ddof=1)  # mean 0, deviation 1


@pytest.fixture
def sheet(squares):
    """A paper of the painter: sheet(claims=[…])."""
    of = suite.load(str(squares(("metrics: [hue", "columns: [hue]\nmetrics: [hue"))))

    def make(**changes: Any) -> Paper:
        return claims.parse("painter", {**SHEET, **changes}, of, "painter/paper.yaml")

    return make


def claim(id: str = "sees", **changes: Any) -> dict[str, Any]:
    return {**SHEET["claims"][0], "id": id, **changes}


def made(values: Any, blind: bool, better: str = "higher", name: str = "", **changes: Any) -> dict[str, Any]:
    """A record of the painter, or of the one that sees no colour."""
    config = {"nan_below": 0.0, "black_below": 0.0, "colour_blind": blind, "delay": 0.0}
    given = {"config": {"name": "painter", "config": config}, "dataset": {"name": "squares"}, **changes}
    return record(name or ("blind" if blind else "painter"), {"hue": kept(values, better)}, **given)


def pair(gap: float, spread: float = 1.0, better: str = "higher") -> list[dict[str, Any]]:
    """Two records of 40 samples whose differences have this mean and deviation, painter minus blind."""
    return [made(gap + spread * NOISE, False, better), made(np.zeros(40), True, better)]


@pytest.mark.parametrize(
    ("gap", "better", "verdict", "code"),
    [
        (0.6, "higher", "confirmed", 0),
        (-0.6, "higher", "refuted", 1),
        (0.6, "lower", "refuted", 1),
        (-0.6, "lower", "confirmed", 0),
        (0.2, "higher", "inconclusive", 3),
        (-0.2, "higher", "inconclusive", 3),
    ],
)
def test_a_difference_beyond_chance_confirms_or_refutes_by_its_sign(sheet, gap, better, verdict, code):
    found = reproduce.judge(sheet(), pair(gap, better=better))
    assert (found.claims[0].verdict, found.exit_code) == (verdict, code)
    assert found.claims[0].p == pytest.approx(2 * stats.t.sf(abs(gap) * 40**0.5, 39), rel=1e-4)


@pytest.mark.parametrize(
    ("gap", "spread", "verdict"),
    [(0.1, 0.1, "confirmed"), (0.5, 0.1, "refuted"), (0.1, 2.0, "inconclusive"), (-0.5, 0.1, "refuted")],
)
def test_an_equality_holds_within_its_margin_and_fails_beyond_it(sheet, gap, spread, verdict):
    equal = claim(better="", worse="", equal=["painter", "blind"], margin="0.3")
    found = reproduce.judge(sheet(claims=[equal]), pair(gap, spread))
    assert found.claims[0].verdict == verdict
    assert found.claims[0].p == pytest.approx(
        min(1, 2 * stats.t.sf(abs(0.3 - abs(gap)) / spread * 40**0.5, 39)), rel=1e-3
    )


def test_p_values_are_adjusted_over_the_claims_that_were_judged(sheet):
    alone = reproduce.judge(sheet(), pair(0.36)).claims[0]
    assert (alone.verdict, alone.p) == ("confirmed", pytest.approx(0.0283, abs=1e-3))
    same = [claim("a"), claim("b"), claim("c", metric="nothing", needs="a brush")]
    found = reproduce.judge(sheet(claims=same), pair(0.36))
    assert [entry.verdict for entry in found.claims] == ["inconclusive", "inconclusive", "not run"]
    assert found.claims[0].p == pytest.approx(2 * (alone.p or 0))


def test_what_refutes_a_true_claim_is_chance_alone(sheet):
    """Of claims whose two sides are level, one in twenty is called, half of them refuted."""
    rng, paper = np.random.default_rng(1), sheet()
    level = [[made(rng.normal(size=40), blind) for blind in (False, True)] for _ in range(200)]
    found = [reproduce.judge(paper, both).claims[0].verdict for both in level]
    assert np.mean([verdict != "inconclusive" for verdict in found]) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_a_record_is_of_an_entry_by_its_settings_and_not_by_its_name(sheet):
    sees, blind = pair(0.6)
    renamed = [made(kept_of(sees), False, name="someone"), made(kept_of(blind), True, name="painter")]
    found = reproduce.judge(sheet(), renamed)
    assert found.claims[0].verdict == "confirmed"
    assert found.claims[0].line is not None
    assert found.claims[0].line.a == pytest.approx(0.6)


def kept_of(content: dict[str, Any]) -> np.ndarray:
    return np.array([float(word) for word in content["values"]["hue"]["details"]["per_sample"].split()])


def test_what_is_missing_is_said_and_nothing_is_skipped(sheet):
    sees, blind = pair(0.6)
    many = [
        claim("a"),
        claim("b", better="dreamer", needs="a training of the dreamer"),
        claim("c", metric="taste", needs="a taster"),
    ]
    found = reproduce.judge(sheet(claims=many), [sees])
    assert [entry.missing for entry in found.claims] == [
        "no record of blind, which `t2ibench reproduce painter` makes",
        "no record of dreamer and blind; a training of the dreamer",
        "no record of blind; a taster",
    ]
    assert found.exit_code == 3  # nothing was judged
    weights = reproduce.judge(sheet(), [sees], {"blind": "no weights are called 'cane'"})
    assert weights.claims[0].missing == "no weights are called 'cane'"
    no_taste = reproduce.judge(sheet(claims=many), [sees, blind])
    assert [entry.verdict for entry in no_taste.claims] == ["confirmed", "not run", "not run"]
    assert no_taste.claims[2].missing == "the records have no taste; a taster"
    assert no_taste.exit_code == 0


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"suite": "t"}, "the records of the two are of different suites"),
        ({"ok": 3}, "blind is partial: 3 of 4 images"),
        ({"judge_overlap": {"hue": ["eye"]}}, "blind was made for the judge of hue"),
        ({"seed": 1}, ""),
    ],
)
def test_records_that_cannot_be_trusted_or_paired_are_not_judged(sheet, changes, missing):
    sees, _ = pair(0.6)
    found = reproduce.judge(sheet(), [sees, made(np.zeros(40), True, **changes)])
    assert found.claims[0].missing == missing
    assert (found.claims[0].verdict == "not run") == bool(missing)


def test_other_protocols_are_not_judged(sheet):
    sees, blind = pair(0.6)
    other = records.seal({**blind, "values": {"hue": kept(np.zeros(40), protocol="q")}})
    found = reproduce.judge(sheet(), [sees, other])
    assert found.claims[0].missing.startswith("different protocols: ")


def test_of_several_suites_the_one_with_most_samples_is_judged(sheet):
    small = [replace_samples(content, 5) for content in pair(-0.6)]
    found = reproduce.judge(sheet(), [*small, *pair(0.6)])
    assert (found.claims[0].suite, found.claims[0].verdict) == ("s", "confirmed")


def replace_samples(content: dict[str, Any], n: int) -> dict[str, Any]:
    return records.seal({**content, "suite": "a", "values": {"hue": kept(kept_of(content)[:n])}})


def test_an_ordering_of_a_value_without_a_better_side_is_refused(sheet):
    with pytest.raises(UserError, match="claims: sees: of hue neither more nor less is better"):
        reproduce.judge(sheet(), pair(0.6, better="none"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"better": "paintr"},
            r"^painter/paper.yaml: claims: sees: the suite has no entry 'paintr', did you mean 'painter'\?$",
        ),
        ({"metric": "huee"}, r"sees: no column of the suite is called 'huee', did you mean 'hue'\?"),
        ({"beter": "painter"}, r"sees: unknown key 'beter', did you mean 'better'\?"),
        ({"worse": ""}, "expected either `better` and `worse`, or two entries that are `equal`"),
        ({"equal": ["painter", "blind"]}, "expected either"),
        ({"better": "", "worse": "", "equal": ["painter"]}, "expected either"),
        ({"worse": "painter"}, "compares 'painter' with itself"),
        ({"margin": "little"}, "margin is 'little', expected 5% or 0.1"),
        ({"text": 3}, "text is 3, expected str"),
    ],
)
def test_a_wrong_claim_is_one_line(sheet, changes, message):
    with pytest.raises(UserError, match=message):
        sheet(claims=[claim(**changes)])


def test_a_wrong_sheet_is_one_line(sheet):
    with pytest.raises(UserError, match="claims: sees: the key 'metric' is missing"):
        sheet(claims=[{key: value for key, value in claim().items() if key != "metric"}])
    with pytest.raises(UserError, match="claims: found 'sees', expected"):
        sheet(claims=["sees"])
    with pytest.raises(UserError, match="claims: 'sees' stands there twice"):
        sheet(claims=[claim(), claim()])
    with pytest.raises(UserError, match="reported: no variant is called 'paintr', did you mean 'painter'"):
        sheet(reported=[{**SHEET["reported"][0], "method": "paintr"}])
    with pytest.raises(UserError, match="status is 'sure', expected"):
        sheet(reported=[{**SHEET["reported"][0], "status": "sure"}])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "protocol of no id of ours there, "),
        ({"dataset": "cub"}, "the records are of squares, not of cub"),
        ({"metric": "taste"}, "the records have no taste"),
    ],
)
def test_a_reported_number_is_not_compared_across_protocols(sheet, changes, why):
    found = reproduce.judge(sheet(reported=[{**SHEET["reported"][0], **changes}]), pair(0.6)).reported[0]
    assert found.here is None
    assert found.incomparable.startswith(why)


def test_a_reported_number_stands_beside_ours_under_one_protocol_id(sheet):
    sees, blind = pair(0.6)
    same = {**SHEET["reported"][0], "protocol_id": sees["values"]["hue"]["protocol_id"]}
    assert reproduce.judge(sheet(reported=[same]), [sees, blind]).reported[0].here == pytest.approx(0.6)
    assert reproduce.judge(sheet(), [blind]).reported[0].incomparable == "no record of painter"


def test_the_ledger_says_it_all(sheet):
    many = [claim(), claim("c", metric="taste", needs="a taster")]
    found = reproduce.judge(sheet(claims=many), pair(-0.6))
    text = ledger.markdown(found)
    assert "X 2001. 2 claims: 1 refuted, 1 not run." in text
    [row] = [line for line in text.split("\n") if "**refuted**" in line]
    assert row.startswith("| **refuted** | Who sees paints better | painter before blind | `hue` ↑ | ")
    low, high = -0.6 + np.array([-1, 1]) * stats.t.ppf(0.975, 39) / 40**0.5
    shown = [float(number) for number in re.findall(r"[\d.]+", row.split("|")[7])]
    assert shown == pytest.approx([0.6, -low, -high], abs=0.05)
    assert "the records have no taste; a taster" in text
    assert (
        "| table 1 | painter | squares | `hue` | 0.5 | verified | — | not comparable, because protocol of no id of "
        "ours there" in text
    )
    content = json.loads(json.dumps(ledger.as_json(found)))
    assert [entry["verdict"] for entry in content["claims"]] == ["refuted", "not run"]
    assert content["exit_code"] == 1


def trained(gaps: list[float], blind: list[float]) -> list[dict[str, Any]]:
    """A record of each training: the painter's with these means, and those of the one that sees no colour."""
    rows = []
    for sees, values in ((True, gaps), (False, blind)):
        for k, value in enumerate(values):
            config = {"nan_below": 0.0, "black_below": 0.0, "colour_blind": not sees, "delay": float(k)}
            rows.append(made(value + NOISE, not sees, name=f"{sees} {k}", config={"name": "painter", "config": config}))
    return rows


@pytest.fixture
def over_trainings(sheet):
    """The painter's paper, each side of which was trained three times."""

    def make(**changes: Any) -> Paper:
        paper = sheet()
        settings = {"painter": {}, "blind": {"colour_blind": True}}
        more = [
            Entry(f"{id}-{k}", "painter", {**given, "delay": float(k)}, "method")
            for id, given in settings.items()
            for k in (1, 2)
        ]
        suite_ = replace(paper.suite, methods=(*paper.suite.methods, *more))
        retrained = {"painter": ["painter-1", "painter-2"], "blind": ["blind-1", "blind-2"]}
        return claims.parse("painter", {**SHEET, "retrained": retrained, **changes}, suite_, "painter/paper.yaml")

    return make


def test_a_claim_over_trainings_is_tested_by_the_spread_between_them(over_trainings):
    first, second = [0.5, 0.7, 0.6], [0.1, 0.5, 0.3]
    [judged] = reproduce.judge(over_trainings(), trained(first, second)).claims
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert judged.line is not None
    assert judged.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert judged.line.difference.interval() == pytest.approx(expected.confidence_interval(), rel=1e-6)
    assert (judged.line.a, judged.line.b) == (pytest.approx(0.6), pytest.approx(0.3))
    assert judged.verdict == "inconclusive"
    assert ledger.where(judged).endswith("3 trainings each")
    alone = reproduce.judge(over_trainings(retrained=None), trained(first, second)).claims[0]
    assert alone.verdict == "refuted" if (alone.line and alone.line.difference.value < 0) else "confirmed"


def test_a_training_without_a_record_is_named(over_trainings):
    rows = trained([0.5, 0.7, 0.6], [0.1, 0.5])
    [judged] = reproduce.judge(over_trainings(), rows).claims
    assert judged.verdict == "not run"
    assert "no record of blind-2" in judged.missing
    assert {entry.id for entry in reproduce.wanted(over_trainings()).methods} == {
        "painter",
        "painter-1",
        "painter-2",
        "blind",
        "blind-1",
        "blind-2",
    }


@pytest.mark.parametrize(
    ("retrained", "message"),
    [
        ({"painter": "painter-1"}, "retrained: expected {ENTRY: "),
        ({"painter": ["paintr-1"]}, "retrained: the suite has no method 'paintr-1', did you mean 'painter-1'"),
        ({"painter": ["painter-1"], "blind": ["painter-1"]}, "'painter-1' stands there twice: a training counts once"),
    ],
)
def test_wrong_trainings_are_one_line(over_trainings, retrained, message):
    with pytest.raises(UserError, match=re.escape(message)):
        over_trainings(retrained=retrained)


def test_an_inconclusive_claim_says_what_would_have_been_seen(sheet):
    """Of differences of that size four of five are found; half of what is said is found far less often."""
    [judged] = reproduce.judge(sheet(), pair(0.1)).claims
    assert judged.visible is not None
    power = [stats.nct.sf(stats.t.ppf(0.975, 39), 39, share * judged.visible * 40**0.5) for share in (1.0, 0.5)]
    assert power[0] == pytest.approx(0.8, abs=0.01)
    assert power[1] < 0.35
    assert f"sees: inconclusive; a difference of {judged.visible:.2g} would have been seen in four of five cases." in (
        ledger.markdown(reproduce.judge(sheet(), pair(0.1)))
    )
    equal = claim(better="", worse="", equal=["painter", "blind"], margin="0.3")
    [judged] = reproduce.judge(sheet(claims=[equal]), pair(0.0)).claims
    assert judged.line is not None
    assert judged.visible is not None
    assert judged.line.difference.power(judged.visible, 0.025) == pytest.approx(0.8, abs=1e-6)
    assert reproduce.judge(sheet(), pair(0.6)).claims[0].visible is None


def test_entries_that_no_claim_is_about_are_not_run(sheet):
    paper = sheet()
    more = replace(paper.suite, methods=(*paper.suite.methods, Entry("third", "painter", {}, "method")))
    assert [entry.id for entry in reproduce.wanted(replace(paper, suite=more)).methods] == ["painter", "blind"]
    assert reproduce.wanted(paper).baselines == ()


def strong(name: str, delay: float, reached: float, hue: float, blind: bool) -> dict[str, Any]:
    """A record of one strength: what is reached, and a hue that falls with it, each with noise of its own."""
    config = {"nan_below": 0.0, "black_below": 0.0, "colour_blind": blind, "delay": delay}
    values = {"reached": kept(reached + 0.01 * NOISE), "hue": kept(hue + 0.01 * NOISE[::-1])}
    given = {"config": {"name": "painter", "config": config}, "dataset": {"name": "squares"}}
    return record(name, values, suite="painter", **given)


def test_a_claim_at_equal_reach_is_judged_where_both_curves_have_it(sheet):
    """At their defaults the blind one, which reaches less, keeps more; where both reach 0.4 it keeps less."""
    seen = [strong(f"p{d}", d, 0.2 * d, 1 - 0.1 * d, False) for d in (1.0, 2.0, 3.0)]
    blind = [strong(f"b{d}", d, 0.1 * d, 1 - 0.1 * d, True) for d in (2.0, 4.0, 5.0)]
    entries = {"better": "p2.0", "worse": "b2.0", "metric": "hue", "needs": "-"}
    [plain] = reproduce.judge(sheet(claims=[claim(**entries)]), [*seen, *blind]).claims
    assert plain.line is not None
    assert abs(plain.line.difference.value) < 0.005
    [judged] = reproduce.judge(sheet(claims=[claim(**entries, at="reached=0.4")]), [*seen, *blind]).claims
    assert judged.verdict == "confirmed"
    assert judged.line is not None
    assert judged.line.difference.value == pytest.approx(0.8 - 0.6, abs=0.005)
    assert ledger.pair(judged) == (
        "painter colour_blind=False at delay=2 before painter colour_blind=True at delay=4; both at reached=0.4"
    )


def test_a_claim_about_curves_says_why_it_was_not_run(sheet):
    asked = claim(better="p2.0", worse="b2.0", metric="hue", needs="-", at="reached=0.9")
    seen = [strong(f"p{d}", d, 0.2 * d, 1 - 0.1 * d, False) for d in (1.0, 2.0, 3.0)]
    blind = [strong(f"b{d}", d, 0.1 * d, 1 - 0.1 * d, True) for d in (2.0, 4.0, 5.0)]
    [judged] = reproduce.judge(sheet(claims=[asked]), [*seen, *blind]).claims
    assert judged.verdict == "not run"
    assert "has 0.2 to 0.6" in judged.missing
    [judged] = reproduce.judge(sheet(claims=[asked]), []).claims
    assert "no record of the suite painter" in judged.missing
    with pytest.raises(UserError, match=r"claims: sees: at 'much': expected METRIC=NUMBER"):
        sheet(claims=[claim(at="much")])


def test_all_strengths_of_a_claim_about_curves_are_run(sheet):
    paper = sheet(claims=[claim(at="hue=0.5")])
    others = [Entry(f"p{delay}", "painter", {"delay": delay}, "method") for delay in (1, 2)]
    more = replace(paper.suite, methods=(*paper.suite.methods, *others, Entry("other", "other", {}, "method")))
    ids = [entry.id for entry in reproduce.wanted(replace(paper, suite=more)).methods]
    assert ids == ["painter", "blind", "p1", "p2"]


def test_the_whole_way_of_another_package(squares, monkeypatch):
    """A sheet in somebody else's package: run, judged, resumed; then from the records alone."""
    path = squares(("metrics: [hue", "columns: [hue]\nmetrics: [hue"))
    package, info = Path("site/outside"), Path("site/outside-0.dist-info")
    for folder in (package, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("from testing_painter import *\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[t2ibench.methods]\noutside = outside\n")
    (package / "paper.yaml").write_text(json.dumps({**SHEET, "variants": {"outside": {}}, "reported": []}))
    (package / "ablations.yaml").write_text(path.read_text())
    monkeypatch.syspath_prepend("site")
    assert "outside" in claims.papers()
    assert (
        plugins.sheet("outside") == package.absolute() / "paper.yaml"
        or plugins.sheet("outside") == package / "paper.yaml"
    )
    first = CliRunner().invoke(cli.app, ["reproduce", "outside", "--json"])
    assert first.exit_code == 0, first.output
    content = json.loads(first.stdout)
    assert [entry["verdict"] for entry in content["claims"]] == ["confirmed"]
    made_of = sorted(str(path.parent.name) for path in Path("runs/reproduce/outside/records").rglob("*.json"))
    assert made_of == ["blind", "painter"]
    again = CliRunner().invoke(
        cli.app, ["reproduce", "outside", "--folder", "runs/reproduce/outside", "--ledger", "l.md"]
    )
    assert again.exit_code == 0
    assert "1 confirmed" in Path("l.md").read_text("utf-8")
    assert Path("l.md").read_text("utf-8") == Path("runs/reproduce/outside/reproduce-outside.md").read_text("utf-8")


def test_an_unknown_paper_is_refused_with_the_nearest(capsys, monkeypatch):
    for arguments, message in (
        (["reproduce", "gan-cls"], "no paper with claims is called 'gan-cls', did you mean 'gan_cls'?"),
        (["reproduce", "gan_cls", "--folder", "nowhere"], "nowhere is missing"),
        (
            ["reproduce", "gan_cls", "--folder", "a", "--out", "b"],
            "--out has no effect here: --folder judges records and runs nothing",
        ),
    ):
        monkeypatch.setattr("sys.argv", ["t2ibench", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", claims.papers())
def test_every_sheet_is_sound(name):
    paper = claims.load(name)
    assert paper.claims
    assert paper.suite.name == name


@pytest.mark.parametrize("path", sorted((ROOT / "results/reproduce").glob("*.md")), ids=lambda path: path.stem)
def test_the_committed_ledger_is_that_of_the_committed_records(path):
    own = path.with_suffix("")
    paper = claims.load(path.stem)
    made_now = ledger.markdown(reproduce.judge(paper, records.load(own if own.is_dir() else ROOT / "results")))
    assert made_now == path.read_text("utf-8")
