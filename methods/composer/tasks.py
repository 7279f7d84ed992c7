"""The tasks of the paper, read from recipes.yaml: which conditions are taken from where, and how the image is made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import yaml

from t2ibench import plugins
from t2ibench.errors import UserError
from t2ibench.methods.composer.conditions import chosen

SOURCES = ("A", "B", "text", "edited", "between")
FILE = "recipes.yaml"


@dataclass(frozen=True)
class Task:
    """c1, c2: for each source the letters that are taken from it; `from_`: who says that these are the task's conditions."""

    mode: Literal["sample", "reconfigure", "interpolate"]
    c2: dict[str, str]
    metrics: tuple[str, ...]
    from_: Literal["figure", "text", "ours"]
    c1: dict[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> frozenset[str]:
        """The sources that must be given; what lies between is between A and B."""
        named = {*self.c1, *self.c2}
        return frozenset(named - {"between"} | ({"A", "B"} if "between" in named else set()))


def tasks(text: str | None = None) -> dict[str, Task]:
    """Every task by name, those with variants as `name_variant`. Raises UserError for what is not a task.

    text: YAML to read in place of the file that ships.
    """
    content = yaml.safe_load(files(__package__).joinpath(FILE).read_text("utf-8") if text is None else text)
    found: dict[str, Task] = {}
    for name, row in content.items():
        variants = row.get("variants", {"": row})
        found |= {f"{name}_{variant}" if variant else name: task(f"{FILE}: {name}", given) for variant, given in variants.items()}
    return found


def task(where: str, row: Mapping[str, Any]) -> Task:
    """One row. Raises UserError for unknown keys, sources and letters, and for a letter that two sources give."""
    made = plugins.configure(Task, {"from_" if key == "from" else key: value for key, value in row.items()}, where)
    for name, sets in (("c1", made.c1), ("c2", made.c2)):
        for source, letters in sets.items():
            if source not in SOURCES:
                raise UserError(f"{where}: {name} takes {letters!r} from {source!r}, expected one of {', '.join(SOURCES)}")
            chosen(letters)
        given = "".join(sets.values())
        if twice := {letter for letter in given if given.count(letter) > 1}:
            raise UserError(f"{where}: {name} takes {sorted(twice)[0]} from two sources: a condition has one")
    if bool(made.c1) != (made.mode == "reconfigure"):
        raise UserError(f"{where}: mode is {made.mode!r}: only 'reconfigure' has conditions c1, and it must: change one of them")
    return made
