"""Checks whether this machine is ready. Every check says what it found and, where it fails, what to do."""

import hashlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from t2ibench.core import cache, environment
from t2ibench.core.errors import UserError
from t2ibench.core.version import __version__
from t2ibench.networks import zoo
from t2ibench.runner import suite

DISK_GB = 3  # space for the data set, the features and the images of the largest suite that ships
PYTHON = (3, 11)


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    found: str
    to_do: str = ""


def installed() -> Iterator[Check]:
    """The versions of Python, of this package and of the packages that it needs."""
    here = ".".join(map(str, sys.version_info[:3]))
    yield Check(
        "python", sys.version_info >= PYTHON, here, "" if sys.version_info >= PYTHON else "install Python 3.11 or newer"
    )
    state = environment.code()
    commit = f", commit {state['commit'][:10]}{' with changes' if state['dirty'] else ''}" if state["commit"] else ""
    yield Check("t2ibench", True, f"{__version__}{commit}")
    for package in environment.PACKAGES:
        version = environment.version(package)
        needed = package not in ("torchvision",)
        yield Check(
            package,
            bool(version) or not needed,
            version or "not installed",
            "" if version else f"pip install {package}",
        )


def machine() -> Iterator[Check]:
    """Processor, memory and accelerator. Only too little memory fails."""
    import torch

    yield Check(
        "processor", True, f"{environment.processor()}, {os.cpu_count()} threads, torch uses {torch.get_num_threads()}"
    )
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        yield Check("memory", memory >= 3, f"{memory:.0f} GiB", "" if memory >= 3 else "at least 3 GiB are needed")
    yield Check(
        "accelerator",
        True,
        torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the shipped suites need none",
    )


def folders() -> Iterator[Check]:
    """The folders in which data sets and runs are written."""
    for name, path, to_do in (
        ("cache", cache.home(), "set T2IBENCH_CACHE to a folder that can be written"),
        ("current folder", Path.cwd(), "use another folder, or --out and --work"),
    ):
        yield _attempt(name, lambda path=path: _writable(path), to_do)  # type: ignore[misc]


def _writable(path: Path) -> str:
    path.mkdir(parents=True, exist_ok=True)
    probe = path / f".t2ibench-{os.getpid()}"
    probe.write_bytes(b"")
    probe.unlink()
    free = shutil.disk_usage(path).free / 1e9
    if free < DISK_GB:
        raise UserError(f"{path}: {free:.1f} GB free, the shipped suites take up to {DISK_GB}")
    return f"{path}, {free:.0f} GB free"


def weights() -> Iterator[Check]:
    """Whether every weights file of the zoo has the hash on its card."""
    paths = zoo.available()
    if not paths:
        yield Check("weights", False, f"none in {', '.join(map(str, zoo.folders()))}", "install the package again")
    for name, path in paths.items():
        yield _attempt(name, partial(_sound, path), "get the file again, or take its folder out of T2IBENCH_WEIGHTS")


def _sound(path: Path) -> str:
    content = path.read_bytes()
    expected, hashed = zoo.card(path)["sha256"], hashlib.sha256(content).hexdigest()
    if hashed != expected:
        raise UserError(f"{path}: {len(content):,} bytes with sha256 {hashed[:12]}…, its card expects {expected[:12]}…")
    return f"{len(content) / 1e6:.1f} MB, sha256 {hashed[:12]}…"


def suites() -> Iterator[Check]:
    """Whether every shipped suite can be loaded, with all plug-ins that it names."""
    for name in suite.available():
        yield _attempt(f"suite {name}", partial(_title, name), "mend the file, or install the package again")


def _title(name: str) -> str:
    return suite.load(name).title


def metrics() -> Iterator[Check]:
    """Whether the metrics give the same numbers on this machine as in the shipped baseline.

    These are tiers 0 and 1 of `t2ibench drift`, which take seconds.
    """
    yield _attempt("metrics", _self_test, "see `t2ibench drift --all`; numbers made here do not compare with others'")


def _self_test() -> str:
    from t2ibench.checks.drift import baseline, gate, reports

    known = baseline.read(baseline.SHIPPED)
    verdict = gate.verdict(list(gate.recompute(known, (0, 1))), known, "the shipped baseline")
    summary = " ".join([reports.summary(verdict), verdict.culprit]).strip()
    if verdict.exit_code != 0:
        raise UserError(summary)
    return summary


def _attempt(name: str, check: Callable[[], str], to_do: str) -> Check:
    try:
        return Check(name, True, check())
    except (UserError, OSError, importlib.metadata.PackageNotFoundError) as error:
        return Check(name, False, str(error), to_do)
