"""Hashes of images that ship with this package, so that a run that reads no pixel of a large split need not draw it.

A split has one file with 32 bytes an image, named by the key of its image set. With other versions of the drawing
packages, or another `attributes.yaml`, the key is another one; such a split has no file and is drawn at once.
`python -m t2ibench.datasets.avatars.write_known` writes the file of the training split.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files

from t2ibench.core.images import pixel_hash
from t2ibench.datasets.avatars import draw

FOLDER = files(__package__).joinpath("known")
PROBES = 16  # images that are drawn to test whether this machine draws the known images


def name_of(key: str) -> str:
    """The name of the file of an image set with this key."""
    return f"{key[:16]}.sha256"


def hashes(key: str) -> list[str]:
    """sha256 of the pixels of each image of an image set, in hexadecimal; an empty list if there is no file for it."""
    file = FOLDER.joinpath(name_of(key))
    content = file.read_bytes() if file.is_file() else b""
    return [content[start : start + 32].hex() for start in range(0, len(content), 32)]


def holds(hashes: Sequence[str], job: Callable[[int], draw.Job], size: int) -> bool:
    """Whether about PROBES of the images have these hashes when they are drawn here. job: the job of a row."""
    rows = range(0, len(hashes), -(-len(hashes) // PROBES))
    return all(pixel_hash(draw.on_white(draw.draw(job(row), size))) == hashes[row] for row in rows)
