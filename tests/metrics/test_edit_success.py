"""Success, kept attributes and exactness on judged values that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest
from fake_edits import FakeEdits

from t2ibench.core.errors import UserError
from t2ibench.metrics.edit_success import AT_ITS_WORD, Config, clustered_rate, errors, freed, score
from t2ibench.scoring.judge_gate import Gate, JudgeOnReal

CHOICES = {
    "eyewear": ["none", "glasses"],
    "hair": ["long", "short", "hijab"],
    "hair_colour": ["red", "blond"],
    "mood": ["sad", "merry"],
}


def real(n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.choice(values, n) for name, values in CHOICES.items()}, dtype=object)
    return table.assign(hair_colour=table["hair_colour"].where(table["hair"] != "hijab", None))


REAL = real()
PERSON = {"eyewear": "none", "hair": "long", "hair_colour": "red", "mood": "sad"}


def rows(*changes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame([{**PERSON, **change} for change in changes], dtype=object)


def of(literals, sources: pd.DataFrame, edits: pd.DataFrame, config=None, **kwargs):
    evidence = FakeEdits(
        literals, len(sources), values={"sources": sources, "edits": edits}, **{"real": REAL, **kwargs}
    )
    return score(evidence, config or Config(draws=400))


def flipped(column: str, value: str, other: str, every: int) -> pd.DataFrame:
    """What a judge says that takes every so-manieth image of a value for another."""
    judged = REAL.copy()
    judged.loc[judged.index[judged[column] == value][::every], column] = other
    return judged


GLASSES, HIJAB = {"eyewear": "glasses"}, {"hair": "hijab"}


def test_by_hand_one_made_one_not_one_made_with_damage_one_there_before():
    sources = rows({}, {}, {}, GLASSES)
    found = of(["eyewear=glasses"], sources, rows(GLASSES, {}, GLASSES | {"hair": "short", "mood": "merry"}, GLASSES))
    success, kept, exact = found["edit_success"], found["attributes_kept"], found["edit_exact"]
    assert (success.value, success.n, exact.value, exact.n) == (pytest.approx(2 / 3), 3, pytest.approx(1 / 3), 3)
    assert (kept.value, kept.n) == (pytest.approx(10 / 12), 12)
    assert {name: row["mean"] for name, row in kept.details["attributes"].items()} == {
        "hair": 0.75,
        "hair_colour": 1,
        "mood": 0.75,
    }
    assert kept.details["changed_by_edit"] == {"eyewear=glasses": {"hair": 0.25, "mood": 0.25}}
    assert kept.details["changed_per_success"] == 1
    edit = success.details["edits"]["eyewear=glasses"]
    assert (edit["asked"], edit["already"], edit["n"], edit["hits"], edit["gain"]) == (4, 1, 3, 2, pytest.approx(2 / 3))
    assert (success.details["label"], success.details["already"], success.details["not_judged"]) == ("corrected", 1, [])
    assert success.details["per_sample"].split() == ["1.00000", "0.00000", "1.00000", "-"]
    assert all(estimate.ci[0] <= estimate.value <= estimate.ci[1] for estimate in found.values())


def test_doing_nothing_keeps_all_and_succeeds_never():
    sources = rows({}, {"hair": "short"}, HIJAB, {"mood": "merry"})
    found = of(["eyewear=glasses"], sources, sources)
    assert [found[name].value for name in ("edit_success", "attributes_kept", "edit_exact")] == [0, 1, 0]
    assert found["edit_success"].ci[0] == 0 < found["edit_success"].ci[1] < 0.7  # four sources prove little
    assert found["attributes_kept"].ci[0] < 1 == found["attributes_kept"].ci[1]
    assert found["attributes_kept"].details["changed_per_success"] is None
    assert found["attributes_kept"].n == 3 + 3 + 2 + 3  # nobody can tell the colour of covered hair


def test_what_the_new_value_covers_does_not_count_and_what_got_covered_unasked_is_lost():
    sources = rows({}, {})
    asked = of(["hair=hijab"], sources, rows(HIJAB | {"hair_colour": "blond"}, HIJAB))
    assert (asked["attributes_kept"].value, asked["attributes_kept"].n, asked["edit_exact"].value) == (1, 4, 1)
    unasked = of(["eyewear=glasses"], sources, rows(GLASSES, GLASSES | HIJAB))["attributes_kept"].details["attributes"]
    assert {name: row["mean"] for name, row in unasked.items()} == {"hair": 0.5, "hair_colour": 0.5, "mood": 1}


def test_a_covered_attribute_is_not_there_before_and_not_reached_after_and_its_cover_may_go():
    blond = {"hair_colour": "blond"}
    found = of(
        ["hair_colour=blond"], rows(HIJAB | blond, HIJAB, {}), rows(HIJAB | blond, {"hair": "short"} | blond, blond)
    )
    success = found["edit_success"]
    assert (success.n, success.value) == (3, pytest.approx(2 / 3))  # the first shows nothing blond, before or after
    assert found["attributes_kept"].details["attributes"]["hair"] == {
        "n": 1,
        "mean": 1,
    }  # of the others the hijab has to go
    assert found["edit_exact"].value == pytest.approx(2 / 3)


def test_a_failed_edit_is_a_miss_and_a_failed_source_no_try():
    ok = {"edits": [True, False, True, True], "sources": [True, True, False, True]}
    found = of(["eyewear=glasses"], rows({}, {}, {}, {}), rows(GLASSES, GLASSES, GLASSES, {}), ok=ok)
    assert (found["edit_success"].value, found["edit_success"].n, found["attributes_kept"].n) == (
        pytest.approx(1 / 3),
        3,
        6,
    )
    counts = {"asked": 4, "pairs": 2, "failed_edits": 1, "failed_sources": 1, "failed": 1}
    assert {key: found["edit_success"].details[key] for key in counts} == counts


def test_the_order_of_edits_changes_nothing():
    sources = rows({}, GLASSES, {"mood": "merry"}, {})
    edits = {
        "eyewear=glasses": rows(GLASSES, GLASSES, GLASSES, {}),
        "mood=merry": rows({"mood": "merry"}, {}, {}, {"mood": "merry"}),
    }
    orders = [list(edits), list(edits)[::-1]]
    a, b = (of(order, sources, pd.concat([edits[name] for name in order], ignore_index=True)) for order in orders)
    for name in a:
        assert a[name].value == pytest.approx(b[name].value)
        assert a[name].details["per_sample"] == b[name].details["per_sample"]
    assert a["attributes_kept"].ci == pytest.approx(b["attributes_kept"].ci)


def test_a_judge_that_fails_its_gate_gives_no_number():
    judged = flipped("eyewear", "glasses", "none", every=3)
    sources, edits = rows({}, {}), rows(GLASSES, GLASSES, {"mood": "merry"}, {})
    found = of(["eyewear=glasses", "mood=merry"], sources, edits, judged=judged)
    success = found["edit_success"]
    assert (success.value, success.n, success.details["not_judged"]) == (0.5, 2, ["eyewear=glasses"])
    assert "below 0.90" in success.details["edits"]["eyewear=glasses"]["gate"]["failures"][0]
    assert "eyewear" not in found["attributes_kept"].details["attributes"]
    assert found["attributes_kept"].details["not_judged"] == ["eyewear"]
    with pytest.raises(UserError, match="passes its gate for none of 1 edits"):
        of(["eyewear=glasses"], sources, rows(GLASSES, GLASSES), judged=judged)


def test_known_errors_of_the_judge_are_taken_out():
    judged = flipped("mood", "merry", "sad", every=25)  # sensitivity 0.96
    merry = {"mood": "merry"}
    sources, edits = rows(*[{}] * 20), rows(*[merry] * 12, *[{}] * 8)
    success = of(["mood=merry"], sources, edits, judged=judged)["edit_success"]
    sensitivity = float((judged["mood"] == "merry")[REAL["mood"] == "merry"].mean())
    assert success.value == pytest.approx(0.6 / sensitivity)
    assert success.details["raw"] == pytest.approx(0.6)
    assert success.details["edits"]["mood=merry"]["corrected"] == pytest.approx(0.6 / sensitivity)


def test_too_few_real_images_leave_the_rate_uncorrected():
    few = REAL.iloc[:60]
    success = of(
        ["mood=merry"], rows({}, {}), rows({"mood": "merry"}, {}), real=few, train=REAL, config=Config(0, 400)
    )["edit_success"]
    assert (success.value, success.details["label"], success.interval) == (
        0.5,
        "uncorrected",
        "BCa bootstrap over sources, Wilson where all agree",
    )
    assert success.details["edits"]["mood=merry"]["corrected"] is None


def test_sources_that_all_show_it_and_tables_without_attributes_are_one_line():
    with pytest.raises(UserError, match="0 sources do not show what is asked for already"):
        of(["eyewear=glasses"], rows(GLASSES, GLASSES), rows(GLASSES, GLASSES))
    with pytest.raises(UserError, match="faces has no attributes"):
        of(["eyewear=glasses"], rows({}, {}), rows({}, {}), real=None)


def test_an_edit_that_the_judge_has_no_word_for_is_not_judged():
    found = of(["shoes=red", "mood=merry"], rows({}, {}), rows(*[{}] * 4))["edit_success"]
    assert found.details["not_judged"] == ["shoes=red"]
    assert found.details["edits"]["shoes=red"]["gate"]["failures"] == ("shoes=red: the judge has no word for it",)
    assert of(["mood=angry", "mood=merry"], rows({}, {}), rows(*[{}] * 4))["edit_success"].details["not_judged"] == [
        "mood=angry"
    ]


def frame(hits: np.ndarray) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Hits [K, E] as rows: hit, source, edit."""
    sources, edits = np.indices(hits.shape)
    return pd.Series(hits.ravel()), pd.Series(sources.ravel()), pd.Series([f"edit {j}" for j in edits.ravel()])


def test_the_rate_is_that_of_rogan_and_gladen():
    counts = np.array([[950, 100], [50, 900]])  # specificity 0.95, sensitivity 0.90
    hits, sources, edits = frame(np.arange(100)[:, None] < 30)
    value, (low, high) = clustered_rate(hits, sources, edits, {"edit 0": counts}, 0, 400)
    assert value == pytest.approx(0.2941, abs=5e-5)
    assert freed(hits, edits, {"edit 0": counts}).mean() == pytest.approx(value)
    assert low < value < high
    assert [float(side) for side in errors(counts)] == pytest.approx([0.05, 0.90])


def test_sources_and_not_edits_are_the_draws():
    hits = np.random.default_rng(0).random((40, 1)) < 0.4
    word = {f"edit {j}": AT_ITS_WORD for j in range(5)}
    one, five = (clustered_rate(*frame(np.repeat(hits, count, axis=1)), word, 0, 1000) for count in (1, 5))
    assert one[0] == five[0]
    assert one[1] == pytest.approx(five[1])


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, runs, truth, inside = np.random.default_rng(0), 80, 0.8, 0
    for run in range(runs):
        chances = rng.beta(8, 2, (40, 1))  # sources differ: 0.8 on average
        real_images = np.stack(
            [rng.multinomial(200, [0.97, 0.03]), rng.multinomial(200, [0.05, 0.95])]
        ).T  # column: truth
        seen = np.where(rng.random((40, 3)) < chances, rng.random((40, 3)) < 0.95, rng.random((40, 3)) < 0.03)
        low, high = clustered_rate(*frame(seen), dict.fromkeys((f"edit {j}" for j in range(3)), real_images), run, 200)[
            1
        ]
        inside += low <= truth <= high
    assert inside / runs >= 0.88


def cells(judged: pd.DataFrame | None = None) -> JudgeOnReal:
    evidence = FakeEdits([], 1, real=REAL, judged=judged)
    return JudgeOnReal(evidence.reference, evidence.real_attributes, evidence.real_probabilities, None, 0, Gate())


def test_the_gate_of_one_literal_counts_errors_where_the_attribute_shows():
    verdict, counts = cells(flipped("hair_colour", "red", "blond", every=50)).alone("hair_colour=red")
    red, blond = (int((REAL["hair_colour"] == colour).sum()) for colour in ("red", "blond"))
    missed = -(-red // 50)
    assert counts.tolist() == [[blond, missed], [0, red - missed]]
    assert (verdict.failures, verdict.numbers["hair_colour=red"]) == ((), pytest.approx(1 - missed / red / 2))
    assert cells().alone("hair_colour=red")[0].numbers == {
        "hair_colour=red": 1,
        "hair_colour=red: calibration error": 0,
    }


def test_an_attribute_is_trusted_by_the_mean_recall_of_its_values():
    verdict = cells(flipped("hair", "hijab", "long", every=2)).attribute("hair")
    assert verdict.numbers["hair"] == pytest.approx((1 + 1 + 0.5) / 3, abs=0.01)
    assert verdict.failures[0].startswith("hair: balanced accuracy 0.83")
    assert cells().attribute("hair").failures == ()
    assert cells().attribute("shoes").failures == ("shoes: the judge does not know the attribute",)
