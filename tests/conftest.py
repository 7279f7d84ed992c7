"""Fixtures that several test files share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"
SQUARES = """# Squares in three colours. A second.
dataset: {name: squares}
methods: [painter, {name: painter, as: blind, colour_blind: true}]
baselines: [real, shuffled, {name: unconditional, of: painter}]
prompts: {captions: 20}
metrics: [hue, pair_hue]
"""


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Makes the plug-ins of tests/plugins known, as those of an installed package, and writes a suite of theirs: squares(old, new, …)."""
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")]))  # for processes that tests start
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
