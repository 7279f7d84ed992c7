"""Images a second from JPEG files beside clean-fid's loader and torch's DataLoader, with one and with two workers; and
`score` beside clean-fid on the same files.

python benchmarks/speed/decoding.py [--images 10000] [--side 256] [--no-score]

Expected, or exit code 1: at least as many images a second as the others, and `fid`, `kid` and `prdc` in one pass in no
more time than clean-fid needs for FID and KID, which reads every folder twice for them. All run in turn in one process,
with two threads of torch, and each rate is the best of its rounds; a machine that does other work shows little.

- DataLoader: Pillow's decoding to uint8 tensors, in worker processes, in batches of 64.
- clean-fid: the same, resized to 299 pixels as clean-FID does it.
- `score`: features of a network of 100,000 multiplications a pixel, the same for both: Inception's weights are not
  ours to ship. With T2IBENCH_INCEPTION it is Inception.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from cleanfid import fid as clean
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from t2ibench.core import readers
from t2ibench.core.readers import Ahead
from t2ibench.data.folders import Files
from t2ibench.networks.inception import clean_resized

BATCH, ROUNDS, CLOSE = 64, 3, 0.97  # a rate within 3 % is the same rate


def write(folder: Path, count: int, side: int) -> list[Path]:
    """Smooth pictures with some noise: about 25 kB at 256 pixels, as photos have."""
    folder.mkdir()
    random = np.random.default_rng(0)
    noise = random.integers(-12, 12, (side, side, 3))
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8))
        pixels = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), int)
        pixels = pixels + np.roll(noise, number, (0, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=90)
    return sorted(folder.iterdir())


class Decoded(Dataset[Tensor]):
    """What people write for torch's DataLoader."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def ours(paths: list[Path], workers: int, resized: bool) -> Iterator[object]:
    """Batches as the extractor of clean-FID gets them, and what it does to them first."""
    store = Files(paths, None)
    with readers.so_many(workers):
        spans = [range(start, min(start + BATCH, len(paths))) for start in range(0, len(paths), BATCH)]

        def batch(number: int) -> np.ndarray:
            images = store.read(spans[number])
            return clean_resized(images, 299) if resized else images

        ahead = Ahead(batch, len(spans))
        for number in range(len(spans)):
            yield ahead(number)


def theirs(paths: list[Path], workers: int, resized: bool) -> Iterator[object]:
    dataset = clean.ResizeDataset([str(path) for path in paths], mode="clean") if resized else Decoded(paths)
    yield from DataLoader(dataset, BATCH, num_workers=workers)


def rate(batches: Callable[[], Iterator[object]], count: int) -> tuple[float, float]:
    """Images a second, and images a second of processor time, of this process and its children."""
    before, start = os.times(), time.perf_counter()
    for _ in batches():
        pass
    seconds, after = time.perf_counter() - start, os.times()
    return count / seconds, count / (sum(after[:4]) - sum(before[:4]))


class Small(torch.nn.Module):
    """Stands for Inception where that is not on this disk: 2,048 features."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(2048, 3 * 23 * 23, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: Tensor) -> Tensor:
        """From floats [B, 3, 299, 299] to [B, 2048]."""
        small = torch.nn.functional.avg_pool2d(images, 13)
        return torch.relu(small.flatten(1) @ self.weights.T / 1000)


@contextmanager
def small_network(network: torch.nn.Module) -> Iterator[None]:
    """`inception` is `network` in this context."""
    from t2ibench.networks import extractors
    from t2ibench.networks.inception import resized
    from t2ibench.scoring import evidence

    def find(models: object, name: str) -> extractors.Extractor:
        return extractors.Extractor(name, "0" * 64, "clean299", lambda images: network(resized(images, name)))

    before, evidence.find = evidence.find, find
    try:
        yield
    finally:
        evidence.find = before


def scored(made: Path, real: Path) -> float:
    """Seconds of fid, kid and prdc by t2ibench, with an empty cache."""
    from t2ibench import score_images

    with tempfile.TemporaryDirectory() as cache:
        os.environ["T2IBENCH_CACHE"] = cache
        start = time.perf_counter()
        score_images(made, real, ["fid", "kid", "prdc"], extractor="inception")
        return time.perf_counter() - start


def scored_by_clean_fid(made: Path, real: Path, network: torch.nn.Module, workers: int) -> float:
    """Seconds of FID and KID by clean-fid, which extracts the features of both folders for each."""

    def features(images: Tensor) -> Tensor:  # what its own wrapper of Inception does
        return network((images - 128) / 128)

    cpu = torch.device("cpu")

    def of(folder: Path) -> np.ndarray:
        found: np.ndarray = clean.get_folder_features(
            str(folder), features, workers, batch_size=BATCH, device=cpu, mode="clean", verbose=False
        )
        return found

    start = time.perf_counter()
    fake, reference = of(made), of(real)  # of FID
    clean.frechet_distance(fake.mean(0), np.cov(fake, rowvar=False), reference.mean(0), np.cov(reference, rowvar=False))
    clean.kernel_distance(of(made), of(real))
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-score", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(2)
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        made, real = Path(folder) / "made", Path(folder) / "real"
        paths = write(made, given.images, given.side)
        for resized, name in ((False, "DataLoader"), (True, "clean-fid")):
            for workers in (1, 2):
                rates = []
                for _ in range(given.rounds):
                    one = rate(lambda w=workers, r=resized: ours(paths, w, r), len(paths))  # type: ignore[misc]
                    other = rate(lambda w=workers, r=resized: theirs(paths, w, r), len(paths))  # type: ignore[misc]
                    rates.append((one, other))
                (mine, mine_cpu), (other_rate, other_cpu) = (
                    tuple(max(values) for values in zip(*(pair[side] for pair in rates), strict=True))
                    for side in (0, 1)
                )
                fine &= mine >= CLOSE * other_rate
                print(
                    f"{'decoded and resized' if resized else 'decoded'}, {workers} worker{'s' * (workers > 1)}: "
                    f"{mine:,.0f} images/s, {name} {other_rate:,.0f} ({mine / other_rate:.2f} times); of a second of "
                    f"processor {mine_cpu:,.0f} and {other_cpu:,.0f}",
                    flush=True,
                )
        if not given.no_score:
            write(real, given.images, given.side)
            network = Small().eval()
            with torch.no_grad(), small_network(network):
                seconds = [(scored(made, real), scored_by_clean_fid(made, real, network, 2)) for _ in range(2)]
            mine, other_seconds = (min(values) for values in zip(*seconds, strict=True))
            fine &= mine * CLOSE <= other_seconds
            print(f"score: fid, kid, prdc in {mine:,.1f} s; clean-fid: FID and KID in {other_seconds:,.1f} s")
    print("as expected" if fine else "expected at least as fast")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
