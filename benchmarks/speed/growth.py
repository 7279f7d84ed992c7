"""How long `table` and `report` take for boards of many methods, here and in another checkout.

    python benchmarks/speed/growth.py [COUNT …] [--against FOLDER] [--samples 400] [--out FILE]

COUNT: the numbers of methods; 50, 100 and 200 where none is given. FOLDER: another checkout of this repository, as
`git worktree add FOLDER eb85728` makes it. Each checkout reads records of its own form: one of its committed records
under so many names, with random samples. Seconds are those of the processor, which other programs disturb less than
those of the clock. Exit code 1 where the seconds, beyond the start of the program, grow by a quarter more than the
number of methods, or where the other checkout's `table` is less than ten times as slow.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import environment, storage

HERE = Path(__file__).parents[2]
MODEL = "results/records/avatars/text_to_image/gan-cls/0.json"
VALUES = ("fd_avatars", "precision", "clip_score", "r_precision", "ca_rare", "ca_gap")
TIMES_FASTER, LINEAR = 10, 1.25  # LINEAR: the seconds may grow by so much more than the number of methods
Record = dict[str, Any]


def digest(content: object) -> str:
    """As in every version of t2ibench so far."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stub(model: Record, row: int, samples: int) -> Record:
    """A record of another method, whose values follow from random samples."""
    generator, values = np.random.default_rng(row), {}
    for id in VALUES:
        value, details = model["values"][id], model["values"][id]["details"]
        kept: Record = {}
        if "effects" in details:
            kept["effects"] = {
                side: " ".join(f"{x:.3g}" for x in generator.normal(size=samples)) for side in ("made", "real")
            }
            mean, half = 1 + row / 100, 0.1
        else:
            share = 0.3 + 0.4 * generator.random()
            words = (generator.random(samples) < share).astype(int)
            if "per_sample" in details:
                kept["per_sample"] = "".join(map(str, words))
            mean, half = float(words.mean()), 0.05
        values[id] = {**value, "value": mean, "ci": [mean - half, mean + half], "n": samples, "details": kept}
    identity_of = {**model["identity_of"], "seed": row}
    content = {
        **{key: field for key, field in model.items() if key != "sha256"},
        "method": f"method-{row:03}",
        "values": values,
        "identity_of": identity_of,
        "identity": digest(identity_of),
    }
    content = json.loads(json.dumps(content))
    return {**content, "sha256": digest(content)}


def write(folder: Path, checkout: Path, count: int, samples: int) -> None:
    model = json.loads((checkout / MODEL).read_text("utf-8"))
    for row in range(count):
        path = folder / "records" / model["suite"] / model["track"] / f"method-{row:03}" / "0.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(stub(model, row, samples)), "utf-8")


def seconds(checkout: Path, words: list[str], folder: Path) -> float:
    """Seconds of the processor that a command of a checkout takes."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "T2IBENCH_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "t2ibench", *words], cwd=folder, env=environ, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: t2ibench {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report_of(checkout: Path, folder: str) -> list[str]:
    """The words of `report`, which took the name of a suite before it took folders."""
    return (
        ["report", folder]
        if (checkout / "t2ibench" / "report" / "site").is_dir()
        else ["report", "avatars", "--out", folder]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[50, 100, 200])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--out", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    checkouts = {"here": HERE} | ({"there": arguments.against.resolve()} if arguments.against else {})
    rows = []
    for name, checkout in checkouts.items():
        for count in arguments.counts:
            with tempfile.TemporaryDirectory() as root:
                folder = Path(root)
                write(folder, checkout, count, arguments.samples)
                took = {
                    "start": seconds(checkout, ["table", "--help"], folder),
                    "table": seconds(checkout, ["table", root], folder),
                    "report": seconds(checkout, report_of(checkout, root), folder),
                }
            rows.append({"checkout": name, "methods": count, **{key: round(number, 2) for key, number in took.items()}})
            said = ", ".join(f"{key} {number:.1f} s" for key, number in took.items())
            print(f"{name}: {count} methods: {said}", flush=True)
    here = [row for row in rows if row["checkout"] == "here"]
    least, most = here[0], here[-1]
    growth = {
        verb: (most[verb] - most["start"]) / max(least[verb] - least["start"], 0.01) for verb in ("table", "report")
    }
    allowed = LINEAR * most["methods"] / least["methods"]
    print(
        f"{most['methods'] / least['methods']:.1f} times the methods: "
        + ", ".join(f"{verb} {n:.1f} times the seconds" for verb, n in growth.items())
    )
    slow = any(number > allowed for number in growth.values())
    if arguments.against:
        there = rows[-1]
        faster = {verb: there[verb] / most[verb] for verb in ("table", "report")}
        print(
            f"{most['methods']} methods: " + ", ".join(f"{verb} is {n:.1f} times faster" for verb, n in faster.items())
        )
        slow |= faster["table"] < TIMES_FASTER
    if arguments.out is not None:
        facts = {"samples": arguments.samples, "measured": rows, "environment": environment.fingerprint("cpu")}
        storage.publish(arguments.out, (json.dumps(facts, indent=1) + "\n").encode())
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
