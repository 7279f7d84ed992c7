"""t2ibench/report/figures.py: boards as PDF and SVG."""

import re

import pytest
from made_records import record, value
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report import board, figures


def rows() -> list[dict]:
    return [
        record(values={"hue": value(0.4), "shade": value(3.0, better="lower")}),
        record("blind_one", values={"hue": value(0.9)}),
        record("real", kind="baseline", values={"hue": value(1.0), "shade": value(1.0, better="lower")}),
    ]


def test_a_panel_holds_a_point_and_an_interval_of_each_row_that_has_the_value():
    [whole] = board.boards(rows())
    figure = figures.drawn(whole)
    assert [panel.get_title() for panel in figure.axes] == ["hue ↑", "shade ↓"]
    assert [len(panel.get_lines()) for panel in figure.axes] == [2 * 3, 2 * 2]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [row.method for row in whole.rows]
    spans = {line.get_ydata()[0]: list(line.get_xdata()) for line in figure.axes[0].get_lines()[::2]}
    assert spans[names.index("blind_one")] == pytest.approx([0.8, 1.0])


def test_the_files_are_the_same_for_the_same_records(tmp_path):
    boards = board.boards(rows())
    first, second = (figures.write(boards, tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["s-text_to_image.pdf", "s-text_to_image.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes().startswith(b"%PDF")
    assert "blind_one" in re.sub("<!--.*?-->", "", first[1].read_text("utf-8"))  # text that can be searched


def test_the_command_writes_the_chosen_columns_and_methods(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for one in rows():
        records.write(one, records.path_of(tmp_path / "runs", "s", "text_to_image", one["method"], 0))
    words = ["table", "runs", "--columns", "shade", "--methods", "painter,real", "--figures", "out"]
    done = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert done.exit_code == 0
    text = (tmp_path / "out" / "s-text_to_image.svg").read_text("utf-8")
    assert "shade" in text
    assert "blind_one" not in text


def test_nothing_to_draw_is_one_line():
    [whole] = board.boards([record(values={})])
    with pytest.raises(UserError, match="there is no value to draw"):
        figures.drawn(whole)
