"""Fixtures that several test files share."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from t2ibench import cli

PLUGINS = Path(__file__).parent / "support" / "plugins"
SQUARES = """# Squares in three colours. A second.
dataset: {name: squares}
methods: [painter, {name: painter, as: blind, colour_blind: true}]
baselines: [real, shuffled, {name: unconditional, of: painter}]
prompts: {captions: 20}
metrics: [hue, pair_hue]
"""


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Makes the plug-ins of tests/support/plugins known, as those of an installed package, and writes a suite of
    theirs: squares(old, new, …).
    """
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")])
    )  # for processes that tests start
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def write(*replacements: tuple[str, str]) -> Path:
        text = SQUARES
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "squares.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


@dataclass(frozen=True)
class Answer:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def t2ibench(monkeypatch, capsys) -> Callable[..., Answer]:
    """Runs a command in this process, as the shell would: arguments in, exit code and both outputs out."""

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["t2ibench", *arguments])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Answer(code, *capsys.readouterr())

    return call
