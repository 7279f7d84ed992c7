"""Fréchet distance against the matrix square root of scipy that other packages call, at d = 2048. About two minutes.

    python benchmarks/speed/frechet.py [dimension]

Both get the same means and covariances and run in turn in one process; the fastest of each is compared. Exit code 1
where t2ibench is not 8 times as fast, or they differ by more than 1e-9 relative.
"""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch

from t2ibench.stats.frechet import Moments, frechet_distance

RATIO, AGREEMENT = 8.0, 1e-9


def moments(n: int, d: int, shift: float, seed: int) -> Moments:
    """Of n features like Inception's: rectified, correlated, with a spectrum that decays."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(d, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / d**0.5
    hidden = torch.randn(n, d, generator=generator, dtype=torch.float64) * torch.linspace(
        1, 0.1, d, dtype=torch.float64
    )
    return Moments.of(torch.relu(hidden @ basis + 0.3 + shift))


def by_square_root(fake: Moments, real: Moments) -> float:
    """The distance as pytorch-fid and clean-fid compute it."""
    root = scipy.linalg.sqrtm(fake.covariance.numpy() @ real.covariance.numpy())
    gap = (fake.mean - real.mean).square().sum() + fake.covariance.trace() + real.covariance.trace()
    return float(gap) - 2 * float(np.trace(np.asarray(root)).real)


def fastest(
    make: Callable[[Moments, Moments], float], sides: tuple[Moments, Moments], times: int
) -> tuple[float, float]:
    seconds, value = [], 0.0
    for _ in range(times):
        started = time.perf_counter()
        value = make(*sides)
        seconds.append(time.perf_counter() - started)
    return value, min(seconds)


def main(d: int) -> int:
    warnings.simplefilter("ignore", DeprecationWarning)
    sides = moments(3 * d, d, 0.0, 1), moments(4 * d, d, 0.02, 2)
    frechet_distance(moments(99, 32, 0.0, 1), moments(99, 32, 0.0, 2))  # loads the libraries
    ours, seconds = fastest(frechet_distance, sides, 3)
    theirs, root_seconds = fastest(by_square_root, sides, 2)
    difference, ratio = abs(ours - theirs) / theirs, root_seconds / seconds
    print(
        f"d = {d}, {torch.get_num_threads()} threads: t2ibench {seconds:.2f} s -> {ours:.12g}, sqrtm "
        f"{root_seconds:.2f} s -> {theirs:.12g}"
    )
    print(
        f"{ratio:.1f} times as fast (at least {RATIO:g} expected); relative difference {difference:.1e} (at most "
        f"{AGREEMENT:g})"
    )
    return int(ratio < RATIO or difference > AGREEMENT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2048))
