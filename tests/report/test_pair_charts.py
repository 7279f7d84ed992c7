"""The figures of attribute pairs: what a record says stands at its place, in its colour, with its interval."""

import re
import xml.etree.ElementTree as ET

import pytest
from made_records import SOUND, record, value

from t2ibench.report import outputs
from t2ibench.report.board import boards
from t2ibench.report.pair_charts import (
    CELL,
    HIGH,
    LABEL,
    LOW,
    Rate,
    colour,
    heat_map,
    pairs_of,
    rare_against_control,
    standalone,
)
from t2ibench.report.site.contents import Contents
from t2ibench.report.site.write import write


def entry(pair: str, role: str, rate: float, **changes) -> dict:
    ci = [max(rate - 0.1, 0), min(rate + 0.1, 1)]
    found = {
        "pair": pair,
        "roles": [role],
        "train_n": 12,
        "control": None,
        "n": 50,
        "ca": rate,
        "ci": ci,
        "status": "uncorrected",
    }
    return {**found, "corrected": None, "corrected_ci": None, **changes}


def scored(method: str, entries: list[dict], **rates: float) -> dict:
    values = {f"ca_{key}": value(rate) for key, rate in rates.items()}
    first = next(iter(values))
    values[first] = {**values[first], "details": {"pairs": entries}}
    return record(method, values, **SOUND)


FREED = {"status": "corrected", "corrected": 0.42, "corrected_ci": [0.3, 0.5]}
FOUND = [
    scored(
        "b",
        [entry("x=1+y=1", "rare", 0.2, **FREED), entry("x=1+z<1", "control", 0.9)],
        rare=0.2,
        control=0.9,
        near_unseen=0.1,
    ),
    scored(
        "a", [entry("x=1+y=1", "rare", 0.1, status="not judged"), entry("v=1+w=1", "rare", 1.0)], rare=0.1, control=0.4
    ),
]


def figure(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_pairs_stand_by_list_and_a_method_without_a_pair_has_a_gap():
    [board] = boards(FOUND)
    pairs = pairs_of(board, FOUND)
    assert pairs is not None
    assert [name for name, _ in pairs.methods] == [row.method for row in board.rows]
    assert [(line.heading, line.pair) for line in pairs.lines] == [
        ("rare", "x=1+y=1"),
        ("rare", "v=1+w=1"),
        ("control", "x=1+z<1"),
    ]
    of_b = {
        line.pair: rate
        for line in pairs.lines
        for (name, _), rate in zip(pairs.methods, line.rates, strict=True)
        if name == "b"
    }
    assert of_b == {
        "x=1+y=1": Rate(0.42, 0.3, 0.5, 50, True),
        "v=1+w=1": None,
        "x=1+z<1": Rate(0.9, 0.8, 1.0, 50, False),
    }
    assert pairs.not_judged == ["x=1+y=1"]


def test_the_heat_map_has_a_cell_for_every_pair_and_method_with_its_colour_and_interval():
    [board] = boards(FOUND)
    pairs = pairs_of(board, FOUND)
    assert pairs is not None
    svg = heat_map(pairs)
    cells = {group[0].text: group for group in figure(svg).iter("{http://www.w3.org/2000/svg}g")}
    assert len(cells) == 2 * 3
    own = cells["b, x=1+y=1: 0.420 [0.300, 0.500], n = 50, freed of the judge's errors"]
    assert own[1].get("fill") == colour(0.42)
    assert float(own[1].get("x", 0)) == LABEL + CELL * [name for name, _ in pairs.methods].index("b")
    assert [own[2].text, own[3].text] == [".42", ".30–.50"]
    [raw] = [group for title, group in cells.items() if title and title.startswith("b, x=1+z<1")]
    assert raw[2].text == ".90°"
    assert cells["a, x=1+y=1: not judged"][1].get("class") == "none"
    assert "z&lt;1" in svg


def test_colours_go_evenly_from_light_to_dark():
    assert colour(0) == "#{:02x}{:02x}{:02x}".format(*LOW)
    assert colour(1) == colour(1.2) == "#{:02x}{:02x}{:02x}".format(*HIGH)
    greens = [int(colour(step / 10)[3:5], 16) for step in range(11)]
    assert greens == sorted(greens, reverse=True)
    assert len(set(greens)) == 11


def test_rare_pairs_stand_left_of_their_controls_at_their_places():
    [board] = boards(FOUND)
    svg = rare_against_control(board)
    of_b = {
        kind: float(x)
        for kind, x in re.findall(
            r"<title>b, [^<]*</title><line[^>]*/><circle class=\"([a-z-]+)\" cx=\"([\d.]+)\"", svg
        )
    }
    assert of_b["near-unseen"] < of_b["rare"] < of_b["control"]
    assert of_b["control"] - of_b["rare"] == pytest.approx(7 * (of_b["rare"] - of_b["near-unseen"]), abs=1)
    assert rare_against_control(boards([record("a", {"hue": value()}, **SOUND)])[0]) == ""


def test_the_page_names_the_pairs_that_are_not_judged_and_the_files_are_whole(tmp_path):
    write(Contents(FOUND), tmp_path / "pages")
    text = (tmp_path / "pages" / "parts.s.text_to_image.html").read_text("utf-8")
    assert "does not pass its gate there: x=1+y=1." in text
    assert 'class="parts"' not in text  # the pairs are drawn, not listed again
    written = outputs.write_boards(FOUND, tmp_path / "s")
    assert [path.name for path in written[2:]] == ["rare-pairs-text_to_image.svg", "pairs-text_to_image.svg"]
    for path in written[2:]:
        drawing = figure(path.read_text("utf-8"))
        assert not list(drawing.iter("{http://www.w3.org/2000/svg}title"))
        assert drawing[0].tag.endswith("style")


def test_records_without_pairs_have_no_figure(tmp_path):
    found = [record("a", {"hue": value()}, **SOUND)]
    assert pairs_of(boards(found)[0], found) is None
    assert [path.suffix for path in outputs.write_boards(found, tmp_path)] == [".md", ".csv"]


def test_a_figure_of_its_own_keeps_its_marks():
    [board] = boards(FOUND)
    inside = rare_against_control(board)
    assert standalone(inside).count("<circle") == inside.count("<circle")
