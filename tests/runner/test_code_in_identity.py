"""A number belongs to the code that made it: an edited plug-in's cells are made again, and a line says so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from t2ibench.core import plugins, records
from t2ibench.core.errors import UserError
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.record import changed_code

TRACK = "text_to_image"
PLUGINS = Path(__file__).parents[1] / "support" / "plugins"


def run(path: Path, again: tuple[str, ...] = ()) -> dict[str, runner.CellResult]:
    options = runner.RunOptions(Path("runs"), Path("runs"), 8, again=again)
    return {cell.record["method"]: cell for cell in runner.run(suite.load(str(path)), options)}


def in_a_process(path: Path, edited: Path) -> str:
    """Run the suite in a new process, which finds the plug-ins of `edited` first. Returns what it wrote."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(edited), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-m", "t2ibench", "run", str(path), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stderr


def hue(method: str) -> float:
    return records.read(records.path_of(Path("runs"), "squares", TRACK, method, 0))["values"]["hue"]["value"]


@pytest.mark.slow
def test_an_edited_method_and_an_edited_metric_make_their_cells_again(squares, tmp_path):
    path, edited = squares((", pair_hue]", "]")), tmp_path / "edited"
    edited.mkdir()
    for name in ("painter", "hue"):
        shutil.copy(PLUGINS / f"testing_{name}.py", edited)
    in_a_process(path, edited)
    assert hue("painter") == 1.0
    assert "has changed" not in in_a_process(path, edited)

    method = edited / "testing_painter.py"
    method.write_text(method.read_text().replace('"red" if self.config.colour_blind else colour', '"red"'))
    said = in_a_process(path, edited)
    assert "the code of methods/painter has changed since: the cell is made again" in said
    assert hue("painter") < 0.7

    metric = edited / "testing_hue.py"
    metric.write_text(metric.read_text() + "\n# one more line\n")
    said = in_a_process(path, edited)
    assert "metrics/hue" in said
    assert "methods/painter" not in said
    shutil.copy(PLUGINS / "testing_painter.py", edited)  # the edit is taken back
    assert "methods/painter" in in_a_process(path, edited)
    assert hue("painter") == 1.0


def test_settled_code_is_trusted_to_its_revision_and_other_code_to_its_source():
    settled = {"methods/a": {"revision": 1, "source": "x", "settled": True}}
    edited = {"methods/a": {"revision": 1, "source": "y", "settled": False}}
    committed = {"methods/a": {"revision": 1, "source": "y", "settled": True}}
    assert changed_code(settled, settled) == []
    assert changed_code(settled, committed) == []
    assert changed_code(settled, edited) == ["methods/a"]
    assert changed_code(edited, settled) == ["methods/a"]
    assert changed_code({}, edited) == []  # a migrated record does not know the source


def test_another_revision_is_another_identity(squares, monkeypatch):
    path = squares()
    run(path)
    monkeypatch.setattr("testing_painter.REVISION", 2, raising=False)
    with pytest.raises(UserError, match=r"maker.*revision: 1 there, 2 now"):
        run(path)


def test_again_makes_one_method_anew_and_no_other(squares, monkeypatch, tmp_path):
    path = squares()
    first = run(path)
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    again = run(path, again=("painter",))
    assert [name for name, cell in again.items() if cell.fresh] == ["painter"]
    assert len((tmp_path / "log").read_text().split()) == 32
    assert records.comparable(again["painter"].record) == records.comparable(first["painter"].record)
    with pytest.raises(UserError, match=r"--again: no method of squares is called 'paintr'.*painter"):
        run(path, again=("paintr",))


def test_the_source_of_a_plug_in_is_its_code_and_nothing_else(squares):
    squares()
    hashes = {name: plugins.source("methods", name) for name in ("painter", "collage", "gan_cls", "image_folder")}
    assert len(set(hashes.values())) == 4
    assert not plugins.is_settled("methods", "painter")  # of another package


def test_a_record_of_version_1_is_read_with_what_it_lacks(squares, tmp_path):
    record = dict(run(squares())["painter"].record)
    old = {key: value for key, value in record.items() if key not in ("plugins", "facts", "sha256")} | {"schema": 1}
    file = tmp_path / "old.json"
    file.write_text(json.dumps(records.seal(old)))
    read = records.read(file)
    records.validate(read)
    assert (read["schema"], read["plugins"], read["facts"]) == (1, {}, {})
    file.write_text(json.dumps(records.seal({**old, "schema": 3})))
    with pytest.raises(UserError, match="schema is 3, this version reads 1 and 2"):
        records.read(file)
    file.write_text(json.dumps(records.seal({**old, "plugins": {"methods/x": {}}})))
    with pytest.raises(UserError, match="unknown fields"):
        records.read(file)
