"""Images that somebody else made, as a method: a folder whose metadata.jsonl gives the text and the seed of each image.

    root/metadata.jsonl     {"file_name": "0001.png", "text": "a red bird", "seed": 17} a line; `seed` may be left out
    root/0001.png

`t2ibench prompts SUITE` writes such a file for every image that a suite asks for; metadata.csv or .parquet, or a text
file beside each image (`0001.txt`), do as well (`t2ibench.data.texts`). An image with several texts answers each of
them. If the lines of a text have no seed, the request's seed chooses among their images. A request without an image is
a failed sample, and counted as one. Images keep their size. They are turned as their EXIF orientation says; transparent
pixels are an error unless `alpha` says what lies behind them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.decode import REFUSE, Decoding
from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.records import digest
from t2ibench.core.settings import LATER
from t2ibench.data import texts
from t2ibench.data.listing import image_files
from t2ibench.data.pixel_hashes import pixel_hashes
from t2ibench.data.texts import Row
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import TextToImage


@dataclass(frozen=True)
class Config:
    root: Path
    trained_on: str = "unknown"  # what the model behind the images was trained on, for the record
    # what becomes of transparent pixels: `refuse`, `drop`, or the colour that lies behind them
    alpha: str = field(default=REFUSE, metadata=LATER)


class Method:
    """Looks images up. The record holds the hash of their pixels, texts and seeds in place of a network's weights."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for a folder without texts, a line that is wrong, an image that is missing, or two images
        that answer the same text with the same seed.
        """
        self.trained_on, self.decoding = config.trained_on, Decoding("turn", config.alpha)
        self.by_seed: dict[tuple[str, int], Path] = {}
        self.by_text: dict[str, list[Path]] = {}
        rows = lines(config.root)
        pixels = pixel_hashes([path for path, _, _ in rows], self.decoding)
        content = digest([[text, seed, image.sha256] for (_, text, seed), image in zip(rows, pixels, strict=True)])
        for path, text, seed in rows:
            if seed is None:
                self.by_text.setdefault(text, []).append(path)
            elif self.by_seed.setdefault((text, seed), path) != path:
                raise UserError(
                    f"{config.root}: {self.by_seed[text, seed].name} and {path.name} both answer {text!r} with seed "
                    f"{seed}: take one of them out"
                )
        models.used[f"images of {config.root.name}"] = {
            "sha256": content,
            "data": config.trained_on,
            "optimised_for": None,
        }

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """Images of requests, uint8 [B, 3, H, W]. Raises ValueError if one is missing, UserError for two sizes."""
        images = [read_image(self.find(request), self.decoding).transpose(2, 0, 1) for request in requests]
        if len(shapes := {image.shape for image in images}) > 1:
            raise UserError(
                f"the images of a folder must be of one size, found "
                f"{' and '.join(f'{w}x{h}' for _, h, w in sorted(shapes))}"
            )
        return torch.from_numpy(np.stack(images))

    def find(self, request: TextToImage) -> Path:
        """The image that answers a request."""
        text = request.prompt.strip()
        if (path := self.by_seed.get((text, request.seed))) is not None:
            return path
        if not (paths := self.by_text.get(text)):
            raise ValueError(f"no image answers {request.prompt!r} with seed {request.seed}")
        return paths[request.seed % len(paths)]


def lines(root: Path) -> list[tuple[Path, str, int | None]]:
    """Every text of every line as (image, text, seed), in the order of the lines; the seed may be None."""
    if not root.is_dir():
        raise UserError(f"{root} {'is no folder' if root.exists() else 'does not exist'}: expected a folder of images")
    listing = image_files(root)
    description = texts.described(listing) if listing.images or listing.others else None
    if description is None:
        raise UserError(
            f"{root / 'metadata.jsonl'} is missing: expected a line for every image, as `t2ibench prompts SUITE` "
            f"writes them"
        )
    images, rows = set(listing.images), []
    for row in description.rows:
        if row.file not in images:
            raise UserError(f"{row.where}: {root / str(row.file)} is missing: make it, or take its line out")
        rows += [(root / row.file, text, _seed(row)) for text in row.texts]
    return rows


def _seed(row: Row) -> int | None:
    """The seed of a line; None if it has none. Raises UserError for anything that is no whole number."""
    value = row.more.get("seed")
    if value is None or value == "":
        return None
    exact = isinstance(value, float) and value.is_integer() and abs(value) < 2**53  # larger floats have lost digits
    if (isinstance(value, int) and not isinstance(value, bool)) or exact:
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
        return int(value)
    raise UserError(f"{row.where}: seed is {str(value)[:40]!r}, expected a whole number")
