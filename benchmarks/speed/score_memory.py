"""The most memory that `t2ibench score` holds for folders of different sizes. Expected: no more for more images than 3
kB each.

    python benchmarks/speed/score_memory.py [COUNT …] [--out results/studies/score_memory.json]

COUNT: the counts of images, 64x64; 2,000 and 20,000 where none is given. Both sides are such folders, and features are
not cached. Exit code 1 where an image more takes more than 3 kB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from t2ibench.core import environment, storage

SIDE, DISTINCT, REFERENCE, BYTES = 64, 1000, 1000, 3000
SCORE = """
import resource, sys
from t2ibench import cli
words = ["score", sys.argv[1], "--reference", sys.argv[2], "--metrics", "fid", "--extractor", "attribute-judge-avatars"]
cli.app([*words, "--out", sys.argv[1] + ".json"], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def folder(path: Path, count: int) -> None:
    """`count` names of a thousand noisy images, each with its line of metadata."""
    path.mkdir()
    generator = np.random.default_rng(0)
    for i in range(min(count, DISTINCT)):
        Image.fromarray(generator.integers(3, 256, (SIDE, SIDE, 3), np.uint8)).save(
            path / f"{i:06}.png", compress_level=1
        )
    for i in range(DISTINCT, count):
        (path / f"{i:06}.png").hardlink_to(path / f"{i % DISTINCT:06}.png")
    lines = (json.dumps({"file_name": f"{i:06}.png", "text": "a person with long red hair"}) for i in range(count))
    (path / "metadata.jsonl").write_text("\n".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[2_000, 20_000])
    parser.add_argument("--out", type=Path, help="also write the record to this file")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as root:
        environ = {**os.environ, "T2IBENCH_CACHE": f"{root}/cache"}
        folder(Path(root) / "real", REFERENCE)
        for count in arguments.counts:
            path = Path(root) / str(count)
            folder(path, count)
            start = time.perf_counter()
            command = [sys.executable, "-c", SCORE, str(path), f"{root}/real"]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
            found.append(
                {
                    "images": count,
                    "mebibytes": int(done.stderr.split()[-1]) / 1024,
                    "seconds": time.perf_counter() - start,
                }
            )
            print(
                f"{count:,} images: {found[-1]['mebibytes']:,.0f} MiB at most, {found[-1]['seconds']:.0f} s", flush=True
            )
    least, most = found[0], found[-1]
    each = (most["mebibytes"] - least["mebibytes"]) * 2**20 / max(most["images"] - least["images"], 1)
    print(f"{each:,.0f} bytes for each image more (at most {BYTES:,} expected)")
    if arguments.out is not None:
        facts = {"pixels": SIDE, "reference": REFERENCE, "bytes_for_each_image_more": round(each), "measured": found}
        storage.publish(
            arguments.out,
            (json.dumps({**facts, "environment": environment.fingerprint("cpu")}, indent=1) + "\n").encode(),
        )
    return int(each > BYTES)


if __name__ == "__main__":
    sys.exit(main())
