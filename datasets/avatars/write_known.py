"""Write the hashes of the training split that `known` reads: `python -m t2ibench.datasets.avatars.write_known`."""

from pathlib import Path

from t2ibench.datasets.avatars.known import FOLDER, name_of


def write() -> None:
    """Write the file of the training split, from its images as this machine draws them."""
    from t2ibench.datasets import avatars

    images = avatars.load(avatars.Config(), "train").images
    key = avatars.image_set_key(avatars.Config(), "train", len(images)).key
    path = Path(str(FOLDER)) / name_of(key)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(bytes.fromhex, images.digests())))
    print(f"wrote {path}: {len(images):,} hashes")


if __name__ == "__main__":
    write()
