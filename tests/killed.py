"""Runs a suite again and again, each time in a process of its own that dies at a random point, and then to its end.

    python tests/killed.py SUITE POINTS SEED

Prints a JSON list: for each point the share of the run after which it was killed, whether it was, and whether the resumed records equal
those of the uninterrupted run. A point is a function call of the main thread, a call into C (a write, a rename) counting too. Processes are
forked from one that has imported everything and started no thread.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from t2ibench import records, runner, suite


def run(path: Path, folder: Path) -> None:
    for _ in runner.run(suite.load(str(path)), runner.Where(folder, folder, 4)):
        pass


def forked(work: Callable[[], None]) -> int:
    """The wait status of a process that does some work and exits with 0, or with 1 where it raises."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


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


def main(path: Path, points: int, seed: int) -> None:
    run(path, Path("warm"))  # caches are filled, modules imported
    calls = calls_of(lambda: run(path, Path("whole")))
    whole = [records.comparable(record) for record in records.load(Path("whole"))]
    choose, found = random.Random(seed), []
    for index in range(points):
        point, folder = choose.randrange(1, calls), Path(f"killed-{index}")
        status = forked(killed_at(point, lambda folder=folder: run(path, folder)))  # type: ignore[misc]
        resumed = forked(lambda folder=folder: run(path, folder))  # type: ignore[misc]
        equal = resumed == 0 and [records.comparable(record) for record in records.load(folder)] == whole
        parts = [str(part) for part in folder.rglob("*.part")]
        found.append({"at": point / calls, "killed": os.WIFSIGNALED(status), "equal": equal, "left": parts})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
