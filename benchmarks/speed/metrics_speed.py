"""Each metric against the package that people take for it, on the same features in one run. Some minutes.

    OMP_NUM_THREADS=1 python benchmarks/speed/metrics_speed.py [--out results/studies/metrics_speed.json] [--rows 5000]
    [--dimension 2048]

Times are seconds of processor time of one process, so a busy machine changes them little; the fastest of `repeats` is
taken. KID of other packages is the mean over 100 random subsets of 1,000; 10 of them are timed and counted ten times.
Packages that are not installed (`prdc`, with scikit-learn) are left out. The Fréchet distance is of the first 1,024
features; benchmarks/speed/frechet.py has 2,048.
"""

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from t2ibench.core import environment, storage
from t2ibench.metrics.kid import kid
from t2ibench.metrics.prdc import prdc
from t2ibench.stats.frechet import Moments, frechet_distance

SUBSETS, TIMED, FRECHET = 100, 10, 1024


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    """n features like Inception's: rectified, correlated, with a spectrum that decays; float32."""
    basis = torch.randn(d, d, generator=torch.Generator().manual_seed(0)) / d**0.5
    hidden = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * torch.linspace(1, 0.1, d)
    return torch.relu(hidden @ basis + 0.3 + shift)


def seconds(work: Callable[[], Any], repeats: int, times: float = 1.0) -> tuple[float, Any]:
    """The fastest of some repeats, times a factor, and what the work gave."""
    found, spent = None, []
    for _ in range(repeats):
        started = time.process_time()
        found = work()
        spent.append(time.process_time() - started)
    return min(spent) * times, found


def root(fake: Moments, real: Moments) -> float:
    """The distance as pytorch-fid and clean-fid compute it."""
    product = np.asarray(scipy.linalg.sqrtm(fake.covariance.numpy() @ real.covariance.numpy()))
    gap = (fake.mean - real.mean).square().sum() + fake.covariance.trace() + real.covariance.trace()
    return float(gap) - 2 * float(np.trace(product).real)


def kid_of_torchmetrics(fake: Tensor, real: Tensor) -> float:
    from torchmetrics.image.kid import KernelInceptionDistance

    metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=TIMED, subset_size=1000)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute()[0])


def peers(fake: Tensor, real: Tensor, repeats: int) -> dict[str, dict[str, Any]]:
    """By metric and peer: seconds of both, their ratio, and both values."""
    from cleanfid.fid import kernel_distance

    sides, arrays = tuple(Moments.of(side[:, :FRECHET]) for side in (fake, real)), (fake.numpy(), real.numpy())
    doubles = tuple(array.astype(np.float64) for array in arrays)
    ours = {
        "frechet": seconds(lambda: frechet_distance(*sides), repeats),
        "kid": seconds(lambda: kid(fake, real)[0], repeats),
    }
    times = SUBSETS / TIMED
    theirs = {
        ("frechet", f"scipy {version('scipy')} sqrtm, float64"): seconds(lambda: root(*sides), 1),
        ("kid", f"clean-fid {version('clean-fid')}, float32"): seconds(
            lambda: kernel_distance(*arrays, num_subsets=TIMED), repeats, times
        ),
        ("kid", f"clean-fid {version('clean-fid')}, float64"): seconds(
            lambda: kernel_distance(*doubles, num_subsets=TIMED), 1, times
        ),
        ("kid", f"torchmetrics {version('torchmetrics')}, float32"): seconds(
            lambda: kid_of_torchmetrics(fake, real), repeats, times
        ),
    }
    if importlib.util.find_spec("prdc") is not None:
        from prdc import compute_prdc

        ours["prdc"] = seconds(lambda: prdc(real, fake), repeats)
        theirs["prdc", f"prdc {version('prdc')}, float32"] = seconds(
            lambda: compute_prdc(arrays[1], arrays[0], nearest_k=5), repeats
        )
    found = {}
    for (metric, peer), (spent, value) in theirs.items():
        own, own_value = ours[metric]
        found[f"{metric} | {peer}"] = {
            "t2ibench_seconds": round(own, 3),
            "peer_seconds": round(spent, 3),
            "ratio": round(spent / own, 2),
            "t2ibench_value": own_value,
            "peer_value": {k: float(v) for k, v in value.items()} if isinstance(value, dict) else float(value),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the record to this file")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    fake, real = (
        features(arguments.rows, arguments.dimension, 1, 0.02),
        features(arguments.rows, arguments.dimension, 2),
    )
    kid(fake[:50], real[:50]), frechet_distance(fake[:50, :8], real[:50, :8])  # loads the libraries
    found = peers(fake, real, arguments.repeats)
    for name, row in found.items():
        print(
            f"{name}: t2ibench {row['t2ibench_seconds']:.2f} s, {row['peer_seconds']:.2f} s: {row['ratio']:.1f} times "
            f"as fast"
        )
    if arguments.out is not None:
        facts = {
            "rows": arguments.rows,
            "dimension": arguments.dimension,
            "frechet_dimension": min(FRECHET, arguments.dimension),
            "subsets_timed": TIMED,
            "repeats": arguments.repeats,
            "threads": torch.get_num_threads(),
            "seconds": "of processor time",
            "environment": environment.fingerprint("cpu"),
        }
        storage.publish(arguments.out, (json.dumps({**facts, "compared": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
