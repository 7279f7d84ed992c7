"""Tasks of the track `compose`: which conditions are taken from which source, and how the image is made from them.

The tasks of Composer's paper are in compose_tasks.yaml. Letters of conditions name a task too: "SD" draws from the
sketch and the depth of A.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import yaml

from t2ibench.core import settings
from t2ibench.core.errors import UserError, did_you_mean

NAMES = {
    "T": "caption",
    "E": "embedding",
    "P": "palette",
    "S": "sketch",
    "G": "instances",
    "D": "depth",
    "I": "intensity",
    "M": "known",
}
LETTERS = "".join(NAMES)
SOURCES = ("A", "B", "text", "edited", "between")
EDITS = ("other", "shift", "mirror", "erase")
FILE = "compose_tasks.yaml"


@dataclass(frozen=True)
class Task:
    """One task.

    mode: "sample" draws from noise, "reconfigure" inverts A under c1 and draws it again under c2, "interpolate" draws
        from one noise under conditions between A and B.
    c2: the letters that are taken from each source for the new image.
    from_: who defines these conditions as the task's: a figure of the paper, its text, or we.
    c1: the letters under which A is inverted; only for "reconfigure".
    edit: how the source "edited" differs from A, one of EDITS; empty if the task takes nothing from "edited".
    hole: where letter M knows nothing: "middle", or the name of an attribute, for its region.
    keep: whether the known pixels are put back into the image.
    """

    mode: Literal["sample", "reconfigure", "interpolate"]
    c2: dict[str, str]
    from_: Literal["figure", "text", "ours"] = "ours"
    c1: dict[str, str] = field(default_factory=dict)
    edit: Literal["", "other", "shift", "mirror", "erase"] = ""
    hole: str = "middle"
    keep: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The sources that must be given. "between" and the edit "other" need A and B; c1 and other edits need A."""
        named = {*self.c1, *self.c2}
        more = {"A", "B"} if "between" in named or self.edit == "other" else {"A"} if self.c1 or self.edit else set()
        return frozenset((named - {"between"}) | more)

    @property
    def given(self) -> dict[str, str]:
        """The source of each letter of c2, in the order of LETTERS."""
        sources = {letter: source for source, letters in self.c2.items() for letter in letters}
        return {letter: sources[letter] for letter in LETTERS if letter in sources}

    @property
    def has_hole(self) -> bool:
        return any("M" in letters for letters in (*self.c1.values(), *self.c2.values()))

    @property
    def about(self) -> str:
        """What the image is made from, in words: "sketch and depth of A, embedding of B"."""
        if not self.given:
            return "nothing"
        if self.c2 == {"A": LETTERS}:
            return "everything of A"
        words = {"A": " of A", "B": " of B", "text": "", "edited": ", edited", "between": " between A and B"}
        parts = [_listed(letters) + words[source] for source, letters in self.c2.items()]
        return ("A, then " if self.c1 else "") + ", ".join(parts)


def _listed(letters: str) -> str:
    *names, last = (NAMES[letter] for letter in letters)
    return f"{', '.join(names)} and {last}" if names else last


@functools.cache
def tasks() -> Mapping[str, Task]:
    """The tasks that ship, by name."""
    return parsed(files(__package__).joinpath(FILE).read_text("utf-8"))


def find(name: str, where: str) -> Task:
    """A task by its name or by letters of conditions. Raises UserError, begun with `where`, for any other name."""
    if name in tasks():
        return tasks()[name]
    if name and set(name) <= set(LETTERS) and len(set(name)) == len(name):
        return Task("sample", {"A": "".join(letter for letter in LETTERS if letter in name)})
    raise UserError(
        f"{where}: no task is called {name!r}{did_you_mean(name, tasks())}; or letters of {LETTERS}, such as SD"
    )


def parsed(text: str) -> dict[str, Task]:
    """Every task of a YAML text by name. A variant has the name `name_variant`.

    Raises UserError for a row that is not a task.
    """
    tasks: dict[str, Task] = {}
    for name, row in yaml.safe_load(text).items():
        variants = row.get("variants", {"": row})
        tasks |= {
            f"{name}_{variant}" if variant else name: task(f"{FILE}: {name}", given)
            for variant, given in variants.items()
        }
    return tasks


def task(where: str, row: Mapping[str, Any]) -> Task:
    """The task that one row of the file describes.

    Raises UserError for unknown keys, sources and letters, for a letter that is taken from two sources, for c1 without
    the mode "reconfigure" or the reverse, and for "edited" without an edit or the reverse.
    """
    result = settings.configure(Task, {"from_" if key == "from" else key: value for key, value in row.items()}, where)
    for name, sets in (("c1", result.c1), ("c2", result.c2)):
        for source, letters in sets.items():
            if source not in SOURCES:
                raise UserError(
                    f"{where}: {name} takes {letters!r} from {source!r}, expected one of {', '.join(SOURCES)}"
                )
            for letter in letters:
                if letter not in LETTERS:
                    raise UserError(
                        f"{where}: {name}: no condition is called {letter!r}, expected letters of {LETTERS}"
                    )
        given = "".join(sets.values())
        if twice := {letter for letter in given if given.count(letter) > 1}:
            raise UserError(f"{where}: {name} takes {sorted(twice)[0]} from two sources: a condition has one")
    if bool(result.c1) != (result.mode == "reconfigure"):
        raise UserError(
            f"{where}: mode is {result.mode!r}: only 'reconfigure' has conditions c1, and it must: change one of them"
        )
    if bool(result.edit) != ("edited" in result.c2):
        raise UserError(
            f"{where}: edit is {result.edit!r}: what is taken from 'edited' has one of {', '.join(EDITS)}, and nothing "
            f"else has"
        )
    return result
