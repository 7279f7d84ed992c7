"""`python -m build` gives a wheel that holds the plug-ins and the zoo, and runs outside the checkout.

The lines are those of the job `wheel` in .github/workflows/tests.yml. pip installs without dependencies into a folder
of its own, since those are here already.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from t2ibench.networks import zoo
from t2ibench.runner import suite

ROOT = Path(__file__).parent.parent
NEEDED = (
    "t2ibench",
    "methods",
    "metrics",
    "datasets",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
STEPS = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))["jobs"]["wheel"]["steps"]
LINES = [step["run"] for step in STEPS if "run" in step]
TOOLS = 'python -m pip install build "setuptools>=77"'


@pytest.mark.slow
def test_the_wheel_holds_everything_and_runs_outside_the_checkout(tmp_path):
    for module in ("build", "setuptools"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 't2ibench[dev-all]'")
    assert LINES[0] == TOOLS
    checkout, site, programs = tmp_path / "checkout", tmp_path / "site", tmp_path / "programs"
    for name in NEEDED:
        path, copy = ROOT / name, checkout / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, copy)
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(site / "bin"), str(programs), os.environ["PATH"]]),
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    said = ""
    for line in LINES[1:]:
        done = subprocess.run(["bash", "-ec", line], cwd=checkout, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        said = done.stdout
    assert "2 of 2 cells made now" in said
    [wheel], [source] = (checkout / "dist").glob("*.whl"), (checkout / "dist").glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("methods", "metrics", "datasets"):
        own = {path.relative_to(ROOT) for path in (ROOT / kind).rglob("*") if path.suffix in (".py", ".yaml")}
        assert {f"t2ibench/{path.as_posix()}" for path in own} <= names
    for path in [*zoo.available().values(), *suite.available().values()]:
        assert f"t2ibench/{Path(path).relative_to(ROOT / 't2ibench').as_posix()}" in names
    assert source.stat().st_size > 1_000_000
    where = subprocess.run(
        [sys.executable, "-c", "import t2ibench; print(t2ibench.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert Path(where.stdout.strip()).parent == site / "t2ibench"
