"""docs/journeys.md names functions that exist, in the order in which a run calls them."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from plain_judges import ColourJudge

from t2ibench.networks.models import Models

PAGE = (Path(__file__).parent.parent / "docs" / "journeys.md").read_text("utf-8")
TITLES = ("From a prompt to an image", "From an image to a number", "From a number to the board")
SUITE = """# The journeys, on squares. A second.
dataset: {name: judged_squares}
methods: [painter]
baselines: []
prompts: {captions: 20}
metrics: [{name: fid, extractor: attribute-judge-avatars, fewest: 10}]
"""


def steps(title: str) -> list[str]:
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\d+\. `([\w.]+)` ", section, re.M)


def code_of(name: str) -> CodeType:
    """The code of a function, or of a method of a class, by its whole name."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found.__code__
    raise AssertionError(f"no module of {name} exists")


def called(run: Callable[[], Any]) -> list[CodeType]:
    """Every function that a call calls, in the order of their first calls."""
    first: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            first.setdefault(frame.f_code)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return list(first)


def test_the_functions_are_called_in_this_order(squares, t2ibench, monkeypatch):
    squares()
    monkeypatch.setattr(Models, "judge", lambda self, name: ColourJudge())
    Path("journey.yaml").write_text(SUITE, "utf-8")
    answers = []
    for words in (("run", "journey.yaml"), ("table", "runs")):
        calls = called(lambda words=words: answers.append(t2ibench(*words)))  # type: ignore[misc]
        assert answers[-1].returncode == 0, answers[-1].stderr
        for title in TITLES[:2] if words[0] == "run" else TITLES[2:]:
            places = [calls.index(code_of(name)) if code_of(name) in calls else name for name in steps(title)]
            assert all(isinstance(place, int) for place in places), f"{title}: never called: {places}"
            assert places == sorted(places), f"{title}: {places}"


@pytest.mark.parametrize("title", TITLES)
def test_a_journey_has_ten_steps(title):
    assert len(steps(title)) == 10
    assert len(set(steps(title))) == 10
