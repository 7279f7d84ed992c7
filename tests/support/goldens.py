"""Stored inputs, and the numbers that public packages make of them (data/golden/README.md)."""

import json
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parents[1] / "golden"
VALUES: dict[str, dict[str, float]] = {
    name: {key: entry["value"] for key, entry in group.items()}
    for name, group in json.loads((FOLDER / "values.json").read_text("utf-8"))["groups"].items()
}


def tensors(file: str) -> dict[str, torch.Tensor]:
    with np.load(FOLDER / f"{file}.npz") as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def pair(file: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The two feature sets x and y of a file, float32."""
    found = tensors(file)
    return found["x"], found["y"]
