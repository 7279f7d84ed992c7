"""How good the zoo's StyleGAN2 is: `fd_avatars`, precision, recall, density and coverage of 10,000 images against the
real test images.

    python benchmarks/studies/stylegan2_quality.py [--weights stylegan2-avatars stylegan2-avatars-2] [--psi 1.0 0.7]
    [--out results/studies/stylegan2_quality.csv] [--sheets results/studies]

`--sheets` also draws 64 images of each generator at psi 1, always of the same seeds, as NAME.png. The row of real
images (validation against test) is what a perfect generator would reach at 2,000 images. Features are the judge's,
which had no part in the training of the generator.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from t2ibench.core.images import to_uint8
from t2ibench.core.progress import track
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.datasets import avatars
from t2ibench.metrics.prdc import prdc
from t2ibench.networks.models import Models
from t2ibench.stats.frechet import frechet_distance

MEASURES = ("fd_avatars", "precision", "recall", "density", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="*", default=["stylegan2-avatars", "stylegan2-avatars-2"])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--psi", type=float, nargs="*", default=[1.0, 0.7], help="truncation")
    parser.add_argument("--out", type=Path, help="also write the table, as CSV")
    parser.add_argument("--sheets", type=Path, help="also draw a sheet of each generator in this folder")
    arguments = parser.parse_args()
    models = Models()
    for name in arguments.weights if arguments.sheets else ():
        sheet(models, name).save(arguments.sheets / f"{name}.png")
    judge = models.judge("attribute-judge-avatars")
    test, val = (avatars.load(avatars.Config(), split) for split in ("test", "val"))

    def features(images: torch.Tensor) -> torch.Tensor:
        return judge.features(images)

    real = features(torch.from_numpy(test.images.read(np.arange(len(test)))))
    sets = {"real (val)": features(torch.from_numpy(val.images.read(np.arange(len(val)))))}
    for name, psi in itertools.product(arguments.weights, arguments.psi):
        generator, parts = models.stylegan2(name), []
        for start in track(range(0, arguments.images, 100), f"{name}, psi {psi:g}"):
            seeds = [derive_seed("quality", k) for k in range(start, min(start + 100, arguments.images))]
            with torch.no_grad():
                parts.append(features(to_uint8(generator(latents(seeds, generator.config.z_dim), psi))))
        sets[f"{name}, psi {psi:g}"] = torch.cat(parts)
    rows = []
    table = Table("images", "n", *MEASURES)
    for name, fake in sets.items():
        same = fake[: len(real)]  # density and coverage depend on n
        values = prdc(real, same)
        numbers = [frechet_distance(fake, real), *(values[key] for key in MEASURES[1:])]
        rows.append({"images": name, "n": len(fake), **dict(zip(MEASURES, numbers, strict=True))})
        table.add_row(name, f"{len(fake):,}", *(f"{number:.3f}" for number in numbers))
    Console().print(table)
    if arguments.out:
        pd.DataFrame(rows).to_csv(arguments.out, index=False, float_format="%.4f")


@torch.no_grad()
def sheet(models: Models, name: str, side: int = 8) -> Image.Image:
    """The images of the seeds 0 to 63 at psi 1, row by row, at twice their size."""
    generator = models.stylegan2(name)
    z = latents([derive_seed("sheet", k) for k in range(side * side)], generator.config.z_dim)
    rows = torch.cat(list(torch.cat(list(to_uint8(generator(z, 1.0))), 2).chunk(side, 2)), 1)
    drawn = Image.fromarray(rows.permute(1, 2, 0).numpy())
    return drawn.resize((2 * drawn.width, 2 * drawn.height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
