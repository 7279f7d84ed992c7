"""A training step with products in bfloat16 beside the same step in float32, on this processor.

    python benchmarks/speed/bfloat16.py [--steps 3]

Processor time of one thread, the fastest of some steps, so that other programs on the machine do not count. Trainings
use bfloat16 only where the processor has matrix units for it (AMX). Exit code 1 where that choice is the slower one for
one of the networks.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import torch

from t2ibench.datasets import avatars
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import FullRecipe
from t2ibench.runner.train import recipes

WITHIN = 1.05  # ratios nearer to 1 are not told apart
NETWORKS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "StyleGAN2": ("stylegan2", "stylegan2", {"bfloat16": True}),
    "GAN-INT-CLS": ("gan_cls", "gan-int-cls", {"preset": "embedded", "precision": "bfloat16"}),
    "Composer": ("composer", "composer", {"precision": "bfloat16", "images": 1000, "phase1_frac": 0.0}),
}


def seconds(recipe: FullRecipe, steps: int, units: bool) -> float:
    """The fastest of some steps, if the processor is taken to have matrix units, or to have none."""
    found = []
    with patch.object(torch.cpu, "_is_amx_tile_supported", lambda: units):
        for index in range(1, steps + 2):  # most have no lazy penalty
            start = time.process_time()
            recipe.step(index, 0.5)
            found.append(time.process_time() - start)
    return min(found[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    units, wrong = torch.cpu._is_amx_tile_supported(), 0
    print(f"matrix units for bfloat16: {'yes' if units else 'no'}")
    splits = [avatars.load(avatars.Config(), name) for name in ("train", "val")]
    for name, (module, part, given) in NETWORKS.items():
        recipe = recipes(module).recipe(part, given, *splits, Models(), 0)
        single, half = (seconds(recipe, arguments.steps, units) for units in (False, True))
        print(f"{name}: {single:.2f} s in float32, {half:.2f} s in bfloat16, ratio {half / single:.2f}", flush=True)
        wrong |= half > WITHIN * single if units else single > WITHIN * half
    print("as expected" if not wrong else "the other choice would be faster")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
