"""The workflows and the hooks before a commit call what is there. What they run on other systems cannot run here."""

import re
from pathlib import Path

import pytest
import typer
import yaml

from t2ibench import cli

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINES = [
    line.strip()
    for path in WORKFLOWS
    for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    for step in job["steps"]
    for command in step.get("run", "").splitlines()
    for line in command.split("&&")
]


def test_there_are_workflows_for_lint_tests_systems_and_the_wheel():
    [jobs] = [yaml.safe_load(path.read_text("utf-8"))["jobs"] for path in WORKFLOWS if path.stem == "tests"]
    assert set(jobs) == {"lint", "tests", "other-systems", "wheel", "gpu"}
    assert "workflow_dispatch" in jobs["gpu"]["if"]  # it waits for a runner with an accelerator
    assert jobs["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_every_target_of_make_exists(line):
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M)


@pytest.mark.parametrize(
    "line", [line for line in LINES if "t2ibench " in line and not line.startswith("python -m pip")]
)
def test_every_command_of_ours_can_be_parsed(line):
    line = line.replace(" --device cuda", "")  # which is looked for when a line is parsed
    words = line[line.index("t2ibench ") :].split()[1:]
    verb = typer.main.get_command(cli.app).commands[words[0]]  # type: ignore[attr-defined]
    verb.make_context(words[0], words[1:])


def test_the_hooks_are_the_tools_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    lint = re.search(r"^lint:.*?\n\n", (ROOT / "Makefile").read_text("utf-8"), re.M | re.S)
    assert lint
    for hook in hooks:
        assert hook["name"].split()[0] in lint[0]
