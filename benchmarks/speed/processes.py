"""How much faster four processes run a suite than one. Expected: 3.5 times with a method that sleeps, or exit code 1.

python benchmarks/speed/processes.py [--seconds 240] [--jobs 4] [--suite quick]

The method sleeps, so that the figure is of the machinery: starting processes, handing out blocks, journals, scores.
It holds on a machine with fewer processors too. With --suite the same is measured of a suite that ships, from nothing,
with a cache of its own; there the processors count, and nothing is expected.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPECTED, IMAGES = 3.5, 120
SLEEPER = '''"""Sleeper: a method that takes its time."""

import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Config:
    seconds: float = 1.0  # an image


class Method:
    def __init__(self, config, models):
        self.config = config

    def text_to_image(self, requests):
        time.sleep(self.config.seconds * len(requests))
        return torch.stack([torch.full((3, 8, 8), request.seed % 200 + 20, dtype=torch.uint8) for request in requests])
'''
SHADE = '''"""Shade: the mean grey level of the images."""

from dataclasses import dataclass

from t2ibench.core.records import Estimate


@dataclass(frozen=True)
class Config:
    pass


def score(evidence, config):
    images = evidence.samples("captions").images
    mean = float(images.mean())
    return {"shade": Estimate(mean, (mean, mean), len(images), "none", {"levels": 256}, "none")}
'''
ENTRIES = """[t2ibench.methods]
{method} = {method}

[t2ibench.metrics]
shade = shade

[t2ibench.datasets]
squares = t2ibench.checks.contracts.squares
"""
SUITE = """# A method that sleeps.
dataset: {{name: squares, side: 8}}
methods: [{{name: sleeper, seconds: {seconds}}}]
baselines: []
prompts: {{captions: 24}}
seeds: [0, 1, 2, 3, 4]
metrics: [shade]
"""


def package(folder: Path, method: str = "sleeper", text: str = SLEEPER) -> None:
    """A package with a method and a metric, as if it were installed. text: the module of the method."""
    (folder / f"{method}.py").write_text(text)
    (folder / "shade.py").write_text(SHADE)
    info = folder / f"{method}-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {method}\nVersion: 0\n")
    (info / "entry_points.txt").write_text(ENTRIES.format(method=method))


def sleeping(folder: Path, seconds: float) -> tuple[Path, dict[str, str]]:
    """The suite of the method that sleeps, written into a folder, and the environment in which it is found."""
    package(folder)
    suite = folder / "sleeping.yaml"
    suite.write_text(SUITE.format(seconds=seconds))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path, "T2IBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return suite, {**os.environ, **own}


def seconds(suite: str, jobs: int, batch: int, folder: Path, environment: dict[str, str]) -> float:
    """Of a whole command, from nothing."""
    out = str(folder / f"jobs-{jobs}")
    command = [sys.executable, "-m", "t2ibench", "run", suite, "--out", out, "--work", out]
    start = time.perf_counter()
    cache = {"T2IBENCH_CACHE": str(folder / f"cache-{jobs}")}
    subprocess.run(
        [*command, "--jobs", str(jobs), "--batch", str(batch)],
        env={**environment, **cache},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="how long the method sleeps in all")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--suite", help="measure a suite that ships instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite, environment = sleeping(folder, arguments.seconds / IMAGES)
        took = {
            jobs: seconds(arguments.suite or str(suite), jobs, 64 if arguments.suite else 2, folder, environment)
            for jobs in (1, arguments.jobs)
        }
    ratio = took[1] / took[arguments.jobs]
    what = arguments.suite or "a method that sleeps"
    print(
        f"{what}: {took[1]:.0f} s by one process, {took[arguments.jobs]:.0f} s by {arguments.jobs}: {ratio:.2f} times"
    )
    return int(arguments.suite is None and arguments.jobs == 4 and ratio < EXPECTED)


if __name__ == "__main__":
    sys.exit(main())
