"""How often the gate between two sources finds planted faults, and how often it passes noise of an allowed size.

    python benchmarks/faults/gate_power.py --out results/studies/gate_power

A is 256 drawn faces of `avatars` at 64 pixels, another choice in each repetition. B is A with noise of the allowed size
(each value off by at most one grey level), and one fault. The gate allows that noise. Quantised weights are those of
GAN-INT-CLS, each tensor rounded to 8 bits; another scheduler is Composer's DDIM in place of DPM-Solver++: of these the
images are drawn once, and a repetition takes other pairs of them.
"""

import argparse
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from t2ibench.checks.gate import means
from t2ibench.checks.gate.distances import FACTOR, limits, noisy
from t2ibench.checks.gate.faults import Picture, Source, faults
from t2ibench.checks.gate.judge import Result, judged
from t2ibench.core.progress import track
from t2ibench.core.settings import configure
from t2ibench.core.storage import publish
from t2ibench.data.dataset import opened
from t2ibench.methods import composer, gan_cls
from t2ibench.networks.models import Models
from t2ibench.stats.intervals import wilson
from t2ibench.tracks.contract import TextToImage

Images = list[np.ndarray]
COUNT, LEVELS, BLOCKS, QUALITY = 256, 1, 4, 90


def some(share: float, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Images, np.random.Generator], Images]:
    """A fault of each image with this probability, and of at least one."""

    def planted(images: Images, random: np.random.Generator) -> Images:
        hit = random.random(len(images)) < share
        hit[random.integers(len(images))] = True
        return [change(image) if bad else image for image, bad in zip(images, hit, strict=True)]

    return planted


def blocks(images: Images, random: np.random.Generator) -> Images:
    """Every 8x8 block of every image off by a whole number of levels, uniform in [-BLOCKS, BLOCKS]."""
    found = []
    for image in images:
        side = -(-image.shape[0] // 8)
        moved = np.kron(random.integers(-BLOCKS, BLOCKS, (side, side), endpoint=True), np.ones((8, 8), int))
        part = moved[: image.shape[0], : image.shape[1], None]
        found.append((image.astype(int) + part).clip(0, 255).astype(np.uint8))
    return found


def shuffled(images: Images, random: np.random.Generator) -> Images:
    """One image is that of another prompt, which is not in the set."""
    row, other = random.choice(len(images), 2, replace=False)
    return [images[other][:, ::-1] if k == row else image for k, image in enumerate(images)]


def compressed(images: Images, random: np.random.Generator) -> Images:
    """JPEG in between: the files are PNG again."""
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
        found.append(np.asarray(Image.open(file)))
    return found


PLANTED: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    "black frames, 2 % of images": some(0.02, np.zeros_like),
    "a grey blank, one image": some(0.0, lambda image: np.full_like(image, 128)),
    f"8x8 blocks off by up to {BLOCKS} levels": blocks,
    "one shuffled prompt": shuffled,
    f"JPEG of quality {QUALITY} in between": compressed,
}


def quantised(network: torch.nn.Module) -> None:
    """Round every weight to 255 steps of the largest one of its tensor."""
    with torch.no_grad():
        for weight in network.parameters():
            step = weight.abs().max() / 127
            weight.copy_((weight / step).round() * step)


def drawn(method: gan_cls.Method | composer.Method, texts: Sequence[str]) -> Images:
    requests = [TextToImage(text, seed) for seed, text in enumerate(texts)]
    parts = [method.text_to_image(requests[i : i + 32]) for i in track(range(0, len(requests), 32), "draw")]
    return [image.permute(1, 2, 0).numpy() for image in torch.cat(parts)]


def sources(texts: Sequence[str]) -> dict[str, tuple[Images, Images]]:
    """Images of two methods and of their variants, drawn once."""
    plain, coarse = (gan_cls.Method(configure(gan_cls.Config, {}, "gan_cls"), Models()) for _ in range(2))
    quantised(coarse.generator)
    first, second = (
        composer.Method(configure(composer.Config, {"sampler": sampler}, "composer"), Models())
        for sampler in ("dpmpp2m", "ddim")
    )
    return {
        "weights of 8 bits (gan-int-cls)": (drawn(plain, texts), drawn(coarse, texts)),
        "another scheduler (composer)": (drawn(first, texts), drawn(second, texts)),
    }


def through(a: Images, b: Images) -> Result:
    """The gate on images in memory, as `compare --gate --noise 1` judges files."""
    names = [f"{row:03}" for row in range(len(a))]
    sides = [
        Source(Path(side), {n: Picture(i, "PNG") for n, i in zip(names, images, strict=True)}, {})
        for side, images in (("a", a), ("b", b))
    ]
    random = np.random.default_rng(0)
    allowed = [noisy(image, LEVELS, random) for image in a]
    margins = means.margins(means.columns(a), [means.columns(allowed)], FACTOR)
    return judged(len(a), names, a, b, list(faults(*sides, names)), limits(a, [allowed], FACTOR), margins)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--images", type=int, default=COUNT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    split = opened("avatars", {}).split("test")
    pool = list(split.images.read(np.arange(min(2000, len(split)))).transpose(0, 2, 3, 1))
    made = sources([split.captions[row][0] for row in range(2 * given.images)])
    rows = {}
    for name in ("nothing: allowed noise alone", *PLANTED, *made):
        found, by = 0, dict.fromkeys(("images", "pairs", "means"), 0)
        for repetition in track(range(given.repetitions), name):
            random = np.random.default_rng(repetition)
            a, b = made.get(name, (pool, pool))
            chosen = random.choice(len(a), given.images, replace=False)
            one, other = [a[row] for row in chosen], [b[row] for row in chosen]
            if name in PLANTED:
                other = PLANTED[name](other, random)
            if name not in made:
                other = [noisy(image, LEVELS, random) if image.any() else image for image in other]
            result = through(one, other)
            found += result.exit_code == 1
            for layer in {case.group for case in result.cases() if case.status == "fail"}:
                by[layer] += 1
        low, high = wilson(found, given.repetitions)
        rows[name] = {"found": found, "of": given.repetitions, "interval": [low, high], "by layer": by}
    facts = {"images": given.images, "noise": LEVELS, "factor": FACTOR, "faults": rows}
    publish(given.out.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    lines = [
        "# Planted faults and the gate between two sources",
        "",
        f"`python benchmarks/faults/gate_power.py`: {given.images} pairs, {given.repetitions} repetitions. Each value "
        f"of a pixel may be off by {LEVELS} grey level.",
        "",
        "| fault | B is refused | 95 % interval | by single images | by pairs | by means |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        low, high = row["interval"]
        by = row["by layer"]
        lines.append(
            f"| {name} | {row['found']} of {row['of']} | {low:.3f} to {high:.3f} | {by['images']} | {by['pairs']} | "
            f"{by['means']} |"
        )
    publish(given.out.with_suffix(".md"), ("\n".join(lines) + "\n").encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
