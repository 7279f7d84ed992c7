"""The most memory that `t2ibench score` holds for folders of different sizes. Expected: no more for more images than 3 kB each.

python benchmarks/score_memory.py [COUNT …]        the counts of images, 64x64; 2,000 and 20,000 where none is given
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, DISTINCT = 64, 1000
SCORE = """
import resource, sys
from t2ibench import cli
cli.app(["score", sys.argv[1], "--metrics", "fid", "--out", sys.argv[1] + ".json"], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def folder(path: Path, count: int) -> None:
    """`count` names of a thousand noisy images, each with its line of metadata."""
    path.mkdir()
    generator = np.random.default_rng(0)
    for i in range(min(count, DISTINCT)):
        Image.fromarray(generator.integers(3, 256, (SIDE, SIDE, 3), np.uint8)).save(path / f"{i:06}.png", compress_level=1)
    for i in range(DISTINCT, count):
        (path / f"{i:06}.png").hardlink_to(path / f"{i % DISTINCT:06}.png")
    lines = (json.dumps({"file_name": f"{i:06}.png", "text": "a person with long red hair"}) for i in range(count))
    (path / "metadata.jsonl").write_text("\n".join(lines))


def main() -> None:
    counts = [int(count) for count in sys.argv[1:]] or [2_000, 20_000]
    with tempfile.TemporaryDirectory() as root:
        for count in counts:
            path = Path(root) / str(count)
            folder(path, count)
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", SCORE, str(path)], capture_output=True, text=True, check=True)
            kilobytes = int(done.stderr.split()[-1])
            print(f"{count:,} images: {kilobytes / 1024:,.0f} MiB at most, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
