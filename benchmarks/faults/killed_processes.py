"""A suite by one, four and two processes in turn, one of which is killed again and again. Records that differ: exit 1.

python benchmarks/faults/killed_processes.py [--kills 50] [--seed 0]

Each time `kill -9` hits a process of the run at random, the one that hands out the work included, at a random moment.
Where that one dies, the same command starts again. At the end the records (but environment, cost and code), and with
them the hashes of all images, have to be those of one process that nobody disturbed, no sample may stand twice in the
journals, and no process may be left behind.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from processes import sleeping

from t2ibench.core import records
from t2ibench.runner.workers import MODULE

SECONDS = 0.15  # that the method sleeps for an image
JOBS = (1, 4, 2)


def started(suite: Path, folder: Path, jobs: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "t2ibench", "run", str(suite), "--out", str(folder), "--work", str(folder)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [*command, "--batch", "2", "--jobs", str(jobs)], env=environment, stdout=quiet, stderr=quiet
    )


def workers_of(parent: int) -> list[int]:
    said = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in said.splitlines()]
    return [int(pid) for pid, of, what in rows if MODULE in what and int(of) == parent]


def killed(suite: Path, folder: Path, kills: int, seed: int, environment: dict[str, str]) -> Counter[str]:
    """Run the suite to its end through so many kills; returns how often whom."""
    choose, hit = random.Random(seed), Counter[str]()
    start = 0
    while True:
        run = started(suite, folder, JOBS[start % len(JOBS)], environment)
        start += 1
        while run.poll() is None:
            if hit.total() < kills:
                time.sleep(choose.uniform(1.0, 6.0))
                victims = [run.pid, *workers_of(run.pid)]
                if run.poll() is None:
                    victim = choose.choice(victims)
                    os.kill(victim, signal.SIGKILL)
                    hit["the one that hands out" if victim == run.pid else "a worker"] += 1
            else:
                run.wait()
        if run.returncode == 0:
            if hit.total() >= kills:
                return hit
            for path in folder.glob("records/*/*/*/*.json"):  # all is recorded before the last kill: score again
                path.unlink()


def comparable(folder: Path) -> list[dict]:
    return [records.comparable(record) for record in records.load(folder)]


def twice(folder: Path) -> int:
    """How many samples stand more than once in the journals of a cell."""
    count = 0
    for cell in folder.glob("*/*/*/*/"):
        lines = [
            json.loads(line) for path in cell.glob("journal*.jsonl") for line in path.read_bytes().splitlines() if line
        ]
        count += sum(number > 1 for number in Counter(line["sample"] for line in lines if "sample" in line).values())
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite, environment = sleeping(folder, SECONDS)
        whole = started(suite, folder / "whole", 1, environment)
        assert whole.wait() == 0
        hit = killed(suite, folder / "killed", arguments.kills, arguments.seed, environment)
        left = [
            line
            for line in subprocess.run(["ps", "-wweo", "args="], capture_output=True, text=True).stdout.splitlines()
            if MODULE in line and "ps -eo" not in line
        ]
        equal = comparable(folder / "killed") == comparable(folder / "whole")
        again = twice(folder / "killed")
    whom = ", ".join(f"{number} times {who}" for who, number in sorted(hit.items()))
    print(
        f"{hit.total()} kills ({whom}): records {'equal' if equal else 'DIFFER'}, {again} samples twice, "
        f"{len(left)} processes left"
    )
    return int(not equal or again > 0 or bool(left))


if __name__ == "__main__":
    sys.exit(main())
