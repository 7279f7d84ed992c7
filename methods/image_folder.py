"""Images that somebody else made, as a method: a folder whose metadata.jsonl gives the text and the seed of each image.

    root/metadata.jsonl     {"file_name": "0001.png", "text": "a red bird", "seed": 17} a line; `seed` may be left out
    root/0001.png

`t2ibench prompts SUITE` writes such a file for every image that a suite asks for. If the lines of a text have no seed,
the request's seed chooses among their images. A request without an image is a failed sample, and counted as one. Images
are taken as they are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.records import digest
from t2ibench.data.pixel_hashes import pixel_hashes
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import TextToImage


@dataclass(frozen=True)
class Config:
    root: Path
    trained_on: str = "unknown"  # what the model behind the images was trained on, for the record


class Method:
    """Looks images up. The record holds the hash of their pixels, texts and seeds in place of a network's weights."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for a folder without metadata.jsonl, a line that is wrong, or an image that is missing."""
        self.trained_on = config.trained_on
        self.by_seed: dict[tuple[str, int], Path] = {}
        self.by_text: dict[str, list[Path]] = {}
        rows = lines(config.root)
        pixels = pixel_hashes([path for path, _, _ in rows])
        content = digest([[text, seed, image.sha256] for (_, text, seed), image in zip(rows, pixels, strict=True)])
        for path, text, seed in rows:
            if seed is None:
                self.by_text.setdefault(text, []).append(path)
            else:
                self.by_seed[text, seed] = path
        models.used[f"images of {config.root.name}"] = {
            "sha256": content,
            "data": config.trained_on,
            "optimised_for": None,
        }

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """Images of requests, uint8 [B, 3, H, W]. Raises ValueError if one is missing, UserError for two sizes."""
        images = [read_image(self.find(request)).transpose(2, 0, 1) for request in requests]
        if len(shapes := {image.shape for image in images}) > 1:
            raise UserError(
                f"the images of a folder must be of one size, found "
                f"{' and '.join(f'{w}x{h}' for _, h, w in sorted(shapes))}"
            )
        return torch.from_numpy(np.stack(images))

    def find(self, request: TextToImage) -> Path:
        """The image that answers a request."""
        if (path := self.by_seed.get((request.prompt, request.seed))) is not None:
            return path
        if not (paths := self.by_text.get(request.prompt)):
            raise ValueError(f"no image answers {request.prompt!r} with seed {request.seed}")
        return paths[request.seed % len(paths)]


def lines(root: Path) -> list[tuple[Path, str, int | None]]:
    """Every line of metadata.jsonl as (image, text, seed), in order; the seed may be None."""
    path = root / "metadata.jsonl"
    if not path.is_file():
        raise UserError(f"{path} is missing: expected a line for every image, as `t2ibench prompts SUITE` writes them")
    rows: list[tuple[Path, str, int | None]] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            image, text, seed = root / row["file_name"], str(row["text"]), row.get("seed")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f'{path}:{number}: expected {{"file_name": …, "text": …, "seed": …}} ({error})') from error
        if not image.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path}:{number}: {row['file_name']!r} leaves the folder")
        if not image.is_file():
            raise UserError(f"{path}:{number}: {image} is missing: make it, or take its line out")
        rows.append((image, text, None if seed is None else int(seed)))
    return rows
