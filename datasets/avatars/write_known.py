"""Write what `known` reads, as this machine draws it: `python -m t2ibench.datasets.avatars.write_known`."""

from pathlib import Path

import numpy as np

from t2ibench.core.images import pixel_hash
from t2ibench.data.image_sets import ImagesToMake
from t2ibench.datasets.avatars.known import FOLDER, name_of


def write() -> None:
    """Write all files."""
    from t2ibench.datasets import avatars

    for name in ("train", "val", "test"):
        images = avatars.load(avatars.Config(), name).images
        if isinstance(images, ImagesToMake):  # they are known: draw them all the same
            hashes = [pixel_hash(image) for chunk in images.draw(range(len(images))) for image in chunk]
        else:
            hashes = list(images.digests())
        path = Path(str(FOLDER)) / name_of(avatars.image_set_key(avatars.Config(), name, len(images)).key)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(map(bytes.fromhex, hashes)))
        print(f"wrote {path}: {len(images):,} hashes")
    rows = list(range(avatars.REGIONS_IMAGES))
    parts = np.concatenate([avatars.masks(avatars.Config(), avatars.REGIONS_SPLIT, [row]) for row in rows])
    path = path.with_name(f"{avatars.region_parts_key(avatars.Config()).key[:16]}.npz")
    np.savez_compressed(path, parts=parts.astype(np.uint8))
    print(f"wrote {path}: the parts of {len(rows):,} images")


if __name__ == "__main__":
    write()
