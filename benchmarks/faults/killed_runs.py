"""A run killed 200 times at random calls, and resumed. A record or a cost that differs from an undisturbed run: exit 1.

python benchmarks/faults/killed_runs.py [--kills 200] [--seed 0] [--out results/studies]

A point is a call of a function, those of C included: a write, a rename. Each kill hits a process of its own, forked
from one that has imported everything; the suite then runs to its end. The method trains for each text, as StyleCLIP's
mapper does: what a text costs lies in the cache, and the account of a cell must be whole whoever worked on it. Some
runs are killed several times in a row.
"""

import argparse
import functools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calling import summary

from t2ibench.core import records
from t2ibench.runner import run as runner
from t2ibench.runner import suite

IN_A_ROW = 4  # kills of one run, in every fourth run
TRAINER = '''"""Trainer: a method that trains for each text."""

import json
from dataclasses import dataclass

import torch

from t2ibench.core.storage import publish


@dataclass(frozen=True)
class Config:
    seconds: float = 2.5  # of the training of a text
    side: int = 8  # pixels of an image


class Method:
    def __init__(self, config, models):
        self.config, self.folder, self.seconds, self.cost = config, models.cache / "trainer", {}, {}

    def text_to_image(self, requests):
        for request in requests:
            path = self.folder / f"{abs(sum(map(ord, request.prompt)))}.json"
            if not path.exists():
                publish(path, json.dumps({"seconds": self.config.seconds}).encode())
            self.seconds[request.prompt] = json.loads(path.read_text())["seconds"]
        total, count = sum(self.seconds.values()), len(self.seconds)
        self.cost |= {"training_seconds": total, "prompts_trained": count, "training_seconds_per_prompt": total / count}
        shape = 3, self.config.side, self.config.side
        return torch.stack([torch.full(shape, request.seed % 200 + 20, dtype=torch.uint8) for request in requests])
'''
SUITE = """# A method that trains for each text.
dataset: {name: squares, side: 8}
methods: [trainer]
baselines: [shuffled]
prompts: {captions: 12}
seeds: [0]
metrics: [shade]
"""
TRAINED = ("training_seconds", "prompts_trained", "training_seconds_per_prompt")


def package(folder: Path) -> None:
    """The method and a metric, as if they were installed."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
    from processes import package as written

    written(folder, "trainer", TRAINER)
    sys.path.insert(0, str(folder))


def run(path: Path, folder: Path) -> None:
    cache = folder / "cache"
    for _ in runner.run(suite.load(str(path)), runner.RunOptions(folder, folder, 4, cache=cache)):
        pass


def forked(work: Callable[[], None]) -> int:
    """The wait status of a process that does some work."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def counted(work: Callable[[], None], at: int = 0) -> Callable[[], int]:
    """The work, which returns how many calls it has; its process is killed at call `at`."""

    def working() -> int:
        calls = 0

        def count(*event: object) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        try:
            work()
        finally:
            sys.setprofile(None)
        return calls

    return working


def found(folder: Path) -> list[dict[str, Any]]:
    """The records of a run, with what their methods spent on training."""
    return [
        {**records.comparable(record), "cost": {key: record["cost"].get(key) for key in TRAINED}}
        for record in records.load(folder)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=lambda text: Path(text).absolute(), help="write a summary into this folder")
    arguments = parser.parse_args()
    choose, struck, different, costs = random.Random(arguments.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        os.environ["T2IBENCH_CACHE"] = str(top / "home")
        package(top)
        path = top / "trained.yaml"
        path.write_text(SUITE)
        run(path, top / "warm")  # caches are filled, modules imported
        calls = counted(functools.partial(run, path, top / "whole"))()
        whole, started = found(top / "whole"), time.perf_counter()
        assert whole[0]["cost"]["prompts_trained"] or whole[1]["cost"]["prompts_trained"], "the method has no account"
        index = 0
        while struck < arguments.kills:
            folder, work = top / f"killed-{index}", functools.partial(run, path, top / f"killed-{index}")
            for _ in range(min(IN_A_ROW if index % 4 == 0 else 1, arguments.kills - struck)):
                status = forked(lambda work=work: counted(work, choose.randrange(1, calls))() and None)
                struck += os.WIFSIGNALED(status)
                choose.random()
            index += 1
            again = forked(work)
            now = found(folder) if again == 0 else []
            if now != whole:
                bare = [[{k: v for k, v in record.items() if k != "cost"} for record in rows] for rows in (now, whole)]
                different += bare[0] != bare[1]
                costs += bare[0] == bare[1]
                print(f"{folder.name}: {json.dumps([record['cost'] for record in now])}", flush=True)
    took = time.perf_counter() - started
    print(f"{struck} kills of {index} runs in {took:.0f} s: {different} with other records, {costs} with other costs")
    content = {"kills": struck, "runs": index, "other_records": different, "other_costs": costs}
    summary("killed_runs", content, arguments.out)
    return int(different + costs > 0)


if __name__ == "__main__":
    sys.exit(main())
