"""What is known of drawings before they are drawn: hashes of the three splits, and the parts that make the regions.

A run draws the images that it reads, and no others: there are 32 bytes for each. The parts of the images behind the
regions, nine drawings each, are there as they are.

A file is named by the key of its image set. With other versions of the drawing packages, or another `attributes.yaml`,
the key is another one; then there is no file, and all is drawn. `python -m t2ibench.datasets.avatars.write_known`
writes the files.
"""

import io
from collections.abc import Callable, Sequence
from importlib.resources import files

import numpy as np

from t2ibench.core.images import pixel_hash
from t2ibench.datasets.avatars import draw

FOLDER = files(__package__).joinpath("known")
PROBES = 16  # images that are drawn to test whether this machine draws the known images
PARTS_PROBED = 4  # images whose parts are


def name_of(key: str) -> str:
    """The name of the file of an image set with this key."""
    return f"{key[:16]}.sha256"


def hashes(key: str) -> list[str]:
    """sha256 of the pixels of each image of an image set, in hexadecimal; an empty list if there is no file for it."""
    file = FOLDER.joinpath(name_of(key))
    content = file.read_bytes() if file.is_file() else b""
    return [content[start : start + 32].hex() for start in range(0, len(content), 32)]


def parts(key: str, draw: Callable[[int], np.ndarray]) -> np.ndarray | None:
    """The part that each pixel of each image of an image set shows, uint8 [N, H, W].

    None if there is no file for it, or this machine draws other parts. draw: those of a row, [H, W].
    """
    file = FOLDER.joinpath(f"{key[:16]}.npz")
    if not file.is_file():
        return None
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
        labels = arrays["parts"]
    rows = range(0, len(labels), -(-len(labels) // PARTS_PROBED))
    return labels if all((draw(row) == labels[row]).all() for row in rows) else None


def holds(hashes: Sequence[str], job: Callable[[int], draw.Job], size: int) -> bool:
    """Whether about PROBES of the images have these hashes when they are drawn here. job: the job of a row."""
    rows = range(0, len(hashes), -(-len(hashes) // PROBES))
    return all(pixel_hash(draw.on_white(draw.draw(job(row), size))) == hashes[row] for row in rows)
