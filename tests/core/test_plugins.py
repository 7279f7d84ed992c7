"""t2ibench/core/plugins.py: plug-ins are found by file name, and settings are refused in one line."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.core.settings import configure


@dataclass(frozen=True)
class Settings:
    root: Path
    alpha: float = 4.1
    mode: Literal["reference", "paper"] = "reference"
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None
    strict: bool = False


def test_every_file_of_the_folders_is_a_plugin_with_a_first_line():
    for kind in plugins.KINDS:
        names = plugins.find(kind)
        assert names
        for name in names:
            assert plugins.describe(kind, name).rstrip(), f"{kind}/{name} has no docstring"
            assert hasattr(plugins.load(kind, name), "Config"), f"{kind}/{name} has no Config"


def test_every_metric_says_what_it_answers_and_one_that_is_not_here_nothing():
    for name in plugins.find("metrics"):
        assert plugins.questions(name), f"metrics/{name} has no QUESTIONS"
        assert plugins.questions(name) == plugins.load("metrics", name).QUESTIONS
    assert plugins.questions("absent") == {}


def test_listing_imports_no_plugin_and_no_torch():
    code = """
import sys
from t2ibench.core import plugins
plugins.method_ids()
for kind in plugins.KINDS:
    for name in plugins.find(kind):
        plugins.describe(kind, name)
print([name for name in sys.modules if name in ("torch", "pandas") or name.startswith("t2ibench.methods")])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_settings_are_read_and_coerced():
    settings = configure(Settings, {"root": "a", "alpha": 3, "sizes": [4], "limit": None}, "x.yaml: method")
    assert settings == Settings(Path("a"), 3.0, sizes=(4,))
    assert isinstance(settings.alpha, float)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"root": "a", "apha": 1}, r"^x.yaml: method: unknown key 'apha', did you mean 'alpha'\?$"),
        ({"root": "a", "alpha": "much"}, "alpha is 'much', expected float"),
        ({"root": "a", "alpha": True}, "alpha is True, expected float"),
        ({"root": "a", "limit": 1.5}, "limit is 1.5, expected int | None"),
        ({"root": "a", "mode": "papr"}, "mode is 'papr', expected Literal"),
        ({"root": "a", "sizes": ["a"]}, "sizes is"),
        ({}, "the key 'root' is missing"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(mapping, message):
    with pytest.raises(UserError, match=message):
        configure(Settings, mapping, "x.yaml: method")


def test_an_unknown_plugin_names_the_nearest():
    with pytest.raises(UserError, match="no dataset is called 'avatar', did you mean 'avatars'"):
        plugins.load("datasets", "avatar")


def test_a_package_that_is_installed_meanwhile_is_found(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    group = "t2ibench.methods"
    before = [point.name for point in plugins.entry_points(group)]
    info = tmp_path / "late-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nlate = late\n")
    os.utime(tmp_path, ns=(1, 1))  # another time of the folder, also on a clock of whole seconds
    assert sorted(point.name for point in plugins.entry_points(group)) == sorted([*before, "late"])
    assert plugins.entry_points(group) is plugins.entry_points(group)
