"""The suite `quick`: two jobs against the one process of an earlier commit, and a cold run in units of a fixed product.

python benchmarks/speed/quick.py --pairs 5 [--against eb85728]   without the mapper, stylegan-nada and its baseline:
    the median of the ratios of alternating pairs; more than 0.7: exit code 1
python benchmarks/speed/quick.py --cold 5    each run from nothing, its data drawn, between two measurements of a
    product of two fixed matrices on one thread: how many such products it takes
python benchmarks/speed/quick.py --profile    the suite of --pairs by two jobs: what each process was at, and for how
    long; where one waits while the other works, the suite is serial

It wants a quiet machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch
import yaml

from t2ibench.runner import jobs, workers
from t2ibench.runner import run as runner
from t2ibench.runner.suite import load

ROOT = Path(__file__).parents[2]
LEFT_OUT, BOUND = ("styleclip-mapper", "stylegan-nada"), 0.7
SIDE, TIMES = 1024, 20


def checked_out(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def shorter(folder: Path) -> Path:
    """A copy of quick.yaml without the methods that train for each text, and what needs them."""
    content = yaml.safe_load((ROOT / "t2ibench/runner/suites/quick.yaml").read_text())
    content["methods"] = [m for m in content["methods"] if (m if isinstance(m, str) else m["name"]) not in LEFT_OUT]
    content["baselines"] = [
        b
        for b in content["baselines"]
        if b not in ("source", "other") and (isinstance(b, str) or b.get("of") not in LEFT_OUT)
    ]
    content["tracks"] = [track for track in content["tracks"] if track != "adapt"]
    content.pop("adapt")
    content["metrics"] = [
        m for m in content["metrics"] if (m if isinstance(m, str) else m["name"]) not in ("structure", "diversity")
    ]
    content["columns"] = [c for c in content["columns"] if c not in ("structure_kept", "diversity")]
    path = folder / "shorter.yaml"
    path.write_text("# quick without what trains for each text.\n" + yaml.safe_dump(content))
    return path


def seconds(code: Path, suite: str, folder: Path, *options: str) -> float:
    """Of a whole command, from nothing, with a cache of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        environment = {**os.environ, "PYTHONPATH": str(code), "T2IBENCH_CACHE": f"{out}/cache"}
        command = [sys.executable, "-P", "-m", "t2ibench", "run", suite, "--out", out, "--work", out, *options]
        start = time.perf_counter()
        subprocess.run(command, env=environment, cwd=out, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


class Watched(workers.LocalWorkers):
    """Two processes, and when each of them was given what and answered."""

    spans: ClassVar[list[tuple[int, str, float, float]]] = []  # process, kind of task, from, to
    born: ClassVar[dict[int, float]] = {}

    def start(self, hand: workers.Hand, setup: Any) -> None:
        self.born[id(hand)] = time.monotonic()
        super().start(hand, setup)

    def answers(self, timeout: float | None) -> Iterator[tuple[workers.Hand, Any]]:
        for hand, answer in super().answers(timeout):
            kind = "get ready" if hand.task is None else type(hand.task).__name__.lower()
            start = self.born[id(hand)] if hand.task is None else hand.since
            self.spans.append((list(self.born).index(id(hand)), kind, start, time.monotonic()))
            yield hand, answer


def profile(suite: str, folder: Path) -> None:
    """Run a suite from nothing by two processes, and print what each was at."""
    os.environ["T2IBENCH_CACHE"] = str(folder / "cache")
    jobs.LocalWorkers = Watched  # type: ignore[misc]
    start = time.monotonic()
    options = runner.RunOptions(out=folder / "out", work=folder / "out", jobs=2)
    list(runner.run(load(suite), options))
    end = time.monotonic()
    first = min(Watched.born.values())
    busy = sum(to - since for _, _, since, to in Watched.spans)
    print(f"{end - start:.0f} s; {first - start:.0f} s before the processes start: imports, the data drawn, plans")
    for number in range(len(Watched.born)):
        own = [(kind, to - since) for which, kind, since, to in Watched.spans if which == number]
        kinds = {kind: sum(took for other, took in own if other == kind) for kind, _ in own}
        waited = end - first - sum(kinds.values())
        at = ", ".join(f"{kind} {took:.0f} s" for kind, took in kinds.items())
        print(f"process {number}: {at}, nothing {waited:.0f} s")
    print(f"at work together: {busy / (2 * (end - first)):.2f} of the time of both")


def product() -> float:
    """Seconds of one product of two fixed matrices, on one thread."""
    torch.set_num_threads(1)
    a = torch.linspace(-1, 1, SIDE * SIDE).view(SIDE, SIDE)
    start = time.perf_counter()
    for _ in range(TIMES):
        a @ a.T
    return (time.perf_counter() - start) / TIMES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--against", default="eb85728")
    parser.add_argument("--cold", type=int, default=0)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        earlier = checked_out(arguments.against, folder / "earlier") if arguments.pairs else ROOT
        suite = shorter(folder)
        if arguments.profile:
            profile(str(suite), folder)
        for pair in range(arguments.pairs):
            two, one = (
                lambda: seconds(ROOT, str(suite), folder, "--jobs", "2"),
                lambda: seconds(earlier, str(suite), folder),
            )
            took = {which: work() for which, work in ((2, two), (1, one))[:: 1 - 2 * (pair % 2)]}
            ratios.append(took[2] / took[1])
            print(f"two jobs {took[2]:.0f} s, {arguments.against} {took[1]:.0f} s: {ratios[-1]:.3f}", flush=True)
        for _ in range(arguments.cold):
            before = product()
            took_cold = seconds(ROOT, "quick", folder)
            unit = (before + product()) / 2
            print(
                f"quick, cold: {took_cold:.0f} s, {took_cold / unit:,.0f} products of {1000 * unit:.1f} ms", flush=True
            )
    if ratios:
        print(f"median of {len(ratios)} pairs: {median(ratios):.3f}, at most {BOUND} is wanted")
    return int(bool(ratios) and median(ratios) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
