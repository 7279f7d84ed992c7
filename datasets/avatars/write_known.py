"""Write what `known` reads, as this machine draws it: `python -m t2ibench.datasets.avatars.write_known`."""

from pathlib import Path

import numpy as np

from t2ibench.datasets.avatars.known import FOLDER, name_of


def write() -> None:
    """Write both files."""
    from t2ibench.datasets import avatars

    images = avatars.load(avatars.Config(), "train").images
    key = avatars.image_set_key(avatars.Config(), "train", len(images)).key
    path = Path(str(FOLDER)) / name_of(key)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(bytes.fromhex, images.digests())))
    print(f"wrote {path}: {len(images):,} hashes")
    rows = list(range(avatars.REGIONS_IMAGES))
    parts = np.concatenate([avatars.masks(avatars.Config(), avatars.REGIONS_SPLIT, [row]) for row in rows])
    path = path.with_name(f"{avatars.region_parts_key(avatars.Config()).key[:16]}.npz")
    np.savez_compressed(path, parts=parts.astype(np.uint8))
    print(f"wrote {path}: the parts of {len(rows):,} images")


if __name__ == "__main__":
    write()
