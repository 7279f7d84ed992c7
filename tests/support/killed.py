"""Runs a suite again and again, each time in a process of its own that dies at a random point, and then to its end.

    python tests/support/killed.py SUITE POINTS SEED [OTHER]

Prints a JSON object. killed: for each point the share of the run after which the process was to be killed, whether it
was, and whether the resumed records equal those of the uninterrupted run. together: how two processes ended that ran
the suite OTHER at once, and whether its records equal those of one process. A point is a function call of the main
thread, a call into C (a write, a rename) counting too. Processes are forked from one that has imported everything and
started no thread.
"""

import functools
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.runner import run as runner
from t2ibench.runner import suite


def run(path: Path, folder: Path) -> None:
    for _ in runner.run(suite.load(str(path)), runner.RunOptions(folder, folder, 4)):
        pass


def forked(*works: Callable[[], None]) -> list[int]:
    """The wait statuses of processes that do some work at once; they exit with 0, with 2 after a UserError, and with 1
    after another.
    """
    children = []
    for work in works:
        if (child := os.fork()) == 0:
            code = 1
            try:
                work()
                code = 0
            except UserError as error:
                code = 2 if "another run is at work on this cell" in str(error) else 1
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def killed_at(point: int, work: Callable[[], None]) -> Callable[[], None]:
    """The work, whose process kills itself at its `point`-th call."""

    def counted() -> None:
        left = point

        def count(*event: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)

    return counted


def calls_of(work: Callable[[], None]) -> int:
    """How many points some work has."""
    calls = 0

    def count(*event: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    work()
    sys.setprofile(None)
    return calls


def comparable(folder: Path) -> list[dict[str, Any]]:
    return [records.comparable(record) for record in records.load(folder)]


def kills(path: Path, points: int, seed: int) -> list[dict[str, Any]]:
    """What became of the suite after each kill."""
    run(path, Path("warm"))  # caches are filled, modules imported
    calls = calls_of(lambda: run(path, Path("whole")))
    choose, found = random.Random(seed), []
    for index in range(points):
        point, folder = choose.randrange(1, calls), Path(f"killed-{index}")
        work = functools.partial(run, path, folder)
        [status], [resumed] = forked(killed_at(point, work)), forked(work)
        equal = resumed == 0 and comparable(folder) == comparable(Path("whole"))
        found.append({"at": point / calls, "killed": os.WIFSIGNALED(status), "equal": equal})
    return found


def together(path: Path) -> dict[str, Any]:
    """What became of a suite that two processes ran at once; `again`: samples that were made more than once."""
    work = functools.partial(run, path, Path("both"))
    codes = [os.waitstatus_to_exitcode(status) for status in forked(work, work)]
    run(path, Path("both"))
    run(path, Path("one"))
    journals = [journal.read_text("utf-8").splitlines() for journal in Path("both").rglob("journal.jsonl")]
    made = [Counter(json.loads(line)["sample"] for line in lines) for lines in journals]
    again = sum(count > 1 for counts in made for count in counts.values())
    return {"codes": codes, "equal": comparable(Path("both")) == comparable(Path("one")), "again": again}


def main(path: Path, points: int, seed: int, *others: str) -> None:
    found = {"killed": kills(path, points, seed), "together": [together(Path(other)) for other in others]}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
