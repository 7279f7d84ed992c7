"""The drift action in somebody else's repository: its `run:` lines, executed there as GitHub would, but for downloads.

The repository has a method of its own (`t2ibench new method`), a suite of its own prompts, and a baseline of both.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / ".github/actions/drift/action.yml").read_text("utf-8"))
COPIED = yaml.safe_load((ROOT / "docs/drift-workflow.yml").read_text("utf-8"))
SUITE = """# Our prompts. Seconds.
dataset: {name: prompts, file: texts.txt}
methods: [noisy]
prompts: {captions: 12}
metrics: [{name: clip_score, clip: clip-judge-avatars}]
"""
PROGRAM = """#!/bin/sh
# python, but what would be downloaded is only written down
case "$*" in *"pip install"*) echo "$*" >> {log}; exit 0;; esac
exec {python} "$@"
"""


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with a package t2ibench-noisy, a suite, and a baseline that its owner wrote."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path / "installed")]))
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    repository = tmp_path / "t2ibench-noisy"
    ours(tmp_path, "new", "method", "noisy")
    (repository / "texts.txt").write_text("\n".join(f"a smiling person with {n} earrings" for n in range(12)))
    (repository / "ours.yaml").write_text(SUITE)
    install(repository, tmp_path / "installed")
    ours(repository, "drift", "drift.json", "--write", "--suite", "ours.yaml")
    return repository


def ours(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "t2ibench", *words], cwd=folder, check=True, capture_output=True)


def install(repository: Path, folder: Path) -> None:
    """What `pip install .` does for a package of one module with an entry point."""
    facts = folder / "t2ibench_noisy-0.1.dist-info"
    facts.mkdir(parents=True, exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: t2ibench-noisy\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text("[t2ibench.methods]\nnoisy = t2ibench_noisy\n")
    (folder / "t2ibench_noisy.py").write_text((repository / "t2ibench_noisy.py").read_text())


def expanded(value: str, given: dict[str, str]) -> str:
    """`${{ inputs.x }}` is what the workflow gives, else the default of the action."""
    for name, what in ACTION["inputs"].items():
        value = value.replace(f"${{{{ inputs.{name} }}}}", given.get(name, what["default"]))
    return value


def run(repository: Path, given: dict[str, str]) -> tuple[int, str]:
    """Run the action's lines one by one. Returns the exit code of the last and what it printed."""
    programs = repository.parent / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "python").write_text(PROGRAM.format(log=programs / "log", python=sys.executable))
    (programs / "python").chmod(0o755)
    for step in ACTION["runs"]["steps"]:
        if "run" not in step:
            continue
        environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTION_PATH": str(ROOT / ".github/actions/drift"),
            "GITHUB_ACTIONS": "true",
            **{name: expanded(value, given) for name, value in step.get("env", {}).items()},
        }
        line = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(line, cwd=repository, env=environment, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            return done.returncode, done.stdout + done.stderr
    return 0, done.stdout


@pytest.mark.slow
def test_the_action_passes_and_fails_once_a_method_changes(repository):
    [given] = [step["with"] for step in COPIED["jobs"]["drift"]["steps"] if step["uses"].startswith("OWNER/")]
    code, said = run(repository, given)
    assert (code, "drift" in said) == (0, True), said
    assert (repository / "drift.xml").read_text().startswith("<?xml")
    installed = (repository.parent / "programs" / "log").read_text().splitlines()
    _, torch, packages = installed
    assert torch == "-m uv pip install --system --torch-backend cpu torch torchvision"
    assert packages == f"-m pip install {ROOT}/.github/actions/drift/../../.. ."
    module = repository / "t2ibench_noisy.py"
    before, after = "noise: NotNegative = 0.2", "noise: NotNegative = 3.0"
    assert before in module.read_text()
    module.write_text(module.read_text().replace(before, after))
    install(repository, repository.parent / "installed")
    code, said = run(repository, given)
    assert code == 1, said
    assert "::error" in said
    assert "noisy" in said


def test_without_a_baseline_the_shipped_one_is_looked_at():
    [line] = [step["run"] for step in ACTION["runs"]["steps"] if "t2ibench drift" in step.get("run", "")]
    words = subprocess.run(
        ["bash", "-c", line.replace("python", "echo", 1)],
        env={**os.environ, "BASELINE": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert words.split() == ["-m", "t2ibench", "drift", "--junit", "drift.xml", "--github"]
