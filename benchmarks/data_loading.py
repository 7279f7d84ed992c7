"""Images a second from the cache of `avatars`, in batches of random rows. Expected: 20,000 or more.

python benchmarks/data_loading.py
"""

import time

import numpy as np

from t2ibench.datasets import avatars


def main() -> None:
    images = avatars.load(avatars.Config(), "train").images
    generator = np.random.default_rng(0)
    for batch in (64, 256):
        rates = []
        for _ in range(5):
            rows = [generator.integers(0, len(images), batch) for _ in range(20_000 // batch)]
            start = time.perf_counter()
            for row in rows:
                images.read(row)
            rates.append(len(rows) * batch / (time.perf_counter() - start))
        print(f"batch {batch}: median {np.median(rates):,.0f} images/s (min {min(rates):,.0f}, max {max(rates):,.0f})")


if __name__ == "__main__":
    main()
