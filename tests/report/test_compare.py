"""t2ibench/stats/paired.py and compare.py: closed forms, simulated levels, pairs that find what intervals cannot, and
honest refusals.
"""

import json
from typing import Any

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from made_records import kept, record, value
from scipy import stats
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.metrics import fid, kid
from t2ibench.report.compare import Margin, Margins, compare, margins_of
from t2ibench.stats.frechet import frechet_distance
from t2ibench.stats.intervals import standard_error
from t2ibench.stats.paired import (
    PairedDifference,
    between_effects,
    between_samples,
    by_prompt,
    difference,
    effects,
    mcnemar,
    read,
    spell,
    spell_samples,
)

ABSOLUTE = Margins(Margin(0.05, relative=False))


def method(name: str, seed: int = 0, **values: Any) -> dict:
    return record(name, values, seed=seed)


def test_a_paired_difference_by_hand():
    gap = between_samples(np.array([0.5, 0.7, 0.9, 0.8]), np.array([0.4, 0.5, 0.9, 0.5]))
    assert gap.value == pytest.approx(0.15)
    deviation = np.std([0.1, 0.2, 0.0, 0.3], ddof=1)
    assert gap.effect == pytest.approx(0.15 / deviation)
    assert gap.interval() == pytest.approx(0.15 + np.array([-1, 1]) * stats.t.ppf(0.975, 3) * deviation / 2)
    assert gap.p == pytest.approx(stats.ttest_1samp([0.1, 0.2, 0.0, 0.3], 0).pvalue)


def test_two_one_sided_tests_agree_with_their_confidence_interval():
    """Equivalence at level a is the 1 - 2 a interval lying within the margin."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        gap = between_samples(rng.normal(0.05, 1, 40), rng.normal(0, 1, 40))
        low, high = gap.interval(0.9)
        for margin in (0.1, 0.3, 0.5, 0.8):
            assert (gap.p_beyond(margin) <= 0.05) == (-margin < low and high < margin)


def test_hits_and_misses_are_compared_by_the_exact_test_of_mcnemar():
    a, b = np.array([1.0] * 8 + [0] + [1] * 50), np.array([0.0] * 8 + [1] + [1] * 50)
    assert between_samples(a, b).p == mcnemar(a, b) == pytest.approx(2 * 10 / 2**9)


def test_power_is_the_share_of_equal_pairs_that_are_shown_to_be_equivalent():
    rng, shown, promised = np.random.default_rng(1), [], []
    for _ in range(1000):
        gap = between_samples(rng.normal(size=50), rng.normal(size=50))
        shown.append(gap.p_beyond(0.6) <= 0.05)
        promised.append(gap.power(0.6))
    assert np.mean(shown) == pytest.approx(np.mean(promised), abs=0.04)
    assert PairedDifference(0.0, 0.0, 9, 1.0, 10, 0.0, "paired").power(0.01) == 1.0


def test_equality_is_called_neither_better_nor_equivalent_too_often():
    """Level of both families: with no difference at most 5 % are told apart; with one as large as the margin at most 5
    % are equivalent.
    """
    rng, found, edge = np.random.default_rng(2), [], []
    for _ in range(300):
        base, noise = rng.normal(size=60), rng.normal(0, 0.1, (3, 60))
        sides = [method("a", x=kept(base), y=kept(base + noise[0])), method("b", x=kept(base + noise[1]), y=kept(base))]
        found.append(any(line.verdict in ("better", "worse") for line in compare(sides[:1], sides[1:], ABSOLUTE).lines))
        shifted = compare([method("a", x=kept(base + 0.05))], [method("b", x=kept(base + noise[2]))], ABSOLUTE)
        edge.append(shifted.lines[0].negligible)
    for rate in (np.mean(found), np.mean(edge)):
        assert rate <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.parametrize(
    ("shift", "better", "verdict", "negligible"),
    [
        (0.3, "higher", "better", False),
        (0.3, "lower", "worse", False),
        (0.3, "none", "differs", False),
        (0.01, "higher", "better", True),
        (0.0, "higher", "equivalent", True),
    ],
)
def test_a_verdict_says_which_way_and_whether_it_matters(shift, better, verdict, negligible):
    base = np.random.default_rng(0).normal(size=400)
    noise = np.random.default_rng(1).normal(0, 0.02, 400)
    noise -= noise.mean()
    [line] = compare(
        [method("a", m=kept(base + noise + shift, better))], [method("b", m=kept(base, better))], ABSOLUTE
    ).lines
    assert (line.verdict, line.negligible) == (verdict, negligible)


def test_what_chance_explains_and_no_margin_excludes_is_no_difference_shown():
    rng = np.random.default_rng(4)
    [line] = compare(
        [method("a", m=kept(rng.normal(size=20)))], [method("b", m=kept(rng.normal(size=20)))], ABSOLUTE
    ).lines
    assert line.verdict == "no difference shown"


def test_holm_is_over_the_metrics():
    rng = np.random.default_rng(5)
    base = rng.normal(size=(6, 30))
    gaps = base + rng.normal(0.35, 1, (6, 30))
    sides = [{f"m{i}": kept(row) for i, row in enumerate(rows)} for rows in (gaps, base)]
    a, b = ([record(name, values)] for name, values in zip("ab", sides, strict=True))
    many = compare(a, b, ABSOLUTE)
    alone = {f"m{i}": compare(a, b, ABSOLUTE, [f"m{i}"]).lines[0].p for i in range(6)}
    least = min(alone, key=lambda id: alone[id])
    assert {line.metric: line.p for line in many.lines}[least] == pytest.approx(min(1, 6 * alone[least]))


def test_seeds_in_common_are_paired_and_averaged_prompt_by_prompt():
    rows = np.random.default_rng(6).normal(size=(2, 10))
    a = [method("a", seed, m=kept(rows[seed] + 0.1 * np.arange(10))) for seed in (0, 1)] + [
        method("a", 7, m=kept(np.full(10, 1e6)))
    ]
    b = [method("b", seed, m=kept(rows[seed])) for seed in (1, 0)]
    found = compare(a, b, ABSOLUTE)
    assert found.seeds == (0, 1)
    assert found.lines[0].difference.value == pytest.approx(0.45, abs=1e-6)
    assert found.lines[0].difference.se == pytest.approx(np.std(0.1 * np.arange(10), ddof=1) / 10**0.5, abs=1e-6)
    assert compare(a[:1], b[:1], ABSOLUTE).seeds == ()


def test_without_samples_the_two_are_independent():
    gap = difference([value(0.5, 0.3)], [value(0.1, 0.4)])
    assert (gap.rule, gap.spread, gap.value) == ("intervals", None, pytest.approx(0.4))
    assert gap.interval() == pytest.approx((0.4 - 0.5, 0.4 + 0.5))


def test_words_come_back_as_numbers_and_a_prompt_has_one_word():
    assert read(spell([0.5, np.nan, -2.25])) == pytest.approx([0.5, np.nan, -2.25], nan_ok=True)
    assert spell_samples([1, 0, 1], [True, False, True, True]) == "1-01"
    words = read(by_prompt([1.0, 2.0, -3.0], ["a", "a", "b", "b", "c"], [True, True, False, True, False]))
    assert words == pytest.approx([3 * 2 / 3, -3 * 2 / 3, np.nan], nan_ok=True)  # two prompts of three images


def test_a_paired_difference_of_distances_has_the_error_it_has_over_fresh_draws():
    """Fresh pairs of made sets that share most of their noise, as methods do that share seeds."""
    rng = np.random.default_rng(7)
    found: dict[str, list[tuple[float, float, float]]] = {"fid": [], "kid": []}
    for _ in range(60):
        common, real = rng.normal(size=(400, 4)), torch.from_numpy(rng.normal(size=(400, 4)))
        fakes = [torch.from_numpy(common + 0.3 * rng.normal(size=common.shape) + shift) for shift in (0.6, 0.7)]
        values: dict[str, list[tuple[Any, Any, Any]]] = {
            "fid": [(frechet_distance(fake, real), *fid.influences(fake, real)) for fake in fakes],
            "kid": [kid.kid(fake, real) for fake in fakes],
        }
        for name, sides in values.items():
            (a, made_a, real_a), (b, made_b, real_b) = (tuple(map(np.asarray, side)) for side in sides)
            gap = between_effects(float(a - b), (made_a, made_b), (real_a, real_b))
            found[name].append((gap.value, gap.se, np.hypot(standard_error(made_a), standard_error(made_b))))
    for rows in found.values():
        gaps, errors, apart = np.array(rows).T
        assert errors.mean() == pytest.approx(gaps.std(ddof=1), rel=0.25)
        assert apart.mean() > 1.5 * errors.mean()


def test_equal_image_sets_have_equal_effects_and_no_difference():
    rng = np.random.default_rng(8)
    fake, real = (torch.from_numpy(rng.normal(size=(300, 5))).float() for _ in range(2))
    found = fid.score(FakeEvidence(fake, real, ok=[True] * 300 + [False]), fid.Config())["fd_avatars"].to_json("fid")
    kept_effects = effects(found)
    assert kept_effects is not None
    made, of_real = kept_effects
    assert (len(made), int(np.isnan(made).sum()), len(of_real)) == (301, 1, 300)
    gap = difference([found], [found])
    assert (gap.value, gap.se, gap.p) == (0.0, 0.0, 1.0)


def test_other_protocols_and_missing_values_are_left_out_with_the_reason():
    a = method("a", m=kept([1, 2]), n=kept([1, 2]), o=kept([1, 2]))
    b = method("b", m=kept([1, 3]), n=kept([1, 2], protocol="q"))
    found = compare([a], [b], ABSOLUTE)
    assert [line.metric for line in found.lines] == ["m"]
    assert found.left_out["n"].startswith("different protocols")
    assert found.left_out["o"] == "b has none of seed 0"
    with pytest.raises(UserError, match="no value is called 'nn'"):
        compare([a], [b], ABSOLUTE, ["nn"])


def test_margins_are_shares_of_b_or_absolute():
    margins = margins_of(["2%", "x=0.5", "y=10%"])
    assert (margins.of("z").of(-20), margins.of("x").of(-20), margins.of("y").of(-20)) == (0.4, 0.5, 2.0)
    for wrong in ("two", "0", "-1%", "=3%", "x=", "nan"):
        with pytest.raises(UserError, match="--margin"):
            margins_of([wrong])


@pytest.fixture
def folder(tmp_path):
    for name, shift in (("a", 0.2), ("b", 0.0)):
        rows = np.random.default_rng(9).normal(size=50)
        records.write(
            method(name, m=kept(rows + shift)), records.path_of(tmp_path / "one", "s", "text_to_image", name, 0)
        )
        records.write(method(name, m=kept(rows)), records.path_of(tmp_path / "two", "s", "text_to_image", name, 0))
    return tmp_path


def run(*words: str):
    return CliRunner().invoke(cli.app, ["compare", *words])


def test_two_methods_of_a_folder_as_a_table_and_as_json(folder):
    answer = run("a", "b", "--folder", str(folder / "one"))
    assert "better" in answer.output
    [found] = json.loads(run("a", "b", "--folder", str(folder / "one"), "--json").output)
    assert (found["a"], found["b"], found["lines"][0]["verdict"]) == ("a", "b", "better")
    assert found["lines"][0]["difference"]["value"] == pytest.approx(0.2)


def test_two_folders_are_matched_method_by_method_and_two_records_as_they_are(folder):
    one, two = folder / "one", folder / "two"
    found = json.loads(run(str(one), str(two), "--json").output)
    assert [(c["a"], c["lines"][0]["difference"]["value"]) for c in found] == [
        ("A: a", pytest.approx(0.2)),
        ("A: b", 0.0),
    ]
    paths = [str(records.path_of(one, "s", "text_to_image", name, 0)) for name in "ba"]
    assert json.loads(run(*paths, "--json").output)[0]["lines"][0]["verdict"] == "worse"


def test_what_is_not_there_is_one_line(folder):
    for words, said in (
        (("a", "c", "--folder", str(folder / "one")), "no record of a method 'c'"),
        (("a", "b", "--folder", str(folder / "one"), "--track", "edit"), "a: no record is of edit"),
    ):
        with pytest.raises(UserError, match=said):
            CliRunner().invoke(cli.app, ["compare", *words], catch_exceptions=False)


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_comparison_is_a_table_for_a_paper(form):
    words = ["compare", "gan-int-cls", "gan-cls", "--folder", "results", "--suite", "avatars", "--format", form]
    said = CliRunner().invoke(cli.app, words, catch_exceptions=False).output
    shown = json.loads(CliRunner().invoke(cli.app, [*words[:-2], "--json"], catch_exceptions=False).output)
    count = len(shown[0]["metrics"] if "metrics" in shown[0] else shown[0]["lines"])
    if form == "markdown":
        rows = [line for line in said.splitlines() if line.startswith("| ")]
        assert rows[0].startswith("| metric | gan-int-cls | gan-cls | difference |")
        assert len({row.count(" | ") for row in rows}) == 1
        assert len(rows) == 1 + count
    else:
        rows = [line for line in said.splitlines() if line.endswith("\\\\")]
        assert said.startswith("\\begin{tabular}{lrrrrrrrl}\n\\toprule\n")
        assert len({row.count(" & ") for row in rows}) == 1
        assert len(rows) == 1 + count
        assert r"fd\_avatars $\downarrow$ & $17.2$ & $18.7$" in said
