"""What the fault programs share: calling the command line within this process, and the summary that they leave."""

import io
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from t2ibench import cli
from t2ibench.core import environment, storage

LONGEST = 120  # seconds that one call may take
STUDIES = Path(__file__).parents[2] / "results" / "studies"


class Hangs(BaseException):
    """A call took longer than LONGEST seconds."""


@dataclass(frozen=True)
class Ending:
    """How a command ended. code: its exit code. said: what it printed to the error stream."""

    code: int
    said: str

    @property
    def kind(self) -> str:
        """What it is: `taken` where the input was none of the bad ones, `usage` where typer explains its options."""
        if self.code == -1:
            return "hangs"
        if "Traceback" in self.said or self.code == 70:
            return "traceback"
        if self.code in (0, 1, 3, 4):
            return "taken"
        if "Usage:" in self.said:
            return "usage"
        lines = [line for line in self.said.splitlines() if line.startswith("t2ibench: ")]
        return "one line" if len(lines) == 1 and self.said.rstrip().endswith(lines[0]) else "several lines"


def call(words: Sequence[str]) -> Ending:
    """A command of t2ibench, in this process."""
    printed, said, code = io.StringIO(), io.StringIO(), 0
    before = sys.argv
    sys.argv = ["t2ibench", *words]
    try:
        with redirect_stdout(printed), redirect_stderr(said), at_most(LONGEST):
            cli.main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except Hangs:
        code = -1
    finally:
        sys.argv = before
    return Ending(code, said.getvalue())


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def counted(endings: dict[str, Ending]) -> dict[str, int]:
    return dict(sorted(Counter(ending.kind for ending in endings.values()).items()))


def summary(name: str, content: dict[str, Any], out: Path | None) -> None:
    """Write the figures of a program into a folder, with the machine that they are of."""
    if out is not None:
        text = json.dumps({**content, "environment": environment.fingerprint("cpu")}, indent=1, ensure_ascii=False)
        storage.publish(out / f"faults_{name}.json", (text + "\n").encode())
