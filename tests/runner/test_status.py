"""How far a run is, from its folders alone."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from t2ibench.core.errors import UserError
from t2ibench.runner import run as runner
from t2ibench.runner import status as of
from t2ibench.runner import suite
from t2ibench.runner.journal import Outcome, Store


def made(sample: str, status: str = "ok", seconds: float = 0.5) -> Outcome:
    return Outcome(sample, sample, "captions", "text", 0, "text", status, "", seconds)  # type: ignore[arg-type]


@pytest.fixture
def begun(tmp_path) -> Path:
    """A run of four cells: one is recorded, one is made by two processes, one stands still, one has not begun."""
    work = tmp_path / "quick"
    work.mkdir()
    cells = [{"track": "edit", "method": name, "seed": 0, "images": 10} for name in ("done", "two", "still", "later")]
    (work / of.CELLS).write_text(json.dumps(cells))
    record = tmp_path / "records/quick/edit/done/0.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"counts": {"ok": 9}}')
    for writer, samples in (("0of2-host-1", "abc"), ("1of2-host-2", "cd")):
        Store(work / "edit/two/0-abc", writer).append([made(sample) for sample in samples])
    still = Store(work / "edit/still/0-abc")
    still.append([made("a"), made("b", "failed")])
    os.utime(still.path, (time.time() - 3600,) * 2)
    return tmp_path


def test_every_cell_says_what_is_made_by_whom_and_how_fast(begun):
    cells = {cell.method: cell for cell in of.status("quick", begun, begun)}
    seen = {name: (cell.made, cell.failed, cell.recorded, cell.rate) for name, cell in cells.items()}
    assert seen == {
        "done": (10, 1, True, None),
        "two": (4, 0, False, 4.0),  # a sample that both have made counts once; two processes of two images a second
        "still": (2, 1, False, None),
        "later": (0, 0, False, None),
    }
    assert cells["two"].at_work == ["0of2-host-1", "1of2-host-2"]
    assert cells["still"].at_work == []
    assert of.left([*cells.values()]) == (6 + 8 + 10) / 4


def test_the_command_needs_no_torch(begun, t2ibench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    answer = t2ibench("status", "quick", "--out", str(begun), "--work", str(begun))
    assert answer.returncode == 0
    assert "1 of 4 cells recorded, 16 of 40 images made, 0:00:06 to go" in answer.stdout
    assert "4 of 10" in answer.stdout
    assert (
        json.loads(t2ibench("status", "--out", str(begun), "--work", str(begun), "--json").stdout)["seconds_left"] == 6
    )


def test_a_run_says_which_cells_it_has(squares):
    path = squares()
    cells = [cell.record["method"] for cell in runner.run(suite.load(str(path)), runner.RunOptions(batch=8))]
    found = of.status("squares", Path("runs"), Path("runs"))
    assert [(cell.method, cell.images, cell.made, cell.recorded) for cell in found] == [
        (m, 32, 32, True) for m in cells
    ]


def test_no_run_is_one_line_that_names_those_there_are(begun):
    with pytest.raises(UserError, match=r"no run has begun here; runs in .*: quick"):
        of.status("other", begun, begun)
    with pytest.raises(UserError, match="give the --work of the run"):
        of.status("quick", begun, begun / "nowhere")


def test_status_loads_no_network_library():
    import subprocess

    code = "import sys; import t2ibench.cli.status, t2ibench.runner.status; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
