"""Builds what setup.cfg says, and refuses where the wheel would lack the plug-ins."""

from pathlib import Path

from setuptools import setup

for kind in ("datasets", "methods", "metrics"):
    if not (Path(__file__).parent / "t2ibench" / kind).is_dir():
        raise SystemExit(
            f"t2ibench/{kind} is no folder but a link that was checked out as a file, so the wheel would lack {kind}: "
            "check out with `git -c core.symlinks=true`, or build on another system"
        )

setup()
