"""The fingerprint of an environment: everything around a number that may change it.

That is packages, their compiled libraries, switches, weights, the machine and the files of this package.
"""

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import features as pillow

from t2ibench.core import environment
from t2ibench.networks import zoo

ROOT = Path(__file__).resolve().parent.parent.parent
MORE = ("open_clip_torch", "dicebear-core", "dicebear-styles", "resvg-py", "scikit-image")
LIBRARIES = ("jpg", "zlib", "webp")


def fingerprint(device: str = "cpu") -> dict[str, Any]:
    """The fingerprint of this environment: for each kind of thing, names with versions, settings or hashes.

    Two fingerprints are of one platform if their `machine` is equal.
    """
    known = environment.fingerprint(device)
    return {
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processor": known["processor"],
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "device": known["device"],
        },
        "packages": {
            "python": known["python"],
            **known["packages"],
            **{name: environment.version(name) for name in MORE},
        },
        "libraries": {
            **{name: str(pillow.version(name)) for name in LIBRARIES},
            "jpeg turbo": str(_turbo()),
            "blas": _blas(),
        },
        "switches": {
            "threads": str(known["threads"]),
            "matmul tf32": str(torch.backends.cuda.matmul.allow_tf32),
            "cudnn tf32": str(torch.backends.cudnn.allow_tf32),
            "deterministic": str(torch.are_deterministic_algorithms_enabled()),
            "float32 matmul": torch.get_float32_matmul_precision(),
            "autocast": str(torch.is_autocast_enabled("cpu")),
        },
        "weights": {name: str(zoo.card(path)["sha256"])[:16] for name, path in zoo.available().items()},
        "files": files(),
        "code": environment.code(),
    }


def files() -> dict[str, str]:
    """The code of the package, methods, metrics and data sets: path to the beginning of its sha256."""
    hashes = {}
    for folder, _, names in os.walk(ROOT, followlinks=True):  # the three plug-in folders may be links
        for name in names:
            if name.endswith((".py", ".yaml")):
                path = Path(folder) / name
                hashes[path.relative_to(ROOT).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return dict(sorted(hashes.items()))


def _turbo() -> Any:
    return pillow.version_feature("libjpeg_turbo")


def _blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload, index]
    return (
        f"{blas.get('name')} {blas.get('version')}; torch "
        f"{'mkl' if torch.backends.mkl.is_available() else 'without mkl'}"
    )
