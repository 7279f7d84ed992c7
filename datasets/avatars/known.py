"""The hashes of images that ship with this package, so that a run that reads no pixel of a large split need not draw
it.

One file a split, of 32 bytes an image, named by the key of its image set: other drawing packages, or another sheet,
have another key, and such splits are drawn at once. `python -m t2ibench.datasets.avatars.write_known` writes the
file of the training split where there is none yet.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files

from t2ibench.core.images import pixel_hash
from t2ibench.datasets.avatars import draw

FOLDER = files(__package__).joinpath("known")
PROBES = 16  # images that are drawn to see whether this machine draws as it is known


def name_of(key: str) -> str:
    return f"{key[:16]}.sha256"


def hashes(key: str) -> list[str]:
    """sha256 of the pixels of every image of an image set, in hexadecimal; none where they do not ship."""
    file = FOLDER.joinpath(name_of(key))
    content = file.read_bytes() if file.is_file() else b""
    return [content[start : start + 32].hex() for start in range(0, len(content), 32)]


def holds(hashes: Sequence[str], job: Callable[[int], draw.Job], size: int) -> bool:
    """Whether some of the images, the jobs of their rows drawn here, have these hashes."""
    rows = range(0, len(hashes), -(-len(hashes) // PROBES))
    return all(pixel_hash(draw.on_white(draw.draw(job(row), size))) == hashes[row] for row in rows)
