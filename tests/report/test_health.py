"""Health of a benchmark: a planted saturated number is flagged, a healthy one is not, and so for each other fault."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import kept, record, value

from t2ibench.cli import app
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report.health import MEANS, ColumnHealth, Health, flags, health, markdown

N = 300
NOISE = np.random.default_rng(0).normal(size=N)  # of the prompts, the same for every method
OWN = np.random.default_rng(1).normal(size=(6, N))
OWN -= OWN.mean(1, keepdims=True)


def samples(mean: float, who: int, sd: float = 0.05) -> np.ndarray:
    """One number for each prompt; their mean is that of the method and of the prompts."""
    return mean + 0.1 * (NOISE - NOISE.mean()) + sd * OWN[who]


def cells(real: float | None, *means: float, sd: float = 0.05, better: str = "higher") -> list[dict[str, Any]]:
    """Records of one number: methods m0, m1 … and the baseline real."""
    values = [kept(samples(mean, who, sd), better) for who, mean in enumerate(means)]
    made = [record(f"m{who}", {"hue": one}) for who, one in enumerate(values)]
    if real is None:
        return made
    return [*made, record("real", {"hue": kept(samples(real, 5, sd), better)}, kind="baseline")]


def of(made: list[dict[str, Any]]) -> ColumnHealth:
    [one] = health(made)
    [column] = one.columns
    return column


def test_a_planted_saturated_number_is_flagged_and_a_healthy_one_is_not():
    saturated = of(cells(0.90, 0.10, 0.895, 0.89, 0.88))
    assert saturated.flags == ("saturated",)
    assert saturated.room == pytest.approx(0.005 / 0.8)
    healthy = of(cells(0.90, 0.10, 0.30, 0.45, 0.60))
    assert healthy.flags == ()
    assert (healthy.best, healthy.room, healthy.pairs, healthy.apart) == ("m3", pytest.approx(0.3 / 0.8), 6, 6)
    assert healthy.p is not None
    assert healthy.p < 1e-6


def test_what_is_better_when_lower_has_the_same_health():
    up, down = of(cells(0.90, 0.10, 0.30, 0.60)), of(cells(-0.90, -0.10, -0.30, -0.60, better="lower"))
    assert (down.room, down.apart, down.best, down.flags) == (pytest.approx(up.room), up.apart, up.best, up.flags)
    assert (down.value, down.ceiling) == (pytest.approx(-0.60), pytest.approx(-0.90))


def test_methods_beyond_real_images_are_not_said_to_be_saturated_by_them():
    beyond = of(cells(0.50, 0.10, 0.30, 0.90))
    assert beyond.flags == ("beyond real",)
    assert beyond.room == pytest.approx(-0.5)


def test_methods_that_nothing_tells_apart_are_said():
    assert of(cells(0.90, 0.50, 0.501, 0.502, 0.503, sd=0.2)).flags == ("blunt",)
    assert of(cells(0.90, 0.50, 0.501)).flags == ()  # two methods may well be equal
    assert of(cells(None, 0.5)).flags == ("one method",)


def test_room_that_too_few_images_leave_unsure_is_said():
    made = [record(f"m{i}", {"hue": kept([mean - 0.4, mean + 0.4])}) for i, mean in enumerate((0.1, 0.6))]
    made.append(record("real", {"hue": kept([1.2, 0.6])}, kind="baseline"))
    column = of(made)
    assert (column.flags, column.room) == (("few images",), pytest.approx(0.3 / 0.8))


def test_numbers_without_samples_are_told_apart_by_their_intervals():
    made = [record(f"m{i}", {"hue": value(mean, 0.1)}) for i, mean in enumerate((0.1, 0.5, 0.6))]
    assert (of(made).apart, of(made).ceiling, of(made).room) == (2, None, None)


def test_a_number_that_goes_against_the_others_is_said_with_the_one_that_contradicts_it():
    rising, falling = (0.1, 0.3, 0.5, 0.7), (0.7, 0.5, 0.3, 0.1)
    numbers = {"a": rising, "b": rising, "c": rising, "odd": falling}
    made = [
        record(f"m{who}", {id: kept(samples(means[who], who)) for id, means in numbers.items()}) for who in range(4)
    ]
    [one] = health(made)
    columns = {column.id: column for column in one.columns}
    assert columns["odd"].flags == ("contrary",)
    assert columns["odd"].agreement == pytest.approx(-1)
    assert columns["a"].agreement == pytest.approx((1 + 1 - 1) / 3)
    against = columns["a"].against
    assert against is not None
    assert (against.id, against.opposite, against.pairs) == ("odd", 6, 6)
    assert columns["a"].flags == ()
    two = {id: column for id, column in columns.items() if id != "odd"}
    assert {column.against.id for column in two.values() if column.against} == {"odd"}


def test_a_number_without_direction_and_other_protocols_have_no_health():
    made = [record(f"m{i}", {"hue": value(0.1 * i, better="none")}) for i in range(3)]
    assert of(made).flags == ("no direction",)
    made = cells(None, 0.1, 0.5, 0.9)
    made.append(record("real", {"hue": kept(samples(1, 5), protocol="another")}, kind="baseline"))
    assert of(made).ceiling is None


def test_every_flag_has_a_meaning():
    given = [(0.0, 1.0, 6, 0, 4, -1.0), (-1.0, 0.0, 6, 6, 4, 1.0), (0.5, 0.5, 0, 0, 1, None)]
    said = {flag for arguments in given for flag in flags(*arguments)}
    assert said | {"no direction", "no rank"} == MEANS.keys()


def test_partial_records_are_named():
    made = [*cells(0.9, 0.1, 0.5), record("half", {"hue": value()}, ok=2)]
    [one] = health(made)
    assert isinstance(one, Health)
    assert [name for name, _ in one.off] == ["half"]
    assert "not counted: half" in markdown([one])


# the verb


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for content in cells(0.90, 0.10, 0.895, 0.89):
        records.write(content, records.path_of(tmp_path / "out", "s", "text_to_image", content["method"], 0))
    return tmp_path / "out"


def test_the_verb_prints_a_table_json_and_writes_files(results, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    call = ["health", "s.yaml", "--results", str(results)]
    app(call, standalone_mode=False)
    shown = capsys.readouterr().out
    assert "saturated" in shown
    assert "m1" in shown
    assert max(map(len, shown.splitlines())) <= 140
    app([*call, "--json", "--out", str(tmp_path / "h.md")], standalone_mode=False)
    [content] = json.loads(capsys.readouterr().out)
    assert content["columns"][0]["flags"] == ["saturated"]
    assert "| hue ↑ | m1 |" in (tmp_path / "h.md").read_text()
    app([*call, "--out", str(tmp_path / "h.json")], standalone_mode=False)
    assert json.loads((tmp_path / "h.json").read_text()) == [content]


@pytest.mark.parametrize("width", [60, 80, 100, 119])
def test_a_narrow_terminal_keeps_the_verdict_and_the_whole_name(results, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    app(["health", "s", "--results", str(results)], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "saturated" in shown
    assert "hue ↑" in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["t"], "holds no record of the suite 't'"),
        (["s", "--track", "edits"], "no record is of the track 'edits'"),
        (["s", "--out", "h.txt"], r"--out h.txt: expected a file that ends in .json or .md"),
    ],
)
def test_bad_input_is_one_line(results, given, line):
    with pytest.raises(UserError, match=line) as error:
        app(["health", *given, "--results", str(results)], standalone_mode=False)
    assert "\n" not in str(error.value)
