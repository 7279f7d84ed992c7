"""The machine, the packages and the code that made a number. Every record holds them."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from t2ibench.core.version import __version__

PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "torchvision",
    "pillow",
    "pandas",
    "open_clip_torch",
    "torchmetrics",
    "clean-fid",
    "safetensors",
)
CODE = ("t2ibench", "methods", "metrics", "datasets")


def fingerprint(device: str = "cpu") -> dict[str, Any]:
    """Versions, platform, processor, threads, and the device: its name, its memory, and whether TF32 is allowed."""
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "cpus": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "device_memory_bytes": torch.cuda.get_device_properties(device).total_memory if on_gpu else None,
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "tf32_cudnn": bool(torch.backends.cudnn.allow_tf32),
    }


def version(package: str) -> str:
    """The installed version of a package, "" where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def code() -> dict[str, Any]:
    """Version of the package; in a checkout also the commit, and whether the code was changed after it."""
    root = Path(__file__).resolve().parent.parent.parent
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    dirty = (
        bool(_git(root, "status", "--porcelain", "--", *(name for name in CODE if (root / name).exists())))
        if commit
        else None
    )
    return {"version": __version__, "commit": commit, "dirty": dirty}


@functools.cache
def changed(path: Path) -> bool:
    """Whether a file or folder of a checkout of this package is not as it was committed; False where it is installed.

    It is looked up once in a process.
    """
    root = Path(__file__).resolve().parent.parent.parent
    inside = (root / ".git").exists() and path.is_relative_to(root)
    return bool(inside and _git(root, "status", "--porcelain", "--", str(path)))


def reset_peak_memory(device: str = "cpu") -> None:
    """Let `peak_memory` of a device start again from now, if the system can do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.startswith("cuda"):
        sys.modules["torch"].cuda.reset_peak_memory_stats(device)


def peak_memory(device: str = "cpu") -> int | None:
    """The most memory this process has held since the reset, in bytes: that of the GPU if the device is one.

    None where the system does not say it.
    """
    if device.startswith("cuda"):
        return int(sys.modules["torch"].cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def free_memory() -> int | None:
    """Bytes of memory that may be used besides, of this machine and of its container; None where it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    except (OSError, ValueError):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    return max(0, min(free)) if free else None
