"""Small walls of a first day: narrow screens, two spellings, folders that are only read, Python beside the commands."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_records import record, value
from typer.testing import CliRunner

import t2ibench
from t2ibench import cli
from t2ibench.cli.describe import laid_out
from t2ibench.cli.generate import Column, entry_of, scaled
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.data import given_images
from t2ibench.report import board, formats
from t2ibench.runner.train import asked, part_of, recipes
from t2ibench.scoring.score_images import asked_metrics

EDITS = ["compare", "styleclip-optimization", "styleclip-global", "--folder", "results", "--track", "edit"]


@pytest.mark.parametrize("width", [80, 120])
def test_compare_shows_every_number_on_a_narrow_screen(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    said = CliRunner().invoke(cli.app, EDITS, catch_exceptions=False).output
    assert max(map(len, said.splitlines())) <= width
    rows = [line for line in said.splitlines() if line.startswith("change_outside")]
    numbers = " ".join(rows)
    assert re.search(r"10\.1 +12\.5 +−2\.4 \[−3\.0, −1\.8\]", numbers)
    assert re.search(r"better +−1\.46 +<1e-4 +0\.62 +1\b", numbers) or re.search(r"−1\.46 .*better", numbers)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "command",
    [
        "list metrics",
        "list suites",
        "describe gan-cls",
        "describe fid",
        "describe prompts",
        "describe quick",
        "table results --suite avatars --track edit",
        "table results --suite avatars --track text_to_image --all",
        "doctor",
    ],
)
def test_no_screen_is_wider_than_the_terminal(monkeypatch, width, command):
    monkeypatch.setenv("COLUMNS", str(width))
    said = CliRunner().invoke(cli.app, command.split(), catch_exceptions=False).output
    assert max(map(len, said.splitlines())) <= width


def test_a_docstring_flows_and_its_columns_stay():
    columns = "    name   what it is called by people\n    other  x"
    text = f"One sentence that goes\non.\n\n{columns}\n\n- an item of\n  two lines\n- b"
    assert laid_out(text, 24) == (
        "One sentence that goes\non.\n\n    name   what it is\n           called by\n           people\n    other  x"
        "\n\n- an item of two lines\n- b"
    )


@pytest.mark.parametrize(
    ("name", "variant", "found"),
    [
        ("gan_cls", "gan-cls", ("gan_cls", "gan-cls")),
        ("gan-cls", None, ("gan_cls", "gan-cls")),
        ("gan-int-cls", None, ("gan_cls", "gan-int-cls")),
        ("gan-cls", "text-encoder", ("gan_cls", "text-encoder")),
        ("attribute-judge", None, ("attribute_judge", None)),
        ("clip", "guide", ("clip", "guide")),
        ("nothing-such", None, ("nothing-such", None)),
    ],
)
def test_both_spellings_of_what_is_trained_are_known(name, variant, found):
    assert asked(name, variant) == found


def test_a_name_without_a_part_lists_the_parts():
    with pytest.raises(UserError, match="--variant is missing"):
        part_of("gan_cls", recipes("gan_cls"), None)


def test_judging_a_folder_writes_nothing_into_it(tmp_path, monkeypatch):
    path = records.path_of(tmp_path / "there", "s", "text_to_image", "painter", 0)
    records.write(record(), path)
    monkeypatch.chdir(tmp_path)
    before = sorted((tmp_path / "there").rglob("*"))
    CliRunner().invoke(cli.app, ["reproduce", "gan_cls", "--folder", "there"], catch_exceptions=False)
    assert sorted((tmp_path / "there").rglob("*")) == before
    assert (tmp_path / "reproduce-gan_cls.md").is_file()


# Python


def test_the_public_names_are_listed_and_there():
    assert set(t2ibench.__all__) <= set(dir(t2ibench))
    for name in t2ibench.__all__:
        assert getattr(t2ibench, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'score_image'"):
        _ = t2ibench.score_image  # type: ignore[attr-defined]


def test_records_are_a_table():
    table = t2ibench.load_records("results/records/avatars")
    assert isinstance(table, pd.DataFrame)
    [row] = table.query("method == 'gan-cls' and track == 'text_to_image' and metric == 'r_precision'").to_dict(
        "records"
    )
    stored = records.read(records.path_of(Path("results"), "avatars", "text_to_image", "gan-cls", 0))
    assert (row["value"], row["protocol_id"]) == (
        stored["values"]["r_precision"]["value"],
        stored["values"]["r_precision"]["protocol_id"],
    )
    assert row["low"] <= row["value"] <= row["high"]


def test_an_estimate_is_short_on_screen_and_in_a_notebook():
    one = Estimate(
        12.3456, (11.0, 13.0), 1000, "lower", {"name": "fid", "k": (1, 2)}, "normal", {"long": list(range(99))}
    )
    assert one.protocol_id == one.to_json("fid")["protocol_id"]
    assert repr(one) == f"Estimate(12.346 [11, 13], n=1000, lower is better, protocol {one.protocol_id})"
    assert one._repr_html_().startswith("<b>12.346</b> <small>[11, 13], n = 1,000")


def test_a_suite_runs_from_python_and_its_numbers_are_a_table(squares):
    numbers = t2ibench.run_suite(squares(("", "")), methods=["painter"])
    assert set(numbers["method"]) == {"painter"}
    assert numbers.equals(t2ibench.load_records("runs"))


@pytest.mark.parametrize("names", ["prdc, kid", " prdc,kid ", "prdc ,kid"])
def test_spaces_beside_a_comma_are_no_part_of_a_name(names):
    assert [metric.name for metric in asked_metrics(names.split(","))] == ["prdc", "kid"]


# tables for a paper


def of_seeds() -> list[dict]:
    """A painter with three run seeds, and a blind one with one."""
    painted = [record(seed=seed, values={"hue": value(number)}) for seed, number in enumerate((0.4, 0.5, 0.6))]
    return [*painted, record("blind_one", values={"hue": value(0.1)})]


def test_the_spread_over_seeds_stands_beside_the_interval():
    [whole] = board.boards(of_seeds())
    cell = {row.method: row for row in whole.rows}["painter"].cells["hue"]
    assert cell.sd == pytest.approx(0.1)
    assert "| painter | **0.50** [0.40, 0.60] ±0.10 (1) |" in formats.markdown(whole)
    assert r"$\mathbf{0.50} \pm 0.10_{[0.40,\,0.60]}$" in formats.latex(whole)
    assert "±: standard deviation over 3 run seeds; the interval is of sampling" in formats.notes(whole)
    assert [row["sd"] for row in formats.tidy(whole)] == [pytest.approx(0.1), None]


def test_a_table_is_turned_and_stands_in_a_float():
    [whole] = board.boards(of_seeds())
    turned = formats.markdown(whole, transpose=True)
    assert "| value | painter | blind_one |\n|---|---|---|\n| hue ↑ | **0.50**" in turned
    text = formats.latex(whole, transpose=True, caption="50 % & more", label="tab:all")
    assert text.startswith("\\begin{table}\n\\centering\n\\caption{50 \\% \\& more}\n\\label{tab:all}\n")
    assert r"value & painter & blind\_one \\" in text
    assert text.count("\\midrule") == 1


def test_only_some_methods_stand_in_a_table():
    assert {one["method"] for one in board.of_methods(of_seeds(), ["painter"])} == {"painter"}
    with pytest.raises(UserError, match="no record is of 'pianter', did you mean 'painter'"):
        board.of_methods(of_seeds(), ["pianter"])


# images of one's own texts


def test_generated_images_are_files_that_score_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "gan-cls", "a person", "a person with glasses", "--seeds", "0-1", "--images", "made"]
    CliRunner().invoke(cli.app, words, catch_exceptions=False)
    made = given_images.made_images("made", None, None)
    assert made.ids == ["000-0.png", "000-1.png", "001-0.png", "001-1.png"]
    assert [texts[0] for texts in made.captions] == ["a person"] * 2 + ["a person with glasses"] * 2


def test_a_picture_of_any_size_becomes_one_that_the_method_edits(capsys):
    pixels = np.zeros((3, 30, 50), np.uint8)
    pixels[:, :, 10:40] = 200
    [made] = scaled([Column("a.png", image=pixels)], (64, 64))
    assert made.image is not None
    assert made.image.shape == (3, 64, 64)
    assert made.image.min() > 150  # the middle alone
    assert "a.png: 50x30 pixels, cut and scaled to 64x64" in capsys.readouterr().err
    assert scaled([made], (64, 64)) == [made]


@pytest.mark.parametrize(
    ("method", "setting", "guides"),
    [("styleclip-global", "clip", "clip-guide-avatars"), ("stylegan_nada", "clips", ["clip-guide-avatars"])],
)
def test_a_method_of_the_command_line_is_guided_by_the_networks_of_its_data_set(method, setting, guides):
    given = entry_of(method, [], "avatars").settings[setting]
    assert given == guides if isinstance(guides, str) else set(guides) <= set(given)
    assert entry_of(method, [f"{setting}={'mine' if setting == 'clip' else '[mine]'}"], "avatars").settings[setting]
