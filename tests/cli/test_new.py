"""`t2ibench new`: what it writes works as it is, from the command to a board with the new row."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from t2ibench.cli.new import is_checkout
from t2ibench.core import plugins

ROOT = Path(__file__).parents[2]
FEW = (  # the suite, on data that are drawn in a moment
    ("name: avatars", "name: few_avatars"),
    ("split: val, limit: 500", "split: test"),
    ("captions: 100", "captions: 30"),
    ("[fid, clip_score, r_precision]", "[{name: fid, fewest: 10}]"),
)


def test_from_the_command_to_a_board_with_the_new_row(squares, tmp_path):
    """As a new user would, who has no checkout."""
    squares()
    installed = tmp_path / "site"
    path = os.pathsep.join([str(installed), os.environ["PYTHONPATH"], str(ROOT)])

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "140"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = run("t2ibench", "new", "method", "my_dots")
    assert said.splitlines()[-3:] == [
        "  $ pip install -e t2ibench-my-dots",
        "  $ pytest t2ibench-my-dots/test_my_dots.py",
        "  $ t2ibench run t2ibench-my-dots/my_dots.yaml",
    ]
    run(
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(installed),
        "./t2ibench-my-dots",
    )
    assert "2 passed" in run("pytest", "-q", "-p", "no:cacheprovider", "t2ibench-my-dots/test_my_dots.py")
    suite = Path("t2ibench-my-dots/my_dots.yaml")
    text = suite.read_text("utf-8")
    for old, new in FEW:
        assert old in text
        text = text.replace(old, new)
    suite.write_text(text, "utf-8")
    board = run("t2ibench", "run", str(suite))
    assert re.search(r"my_dots +\d", board)
    assert re.search(r"gan-cls +\d", board)
    assert "my_dots" in run("t2ibench", "list", "methods")


@pytest.mark.parametrize("kind", ["method", "metric", "dataset"])
def test_a_package_passes_its_test(t2ibench, monkeypatch, tmp_path, kind):
    monkeypatch.chdir(tmp_path)
    folder = Path(f"t2ibench-my-{kind}")
    written = [folder / name for name in ("pyproject.toml", f"t2ibench_my_{kind}.py", f"test_my_{kind}.py")]
    passes(t2ibench, monkeypatch, kind, f"my_{kind}", written, folder / f"my_{kind}.yaml")


@pytest.mark.parametrize("kind", ["method", "metric", "dataset"])
def test_a_file_of_a_checkout_passes_its_test(t2ibench, monkeypatch, checkout, kind):
    package = importlib.import_module(f"t2ibench.{kind}s")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(checkout / f"{kind}s")])
    written = [Path(f"{kind}s/our_{kind}.py"), Path(f"tests/{kind}s/test_our_{kind}.py")]
    passes(t2ibench, monkeypatch, kind, f"our_{kind}", written, Path(f"our_{kind}.yaml"))


def passes(t2ibench, monkeypatch, kind: str, name: str, written: list[Path], suite: Path) -> None:
    """`new` writes these files, and the two tests in the last of them pass."""
    answer = t2ibench("new", kind, name)
    assert (answer.returncode, answer.stderr) == (0, "")
    every = written if kind == "dataset" else [*written, suite]
    assert answer.stdout.split("\n\n")[0].splitlines() == [str(path) for path in every]
    assert {path.relative_to(Path.cwd()) for path in Path.cwd().rglob("*") if path.is_file()} == {*every}
    assert max(len(line) for path in written for line in path.read_text("utf-8").splitlines()) <= 120
    monkeypatch.syspath_prepend(written[-1].parent.resolve())
    tests = vars(importlib.import_module(written[-1].stem))
    assert len([test() for its_name, test in tests.items() if its_name.startswith("test_")]) == 2


@pytest.fixture
def checkout(monkeypatch, tmp_path) -> Path:
    """A folder from which t2ibench seems to run."""
    monkeypatch.chdir(tmp_path)
    for kind in plugins.KINDS:
        (tmp_path / kind).mkdir()
    monkeypatch.setattr(plugins, "folder_of", lambda kind: tmp_path / kind)
    return tmp_path


def test_this_is_a_checkout_and_an_empty_folder_is_none(tmp_path):
    assert is_checkout(ROOT)
    assert not is_checkout(tmp_path)


def test_a_package_is_written_in_a_checkout_where_it_is_asked_for(t2ibench, checkout):
    assert t2ibench("new", "metric", "sharp", "--package", "--dataset", "squares").returncode == 0
    assert "dataset: {name: squares}" in Path("t2ibench-sharp/sharp.yaml").read_text("utf-8")
    assert not any((checkout / "metrics").iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("method", "My-Dots"), "'My-Dots' cannot be the name of a method: use lower-case letters, digits and _"),
        (("method", "class"), "'class' cannot be the name of a method"),
        (("method", "gan_cls"), "there is a method 'gan_cls' already: choose another name (`t2ibench list methods`)"),
        (("metric", "fid"), "there is a metric 'fid' already"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(t2ibench, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    answer = t2ibench("new", *words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_nothing_is_written_over(t2ibench, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    t2ibench("new", "metric", "sharp")
    Path("t2ibench-sharp/t2ibench_sharp.py").write_text("mine")
    Path("t2ibench-sharp/pyproject.toml").unlink()
    answer = t2ibench("new", "metric", "sharp")
    assert answer.returncode == 2
    assert "t2ibench_sharp.py is there already, and is not written over" in answer.stderr
    assert Path("t2ibench-sharp/t2ibench_sharp.py").read_text() == "mine"
    assert not Path("t2ibench-sharp/pyproject.toml").exists()
