"""docs/stability.md names what is there."""

import importlib
import re
from pathlib import Path

import t2ibench
from t2ibench.core import records
from t2ibench.core.version import __version__

PAGE = (Path(__file__).parent.parent / "docs" / "stability.md").read_text("utf-8")


def between(mark: str) -> str:
    [text] = re.findall(rf"<!-- {mark} -->\n(.*)<!-- end of {mark} -->", PAGE, re.S)
    return text


def test_every_stable_name_is_there_and_every_public_name_is_stable():
    names = re.findall(r"^\| `([\w.]+)` \|", between("names"), re.M)
    for name in names:
        module, _, last = name.rpartition(".")
        assert last in dir(importlib.import_module(module)) or importlib.import_module(name)
    public = {f"t2ibench.{name}" for name in t2ibench.__all__ if not name.startswith("_")}
    assert public <= set(names)


def test_the_fields_of_a_record_are_those_of_the_schema():
    assert re.findall(r"`(\w+)`", between("fields")) == list(records.REQUIRED)


def test_the_changelog_begins_with_this_version_and_sorts_its_entries():
    text = (Path(__file__).parent.parent / "CHANGELOG.md").read_text("utf-8")
    versions = re.split(r"^## ", text, flags=re.M)[1:]
    assert versions[0].split()[0] == __version__
    for version in versions:
        parts = re.findall(r"^### (.*)$", version, re.M)
        assert parts == [name for name in ("Added", "Changed", "Fixed") if name in parts] != []
        assert not re.search(r"^- ", version.split("### ")[0], re.M)
