"""Images a second from the cache of `avatars`, in batches of random rows. Expected: 20,000 or more, or exit code 1.

python benchmarks/speed/data_loading.py
"""

import sys
import time

import numpy as np

from t2ibench.datasets import avatars

RATE = 20_000


def main() -> int:
    images = avatars.load(avatars.Config(), "train").images
    images.read([0])  # draws and checks all of them where that is still to do
    generator, medians = np.random.default_rng(0), []
    for batch in (64, 256):
        rates = []
        for _ in range(5):
            rows = [generator.integers(0, len(images), batch) for _ in range(20_000 // batch)]
            start = time.perf_counter()
            for row in rows:
                images.read(row)
            rates.append(len(rows) * batch / (time.perf_counter() - start))
        medians.append(float(np.median(rates)))
        print(
            f"batch {batch}: median {medians[-1]:,.0f} images/s (min {min(rates):,.0f}, max {max(rates):,.0f}; "
            f"{RATE:,} expected)"
        )
    return int(min(medians) < RATE)


if __name__ == "__main__":
    sys.exit(main())
