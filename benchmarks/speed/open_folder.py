"""Seconds and bytes to open a folder of 100,000 images of 256 pixels. Expected: 10 s at most, no image, or exit code 1.

python benchmarks/speed/open_folder.py [--images 100000]

The bytes are those that this process asked the system for (Linux). The metadata is read, the images are not.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from t2ibench.data.given_images import made_images
from t2ibench.datasets import image_folder

SECONDS, SPARE = 10.0, 2**20  # bytes that Python reads for itself


def write(root: Path, count: int) -> None:
    """A folder of images with a metadata.jsonl, in folders of a thousand."""
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), (40, 90, 200)).save(buffer, "PNG")
    names = [f"{row // 1000}/{row}.png" for row in range(count)]
    for name in names:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(buffer.getvalue())
    rows = ({"file_name": name, "text": f"a blue image, number {row}", "blue": "yes"} for row, name in enumerate(names))
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def bytes_read() -> int | None:
    """The bytes that this process has read so far; None where the system does not count them."""
    try:
        return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])
    except (OSError, IndexError):
        return None


def measured(what: str, open_it: Callable[[], object], text_bytes: int) -> bool:
    """Print seconds and bytes of opening. Returns whether both are as expected."""
    before, start, busy = bytes_read(), time.perf_counter(), time.process_time()
    open_it()
    seconds, busy, after = time.perf_counter() - start, time.process_time() - busy, bytes_read()
    if before is None or after is None:
        print(f"{what}: {seconds:.1f} s ({SECONDS:g} s at most), {busy:.1f} s of a core; bytes are not counted here")
        return seconds <= SECONDS
    beyond = after - before - text_bytes
    print(
        f"{what}: {seconds:.1f} s ({SECONDS:g} s at most), {busy:.1f} s of a core; {after - before:,} bytes read, "
        f"{beyond:,} of them no metadata"
    )
    return seconds <= SECONDS and beyond <= SPARE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, count)
        texts = (root / "metadata.jsonl").stat().st_size
        print(f"{count:,} images in {len(list(root.iterdir())) - 1} folders, metadata of {texts:,} bytes")
        sound = [
            measured("the data set", lambda: image_folder.load(image_folder.Config(root), "test"), texts),
            measured("images to be scored", lambda: made_images(root, None, None), texts),
        ]
        (root / "metadata.jsonl").unlink()
        sound.append(measured("images without texts", lambda: made_images(root, None, None), 0))
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main())
