"""All metrics of one image set with features extracted once, against one extraction a metric, and the slowest extractor
alone.

    python benchmarks/speed/shared_features.py [images]

Real images stand in for generated ones (`balanced-val` of avatars for `val`); every round begins with an empty feature
cache. The embedded extractors are two small networks that cost about the same. For the extractor of a published
protocol stands DINOv2's ViT-S/14 with random weights, the smallest there is, on a sixth of the images. Exit code 1
where all metrics take more than 1.2 times that alone.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch

from t2ibench.core import cache
from t2ibench.core.settings import configure
from t2ibench.datasets import avatars
from t2ibench.networks.models import Models
from t2ibench.scoring.contract import load_metric
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import Prompt

JUDGE, CLIP = "attribute-judge-avatars", "clip-judge-avatars"
MOST, ROUNDS, SMALLER = 1.2, 3, 6
DISTANCES = ("fid", "kid", "prdc")


def metrics(extractor: str) -> dict[str, dict[str, str]]:
    """Settings by metric; the distances on one extractor, the others on the CLIP that judges."""
    return {
        **{name: {"extractor": extractor} for name in DISTANCES},
        "clip_score": {"clip": CLIP},
        "r_precision": {"clip": CLIP},
    }


def evidence(count: int) -> Evidence:
    """A cell whose images are real ones, with nothing computed yet."""
    config = avatars.Config()
    real, fake = avatars.load(config, "val").take(range(count)), avatars.load(config, "balanced-val").take(range(count))
    prompts = [Prompt(id, captions[0]) for id, captions in zip(fake.ids, fake.captions, strict=True)]
    samples = Samples(prompts, [0] * count, np.ones(count, bool), fake.images.digests(), fake.images)
    return Evidence(
        train=real, reference=real, prompts=prompts, samples={"captions": samples}, models=Models(), judge=JUDGE
    )


def seconds(work) -> float:
    """Seconds of some work with an empty feature cache; the drawn images stay where they are."""
    with tempfile.TemporaryDirectory() as folder:
        images = cache.home() / "avatars"
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


def score(settings: dict[str, dict[str, str]], count: int) -> None:
    shared = evidence(count)
    for name, own in settings.items():
        metric = load_metric(name)
        metric.score(shared, configure(metric.Config, own, name))


def extract(name: str, count: int) -> None:
    """The features of both sides; of the made ones alone by the CLIP, which no metric here shows real images."""
    one = evidence(count)
    one.fake_features(name)
    if name != CLIP:
        one.real_features(name)


def median(work) -> float:
    return statistics.median(seconds(work) for _ in range(ROUNDS))


def random_dinov2(folder: Path) -> str:
    """An extractor of ViT-S/14's size."""
    torch.manual_seed(0)
    path = folder / "dinov2_vits14_random.pth"
    torch.save(
        timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=518, num_classes=0).state_dict(), path
    )
    return f"dinov2:{path}"


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    evidence(count)  # draws the images where that is still to do
    embedded = metrics(JUDGE)
    shared = median(lambda: score(embedded, count))
    apart = sum(median(lambda name=name: score({name: embedded[name]}, count)) for name in embedded)
    alone = {name: median(lambda name=name: extract(name, count)) for name in (JUDGE, CLIP)}
    print(f"{count:,} images, {len(embedded)} metrics, two embedded extractors")
    print(f"shared {shared:.2f} s, one pass for each metric {apart:.2f} s: ratio {apart / shared:.2f}")
    print(
        f"the extractors alone {alone[JUDGE]:.2f} s and {alone[CLIP]:.2f} s: all metrics take "
        f"{shared / sum(alone.values()):.2f} times both"
    )
    with tempfile.TemporaryDirectory() as folder:
        name, fewer = random_dinov2(Path(folder)), count // SMALLER
        score(metrics(name), 100)
        slowest, shared = (
            seconds(work) for work in (lambda: extract(name, fewer), lambda: score(metrics(name), fewer))
        )
    print(f"{fewer:,} images, {len(embedded)} metrics, ViT-S/14 of DINOv2 and the embedded CLIP")
    print(
        f"ViT-S/14 alone {slowest:.1f} s, all metrics {shared:.1f} s: {shared / slowest:.2f} times that (at most "
        f"{MOST} expected)"
    )
    return int(shared > MOST * slowest)


if __name__ == "__main__":
    sys.exit(main())
