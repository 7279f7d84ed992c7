"""What charts, tables of parts, curves and galleries say of records."""

import re
from pathlib import Path

import pytest
from made_records import SOUND, record, value

from t2ibench.report import outputs
from t2ibench.report.board import boards
from t2ibench.report.breakdown import Part, breakdowns
from t2ibench.report.gallery import cell_folder, galleries_of
from t2ibench.report.plots import curve, intervals, nice_ticks
from t2ibench.report.sweeps import sweeps
from t2ibench.runner.journal import Outcome, Store


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.42, 0.58), (-3e-5, 7e-5), (276, 291), (5, 5), (0, 0), (-2, -1)])
def test_ticks_are_round_few_and_enclose_the_data(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert 2 <= len(ticks) <= 7
    step = ticks[1] - ticks[0]
    assert float(f"{step:.0e}"[0]) in (1, 2, 5)


def test_a_plot_has_every_method_at_its_place():
    found = [
        record("a", {"hue": value(0.2)}),
        record("b", {"hue": value(0.6)}),
        record("real", {"hue": value(0.8)}, kind="baseline"),
    ]
    [board] = boards(found)
    svg = intervals(board, board.columns[0])
    names = re.findall(r'text-anchor="end">([^<]*)<', svg)
    centres = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)]
    assert names == ["b", "a", "real"]
    assert centres[1] < centres[0] < centres[2]
    assert (centres[0] - centres[1]) == pytest.approx(2 * (centres[2] - centres[0]), abs=0.2)
    assert '<g class="method first"><title>b: 0.60 [0.50, 0.70], n = 10</title>' in svg


def test_a_value_that_is_hidden_on_the_board_is_not_drawn():
    [board] = boards([record("a", {"hue": value()}, judge_overlap={"hue": ["clip"]})])
    assert intervals(board, board.columns[0]) == ""


def test_the_parts_of_a_value_become_a_table_of_all_methods():
    parts = [
        {"pair": "x+y", "roles": ["rare"], "n": 9, "ca": 0.5, "ci": [0.2, 0.8]},
        {"pair": "z", "roles": ["over"], "n": 9, "ca": 1.0, "ci": [1, 1]},
    ]
    one = {**value(), "details": {"pairs": parts}}
    other = {**value(), "details": {"pairs": parts[:1], "other": [1, 2], "words": ["a"]}}
    found = [record("a", {"hue": one}), record("b", {"hue": other})]
    [board] = boards(found)
    [made] = breakdowns(board, found)
    assert [(line.heading, line.name, [part and part.value for part in line.parts]) for line in made.lines] == [
        ("rare", "x+y", [0.5, 0.5]),
        ("over", "z", [1.0, None]),
    ]


def test_parts_by_name_stand_under_their_value_and_shade_only_where_they_are_shares():
    edits = {
        "a=b": {"asked": 4, "n": 3, "hits": 1, "rate": 0.33, "ci": [0.1, 0.7], "gain": 1},
        "c=d": {"n": 2, "mean": 0.5},
    }
    levels = {"a=b": {"n": 3, "mean": 44.9}, "total": 7, "gate": {"n": 3}}
    found = [record("a", {"hue": {**value(), "details": {"edits": edits, "levels": levels}}})]
    [board] = boards(found)
    [made] = breakdowns(board, found)
    assert [(line.heading, line.name, line.parts[0], line.shares) for line in made.lines] == [
        ("hue: edits", "a=b", Part(0.33, (0.1, 0.7), 3), True),
        ("hue: edits", "c=d", Part(0.5, None, 2), True),
        ("hue: levels", "a=b", Part(44.9, None, 3), False),
    ]


def swept(name: str, alpha: float, beta: float, reached: float, kept: float) -> dict:
    config = {"name": "mover", "config": {"alpha": alpha, "beta": beta, "slow": False}, "weights": {}}
    columns = ["reached", "kept"]
    return record(name, {"reached": value(reached), "kept": value(kept)}, config=config, columns=columns, **SOUND)


def test_entries_that_differ_in_one_setting_become_a_curve():
    found = [swept(f"a{alpha}", alpha, 0.1, 0.1 * alpha, 1 - 0.05 * alpha) for alpha in (4, 1, 2)]
    found += [swept("other", 8, 0.3, 0.5, 0.5), swept("b", 1, 0.2, 0.3, 0.3)]
    [board] = boards(found)
    [sweep] = sweeps(board, found)
    assert (sweep.method, sweep.setting, [line.label for line in sweep.lines]) == ("mover", "alpha", [""])
    assert [(at, row.method) for at, row in sweep.lines[0].points] == [(1, "a1"), (2, "a2"), (4, "a4")]
    [(title, svg)] = outputs.curves_of(board, found)
    assert title == "mover: kept ↑ over alpha"
    [joined] = re.findall(r'<polyline class="curve" points="([^"]*)"', svg)
    xs, ys = zip(*(map(float, point.split(",")) for point in joined.split()), strict=True)
    assert xs[0] < xs[1] < xs[2]
    assert ys[0] < ys[1] < ys[2]  # downwards on the page: kept falls
    assert (xs[2] - xs[1]) == pytest.approx(2 * (xs[1] - xs[0]), abs=0.2)


def test_a_grid_of_two_settings_is_a_line_for_each_value_of_the_other():
    found = [swept(f"m{a}{b}", a, b, 0.1 * a, b) for a in (1, 2, 3) for b in (0.1, 0.2)]
    [board] = boards(found)
    [sweep] = sweeps(board, found)  # two values of beta make no line
    assert [(line.label, [at for at, _ in line.points]) for line in sweep.lines] == [
        ("beta=0.1", [1, 2, 3]),
        ("beta=0.2", [1, 2, 3]),
    ]
    reached, kept = board.columns
    assert curve(sweep, reached, kept).count("<polyline") == 2


def test_the_gallery_shows_the_same_prompts_for_every_method_and_gaps_where_an_image_is_missing(tmp_path):
    import numpy as np

    found = [record(name, {"hue": value()}, **SOUND) for name in "ab"]
    for entry in found:
        store = Store(cell_folder(tmp_path, entry))
        for i in range(20):
            there = entry["method"] == "a" or i
            sha256 = store.save(f"s{i}", np.full((3, 4, 4), i, np.uint8)) if there else ""
            store.append(
                [Outcome(f"s{i}", f"p{i}", "captions", f"text <{i}>", 0, "x", "ok" if there else "nan", sha256, 0.0)]
            )
    [gallery] = galleries_of(boards(found)[0], found, tmp_path)
    assert [shown.text for shown in gallery.prompts] == [f"text <{i}>" for i in (0, 2, 5, 8, 10, 13, 16, 19)]
    assert [image is None for image in gallery.prompts[0].images] == [False, True]
    [sheet] = outputs.write_sheets(found, tmp_path, tmp_path / "s")
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert sheet == Path(tmp_path / "s" / "samples.png")
