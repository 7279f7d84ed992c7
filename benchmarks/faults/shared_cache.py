"""Eight runs at once on one empty cache, and 24 reports at once into one folder. One that fails: exit code 1.

python benchmarks/faults/shared_cache.py [--runs 8] [--reports 24] [--out results/studies]

The runs have folders of their own and share T2IBENCH_CACHE: each needs the same images of the data set, features and
trained weights at the same moment. All have to reach the end with equal records, and no part file may be left.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from calling import summary
from killed_runs import package

from t2ibench.core import records

SUITE = """# A method that trains for each text, scored by networks that ship.
dataset: {name: squares, side: 64}
methods: [{name: trainer, side: 64}]
baselines: [real, shuffled]
prompts: {captions: 24}
seeds: [0]
metrics: [{name: prdc, extractor: attribute-judge-avatars}, shade]
"""


def at_once(commands: list[list[str]], environ: dict[str, str]) -> list[tuple[int, str]]:
    """How commands end that run at once: the exit codes, and the last lines of the error streams."""
    begin = [sys.executable, "-m", "t2ibench"]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([*begin, *words], env=environ, stdout=pipe, stderr=pipe, text=True) for words in commands
    ]
    said = [process.communicate()[1] for process in started]
    return [(process.returncode, text.strip()[-300:]) for process, text in zip(started, said, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--reports", type=int, default=24)
    parser.add_argument("--out", type=lambda text: Path(text).absolute(), help="write a summary into this folder")
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        package(top)
        path = top / "shared.yaml"
        path.write_text(SUITE)
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([name, os.environ.get("PYTHONPATH", "")]),
            "T2IBENCH_CACHE": str(top / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        folders = [top / f"run-{number}" for number in range(arguments.runs)]
        ends = at_once(
            [["run", str(path), "--out", str(one), "--work", str(one), "--jobs", "1"] for one in folders], environ
        )
        whole = [code == 0 for code, _ in ends]
        rows = [
            [records.comparable(record) for record in records.load(one)] if ok else []
            for one, ok in zip(folders, whole, strict=True)
        ]
        equal = all(row == rows[0] for row in rows)
        reports = at_once([["report", str(folders[0]), "--out", str(top / "site")]] * arguments.reports, environ)
        shown = [code == 0 for code, _ in reports]
        parts = [str(part) for part in top.rglob("*.part")]
    for code, text in (*ends, *reports):
        if code != 0:
            print(f"exit code {code}: {text}")
    took = time.perf_counter() - started
    print(
        f"{sum(whole)} of {len(whole)} runs on one cache reached the end, records {'equal' if equal else 'DIFFER'}; "
        f"{sum(shown)} of {len(shown)} reports; {len(parts)} part files left; {took:.0f} s"
    )
    content = {
        "runs": len(whole),
        "reached_the_end": sum(whole),
        "equal": equal,
        "reports": len(shown),
        "written": sum(shown),
    }
    summary("shared_cache", {**content, "parts_left": len(parts)}, arguments.out)
    return int(not (all(whole) and equal and all(shown)) or bool(parts))


if __name__ == "__main__":
    sys.exit(main())
