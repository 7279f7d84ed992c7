"""How near does an image come back from its inversion, and is the noise in between of unit deviation?

python benchmarks/studies/composer_inversion.py [--weights composer-avatars] [--images 16] [--out results/studies]

Writes composer_inversion.json and .md. Images of the split `val` are inverted by Composer's base under their first
caption, and drawn again under the same caption without guidance. A step costs as many passes as it is made times on the
way there, and one on the way back. Minutes.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core import storage
from t2ibench.core.images import to_float
from t2ibench.data.dataset import opened
from t2ibench.methods.composer import Config, Method
from t2ibench.methods.composer.conditions import Conditions
from t2ibench.methods.composer.decompose import resized
from t2ibench.methods.composer.sampling import Drawing
from t2ibench.networks.models import Models

TRIED = [(20, 1), (50, 1), (20, 2), (20, 3)]  # steps, and how many times each is made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=Config.weights)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--out", type=Path, help="also write the table there")
    arguments = parser.parse_args()
    val, models = opened("avatars", {}).split("val").take(range(arguments.images)), Models()
    method = Method(Config(weights=arguments.weights, upsampler="", prior=""), models)
    pixels = resized(torch.from_numpy(val.images.read(range(arguments.images))), method.drawing.model.shape.image_size)
    images = to_float(pixels).to(models.device)
    captions = method.reader.captions([captions[0] for captions in val.captions]).to(models.device)
    found = [round_trip(steps, iterations, images, captions, method) for steps, iterations in TRIED]
    text = page(arguments.weights, found)
    print(text)
    if arguments.out is not None:
        content = {"weights": arguments.weights, "images": arguments.images, "found": found}
        storage.publish(arguments.out / "composer_inversion.json", [(json.dumps(content, indent=1) + "\n").encode()])
        storage.publish(arguments.out / "composer_inversion.md", [text.encode()])


def round_trip(steps: int, iterations: int, images: Tensor, captions: Conditions, method: Method) -> dict[str, float]:
    """The error of images [N, 3, R, R] that come back: root mean square, and of the brightness of each, in [-1, 1]."""
    config = Config(weights=method.config.weights, inversion_iterations=iterations)
    drawing = Drawing(method.drawing.model, config)
    noise = drawing.invert(images, captions, steps)
    error = drawing.way_back(noise, captions, captions, 1.0, steps) - images
    return {
        "steps": steps,
        "iterations": iterations,
        "error": error.square().mean().sqrt().item(),
        "brightness": error.mean((1, 2, 3)).abs().mean().item(),
        "noise": noise.std().item(),
    }


def page(weights: str, found: Sequence[Mapping[str, float]]) -> str:
    lines = [
        "# How near an image comes back from its inversion",
        "",
        f"Made by `python benchmarks/studies/composer_inversion.py --out results/studies`, with `{weights}`.",
        "",
        "| steps | times each | passes there | error | error of the brightness | deviation of the noise |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        steps, times = row["steps"], row["iterations"]
        measured = " | ".join(f"{row[key]:.3f}" for key in ("error", "brightness", "noise"))
        lines.append(f"| {steps} | {times} | {steps * times} | {measured} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
