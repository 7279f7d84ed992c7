"""t2ibench/report/board.py and report/formats.py: ranks that claim no more than the intervals do, and boards that say
what is missing.
"""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from made_records import record, value
from rich.console import Console
from scipy import stats

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.report import board as leaderboard
from t2ibench.report import formats
from t2ibench.stats.paired import between_samples, per_sample, spell
from t2ibench.stats.pairwise import differences
from t2ibench.stats.ranks import above_by_differences, above_by_intervals, rank_intervals


def methods(**numbers: float) -> list[dict]:
    return [record(name, {"hue": value(number)}) for name, number in numbers.items()]


@pytest.mark.parametrize(
    ("intervals", "better", "ranks"),
    [
        ([(5, 6), (3, 4), (1, 2)], "higher", [(1, 1), (2, 2), (3, 3)]),
        ([(5, 6), (3, 4), (1, 2)], "lower", [(3, 3), (2, 2), (1, 1)]),
        ([(0, 9), (3, 4), (1, 2)], "higher", [(1, 3), (1, 2), (2, 3)]),
        ([(1, 2), (2, 3)], "higher", [(1, 2), (1, 2)]),  # touching intervals are not told apart
        ([(1, 2)], "lower", [(1, 1)]),
    ],
)
def test_only_disjoint_intervals_are_told_apart(intervals, better, ranks):
    assert rank_intervals(above_by_intervals(intervals, better)) == ranks


def test_a_rank_interval_always_holds_the_rank_of_the_values():
    intervals = [(v - h, v + h) for v, h in ((0.1, 0.3), (0.2, 0.01), (0.5, 0.2), (0.9, 0.05), (0.91, 0.5))]
    for (best, worst), place in zip(
        rank_intervals(above_by_intervals(intervals, "higher")), (5, 4, 3, 2, 1), strict=True
    ):
        assert best <= place <= worst


def samples(values) -> dict:
    """A value that keeps its samples; the interval of the mean is as wide as everything."""
    text = " ".join("-" if np.isnan(v) else f"{v:.5f}" for v in values)
    return Estimate(
        float(np.nanmean(values)), (0.0, 1.0), len(values), "higher", {"k": "p"}, "x", {"per_sample": text}
    ).to_json("m")


def test_paired_samples_tell_apart_what_overlapping_intervals_do_not():
    noise = np.random.default_rng(0).random(200)
    found = [
        record(name, {"m": samples(0.4 * noise + shift)}) for name, shift in (("a", 0.3), ("b", 0.301), ("c", 0.1))
    ]
    found[1] = record("b", {"m": samples(0.4 * noise + 0.3 + np.random.default_rng(1).normal(0, 0.01, 200))})
    [board] = leaderboard.boards(found)
    assert {row.method: row.cells["m"].rank for row in board.rows} == {"a": (1, 2), "b": (1, 2), "c": (3, 3)}
    assert board.columns[0].rule == "paired"
    assert "m: paired t-tests on the same prompts" in formats.markdown(board)


def test_samples_are_read_in_both_spellings_and_missing_ones_stay_missing():
    np.testing.assert_array_equal(per_sample({"details": {"per_sample": "01-1"}}), [0, 1, np.nan, 1])
    np.testing.assert_array_equal(per_sample({"details": {"per_sample": "-0.5 - 1"}}), [-0.5, np.nan, 1])
    assert per_sample({"details": {}}) is None


def test_a_paired_test_uses_the_prompts_that_both_have_and_calls_equals_equal():
    a, b = np.array([1.0, 2.0, np.nan, 4.0]), np.array([1.0, 2.0, 9.0, 4.0])
    assert between_samples(a, b).p == 1.0
    assert between_samples(a + 1, b).p == 0.0
    gap = np.array([0.1, 0.3, 0.2, 0.4])
    t = gap.mean() / (gap.std(ddof=1) / 2)
    assert between_samples(b[[0, 1, 2, 3]] + gap, b).p == pytest.approx(2 * stats.t.sf(t, 3))
    with pytest.raises(ValueError, match="two prompts"):
        between_samples(np.array([np.nan, 1.0]), np.array([1.0, 1.0]))


def test_fewer_false_calls_than_the_level_among_equal_methods():
    rng, calls = np.random.default_rng(3), 0
    for _ in range(400):
        rows = [[{"details": {"per_sample": spell(row)}}] for row in rng.normal(size=(4, 50))]
        calls += bool(above_by_differences(differences(rows), 4, "higher").any())
    assert calls / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_what_a_metric_says_of_its_numbers_stands_under_the_board():
    labelled = {**value(), "details": {"labels": ["smoke: 8 images a pair"]}}
    [board] = leaderboard.boards([record(name, {"hue": labelled}) for name in "ab"])
    assert formats.markdown(board).count("smoke: 8 images a pair (hue)") == 1


def test_methods_that_may_be_first_are_marked_together_and_baselines_take_no_rank():
    found = [*methods(a=0.5, b=0.6, c=0.1), record("real", {"hue": value(0.95)}, kind="baseline")]
    [board] = leaderboard.boards(found)
    cells = {row.method: row.cells["hue"] for row in board.rows}
    assert {name: cell.may_be_first for name, cell in cells.items()} == {
        "a": True,
        "b": True,
        "c": False,
        "real": False,
    }
    assert cells["c"].rank == (3, 3)
    assert cells["real"].rank is None
    assert [row.method for row in board.baselines] == ["real"]


def test_a_number_of_another_protocol_is_marked_and_not_ranked():
    found = [*methods(a=0.5, b=0.1), record("c", {"hue": value(0.9, protocol="other")})]
    [board] = leaderboard.boards(found)
    cells = {row.method: row.cells["hue"] for row in board.rows}
    assert cells["c"].rank is None
    assert cells["a"].rank == (1, 1)
    assert "0.90† [0.80, 1.00]" in formats.markdown(board)
    assert "hue: 2 protocols" in formats.markdown(board)


def test_a_value_that_its_method_was_made_for_is_hidden():
    found = [*methods(a=0.5), record("b", {"hue": value(0.9)}, judge_overlap={"hue": ["clip"]})]
    [board] = leaderboard.boards(found)
    text = formats.markdown(board)
    assert "| b | ‡ |" in text
    assert "0.90" not in text
    assert next(row for row in board.rows if row.method == "a").cells["hue"].rank == (1, 1)


def test_a_partial_record_is_off_the_board_and_named_under_it():
    [board] = leaderboard.boards([*methods(a=0.5), record("b", ok=3)])
    assert [row.method for row in board.rows] == ["a"]
    assert board.off == [("b", "coverage 75.0% of 4 images (1 nan), seed 0")]
    assert "off the board: b" in formats.markdown(board)


def test_seeds_are_averaged_and_narrow_no_interval():
    found = [record("a", {"hue": value(number)}, seed=seed) for seed, number in enumerate((0.4, 0.6))]
    [row] = leaderboard.boards(found)[0].methods
    assert row.seeds == (0, 1)
    assert (row.cells["hue"].value, row.cells["hue"].low, row.cells["hue"].high) == pytest.approx((0.5, 0.4, 0.6))


def test_a_metric_without_direction_takes_no_rank():
    [board] = leaderboard.boards([record(name, {"hue": value(0.5, better="none")}) for name in "ab"])
    assert all(row.cells["hue"].rank is None for row in board.rows)


@pytest.mark.parametrize(
    ("half", "text"),
    [(0.1, "0.50"), (0.0123, "0.500"), (0.9, "0.5"), (0.0038, "0.500"), (20.0, "0"), (1e-9, "0.500000")],
)
def test_decimals_follow_the_width_of_the_intervals(half, text):
    [board] = leaderboard.boards([record("a", {"hue": value(0.5, half)})])
    assert leaderboard.number(0.5, board.columns[0]) == text


def test_no_number_is_shown_as_minus_zero():
    [board] = leaderboard.boards([record("a", {"hue": value(-0.001)})])
    assert leaderboard.number(-0.001, board.columns[0]) == "0.00"
    assert leaderboard.number(-0.5, board.columns[0]) == "−0.50"


def test_headline_columns_come_first_and_the_others_on_request():
    values = {"hue": value(), "tone": value(), "shade": value()}
    [board] = leaderboard.boards([record("a", values, columns=["shade", "hue"])])
    assert [column.id for column in formats.columns_of(board, False)] == ["shade", "hue"]
    assert [column.id for column in formats.columns_of(board, True)] == ["shade", "hue", "tone"]


def test_chosen_columns_alone_are_shown_in_their_order_and_order_the_rows():
    paid = {"seconds_per_image": 0.25, "training_seconds_per_prompt": 3.0}
    values = [{"hue": value(x), "tone": value(1 - x), "shade": value(x)} for x in (0.9, 0.1)]
    found = [record(name, one, columns=["hue"], cost=paid) for name, one in zip("ab", values, strict=True)]
    whole = leaderboard.boards([*found, record("c", {"moved": value()}, track="edit")])
    assert [row.method for row in whole[0].methods] == ["a", "b"]
    [board] = leaderboard.chosen(
        whole, ["tone", "hue", "seconds_per_image"]
    )  # the track edit has neither of the two values
    assert [row.method for row in leaderboard.chosen(whole, ["tone"])[0].methods] == ["b", "a"]
    assert [column.id for column in formats.columns_of(board, False)] == ["tone", "hue"]
    assert "| method | tone ↑ | hue ↑ | s / image |" in formats.markdown(board)
    assert "method & tone $\\uparrow$ & hue $\\uparrow$ & s / image" in formats.latex(board)
    assert [row["metric"] for row in csv.DictReader(io.StringIO(formats.as_csv([board])))] == ["tone", "hue"] * 2
    assert [entry["metric"] for entry in formats.as_json([board])[0]["values"]] == ["tone", "hue"] * 2
    console = Console(width=80, record=True, file=io.StringIO())
    formats.show([board], console)
    text = console.export_text()
    assert text.index("tone ↑") < text.index("hue ↑")
    assert "shade" not in text
    assert [board.track for board in leaderboard.chosen(whole, ["seconds_per_image"])] == ["text_to_image", "edit"]


@pytest.mark.parametrize(("name", "said"), [("hoe", "did you mean 'hue'"), ("", "known: hue, preparation_seconds")])
def test_a_column_that_no_board_has_is_refused(name, said):
    with pytest.raises(UserError, match=f"--columns: no board has a column '{name}'.*{said}"):
        leaderboard.chosen(leaderboard.boards(methods(a=0.5)), ["hue", name])


def test_every_number_of_the_committed_records_says_what_it_answers():
    boards = leaderboard.boards(records.load(Path(__file__).parents[2] / "results"))
    assert [column.id for board in boards for column in board.columns if not leaderboard.question(column)] == []


def test_every_format_holds_every_number():
    found = [*methods(gan_a=0.5, b=0.1), record("real", {"hue": value(0.95)}, kind="baseline")]
    boards = leaderboard.boards(found)
    [board] = boards
    console = Console(width=80, record=True, file=io.StringIO())
    formats.show(boards, console)
    for text in (console.export_text(), formats.markdown(board)):
        for part in ("gan_a", "0.50", "[0.40, 0.60]", "0.95", "real"):
            assert part in text
    latex = formats.latex(board)
    assert r"gan\_a & $\mathbf{0.50}_{[0.40,\,0.60]}$ \\" in latex
    assert latex.count("&") == 4
    rows = list(csv.DictReader(io.StringIO(formats.as_csv(boards))))
    assert [(row["method"], float(row["value"]), row["rank_best"]) for row in rows] == [
        ("gan_a", 0.5, "1"),
        ("b", 0.1, "2"),
        ("real", 0.95, ""),
    ]
    assert formats.as_json(boards)[0]["values"][0]["n"] == 10


@pytest.mark.parametrize("width", [45, 60, 77, 80, 101, 120, 140, 163])
def test_a_board_that_is_too_wide_is_cut_between_columns_and_keeps_every_row(width):
    values = {f"metric_{i}": Estimate(0.5, (0.4, 0.6), 9, "higher", {"k": 1}, "x").to_json("m") for i in range(8)}
    [board] = leaderboard.boards([record("a", values), record("b", values)])
    console = Console(width=width, record=True, file=io.StringIO())
    formats.show([board], console)
    lines = console.export_text().splitlines()
    assert max(map(len, map(str.rstrip, lines))) <= width
    assert all(any(f"metric_{i} ↑" in line for line in lines) for i in range(8))
    assert not any("…" in line for line in lines)
