"""What the machinery itself costs a sample: four methods that paint one grey level, 10,000 prompts each.

python benchmarks/speed/machinery.py [--prompts 10000] [--jobs 1]

Prints the time of a sample (images, hashes, PNG, journal, records, pages), the memory of the largest process, the
files, and how long `status` and `table` take as commands. Exit code 1 if one of the two takes more than a second.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from processes import SHADE

METHODS, BOUND = 4, 1.0
STUB = '''"""Stub: one grey level, which the seed decides."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Config:
    number: int = 0


class Method:
    def __init__(self, config, models):
        self.config = config

    def text_to_image(self, requests):
        levels = torch.tensor([request.seed % 200 + 20 for request in requests], dtype=torch.uint8)
        return levels[:, None, None, None].expand(-1, 3, 64, 64).contiguous()
'''
MANY = '''"""Many: squares, as many as the setting says."""

from dataclasses import dataclass

from t2ibench.checks.contracts import squares


@dataclass(frozen=True)
class Config:
    count: int = 100


def load(config, split):
    return squares._split(squares.Config(), split, config.count if split == "test" else 12, {}, 7)
'''
ENTRIES = """[t2ibench.methods]
stub = stub

[t2ibench.metrics]
shade = shade

[t2ibench.datasets]
many = many
"""
SUITE = """# Four stubs.
dataset: {{name: many, count: {prompts}}}
methods: [{methods}]
baselines: []
prompts: {{captions: {prompts}}}
metrics: [shade]
"""


def timed(*arguments: str, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "t2ibench", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module, text in (("stub", STUB), ("shade", SHADE), ("many", MANY)):
            (folder / f"{module}.py").write_text(text)
        info = folder / "stub-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stub\nVersion: 0\n")
        (info / "entry_points.txt").write_text(ENTRIES)
        methods = ", ".join(f"{{name: stub, as: stub-{k}, number: {k}}}" for k in range(METHODS))
        suite = folder / "stubs.yaml"
        suite.write_text(SUITE.format(prompts=arguments.prompts, methods=methods))
        path = os.pathsep.join([name, os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "T2IBENCH_CACHE": str(folder / "cache")}
        out = str(folder / "runs")
        folders = ("--out", out, "--work", out)
        took = timed("run", str(suite), *folders, "--jobs", str(arguments.jobs), environment=environment)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        files = sum(path.is_file() for path in (folder / "runs").rglob("*"))
        images = sum(1 for _ in (folder / "runs").rglob("images/*.png"))
        status = timed("status", str(suite), *folders, environment=environment)
        table = timed("table", out, environment=environment)
        again = timed("run", str(suite), *folders, "--jobs", "1", environment=environment)
        for record in (folder / "runs" / "records").rglob("*.json"):  # a run of which nothing is scored yet
            record.unlink()
        unscored = timed("status", str(suite), *folders, environment=environment)
    samples = METHODS * arguments.prompts
    print(f"{samples:,} samples in {took:.0f} s by {arguments.jobs} processes: {1000 * took / samples:.2f} ms a sample")
    print(f"{peak:,.0f} MB at most in a process; {files:,} files, {files - images:,} besides the images")
    print(f"status {status:.2f} s, before anything is scored {unscored:.2f} s; table {table:.2f} s")
    print(f"the same run again: {again:.1f} s")
    return int(max(status, unscored, table) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
