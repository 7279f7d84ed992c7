"""The exit codes of DESIGN 2, and how a stopped command ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from t2ibench import cli
from t2ibench.cli import exits
from t2ibench.core.errors import SIGNALS, Terminated, UserError

ENDS: list[tuple[BaseException | None, int, str]] = [
    (None, 0, ""),
    (UserError("a: wrong"), exits.INPUT, "t2ibench: a: wrong\n"),
    (KeyboardInterrupt(), exits.INTERRUPT, "t2ibench: stopped; the same command goes on from here\n"),
    (KeyboardInterrupt("train x: stopped at step 3"), exits.INTERRUPT, "t2ibench: train x: stopped at step 3\n"),
    (Terminated(), exits.SIGNAL, "t2ibench: stopped; the same command goes on from here\n"),
    (OSError(28, "No space left on device", "a.png"), exits.INPUT, "a.png: No space left on device: free some space\n"),
    (RuntimeError("mine"), exits.FAULT, "this is a fault of ours: please report it, with the lines above\n"),
    (OSError("of a library"), exits.FAULT, "please report it"),
]


@pytest.mark.parametrize(("error", "code", "said"), ENDS)
def test_every_end_has_its_code_and_its_line(error: Any, code: int, said: str, monkeypatch: Any, capsys: Any):
    def body(*_: Any, **__: Any) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr("t2ibench.core.records.load", lambda _: body())
    monkeypatch.setattr("t2ibench.report.board.boards", lambda *_: [])
    monkeypatch.setattr("t2ibench.report.formats.show", lambda *_: None)
    monkeypatch.setattr("t2ibench.report.audits.load", lambda _: [])
    monkeypatch.setattr(sys, "argv", ["t2ibench", "table", "."] if error is not None else ["t2ibench", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert int(end.value.code or 0) == code
    err = capsys.readouterr().err
    assert said in err
    assert ("Traceback" in err) == (code == exits.FAULT)


def started(folder: Path, code: str) -> subprocess.Popen[str]:
    """A command whose body is this code, once it runs."""
    script = (
        "import sys, time, threading; from t2ibench import cli\n"
        f"def body(_):\n{code}\n"
        "import t2ibench.core.records; t2ibench.core.records.load = body\n"
        "sys.argv = ['t2ibench', 'table', '.']; cli.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


READY = "    print('ready', flush=True)\n"
ASLEEP = "    threading.Thread(target=time.sleep, args=(600,)).start()\n    time.sleep(600)"  # also in a thread


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), *((number, 75) for number in SIGNALS)])
def test_a_stopped_command_ends_soon_in_one_line(number: int, code: int, tmp_path: Path):
    process = started(tmp_path, READY + ASLEEP)
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines() == ["t2ibench: stopped; the same command goes on from here"]


def test_the_reader_of_a_pipe_may_go(tmp_path: Path):
    process = started(tmp_path, READY + "    for _ in range(100_000): print('line')")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
