"""All metrics of one image set with features extracted once, against one extraction a metric, and the slowest extractor alone.

    python benchmarks/shared_features.py [images]

Real images stand in for generated ones (`balanced-val` of avatars for `val`); every round begins with an empty feature cache. Exit code 1
where all metrics take more than 1.2 times the slowest extractor alone.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from t2ibench import cache, plugins
from t2ibench.datasets import avatars
from t2ibench.evidence import Evidence, Samples
from t2ibench.models import Models
from t2ibench.tracks import Prompt

JUDGE, CLIP = "attribute-judge-avatars", "clip-judge-avatars"
MOST = 1.2
METRICS = {"fid": {"extractor": JUDGE}, "kid": {"extractor": JUDGE}, "prdc": {"extractor": JUDGE}, "clip_score": {}, "r_precision": {}}


def evidence(count: int) -> Evidence:
    """A cell whose images are real ones, with nothing computed yet."""
    config = avatars.Config()
    real, fake = avatars.load(config, "val").take(range(count)), avatars.load(config, "balanced-val").take(range(count))
    prompts = [Prompt(id, captions[0]) for id, captions in zip(fake.ids, fake.captions, strict=True)]
    samples = Samples(prompts, [0] * count, np.ones(count, bool), fake.images.digests(), fake.images)
    return Evidence(train=real, reference=real, prompts=prompts, samples={"captions": samples}, models=Models())


def seconds(work) -> float:
    """Seconds of some work with an empty feature cache; the drawn images stay where they are."""
    with tempfile.TemporaryDirectory() as folder:
        images = cache.folder() / "avatars"
        (Path(folder) / "avatars").symlink_to(images)
        before = os.environ.get("T2IBENCH_CACHE")
        os.environ["T2IBENCH_CACHE"] = folder
        try:
            start = time.perf_counter()
            work()
            return time.perf_counter() - start
        finally:
            os.environ.pop("T2IBENCH_CACHE")
            if before is not None:
                os.environ["T2IBENCH_CACHE"] = before


def score(names: list[str], count: int) -> None:
    shared = evidence(count)
    for name in names:
        module = plugins.load("metrics", name)
        module.score(shared, plugins.configure(module.Config, METRICS[name], name))


def extract(name: str, count: int) -> None:
    one = evidence(count)
    one.fake_features(name)
    one.real_features(name)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    evidence(count)  # draws the images where that is still to do
    found: dict[str, list[float]] = {"shared": [], "apart": [], "slowest": []}
    for _ in range(3):
        found["shared"].append(seconds(lambda: score(list(METRICS), count)))
        found["apart"].append(sum(seconds(lambda name=name: score([name], count)) for name in METRICS))
        found["slowest"].append(max(seconds(lambda name=name: extract(name, count)) for name in (JUDGE, CLIP)))
    shared, apart, slowest = (statistics.median(found[name]) for name in ("shared", "apart", "slowest"))
    print(f"{count:,} images, {len(METRICS)} metrics, two extractors")
    print(f"shared {shared:.2f} s, one pass for each metric {apart:.2f} s: ratio {apart / shared:.2f}")
    print(f"the slowest extractor alone {slowest:.2f} s: all metrics take {shared / slowest:.2f} times that (at most {MOST} expected)")
    return int(shared > MOST * slowest)


if __name__ == "__main__":
    sys.exit(main())
