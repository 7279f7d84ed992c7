"""The public names of a room, imported when they are asked for, so that a command that needs no PyTorch loads none."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazily(room: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The function `__getattr__` of a room's `__init__`.

    room: its `__name__`.
    names: for each public name, "module:name" of where it stands in the room.
    """

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        module, _, original = names[name].partition(":")
        return getattr(importlib.import_module(f"{room}.{module}"), original or name)

    return attribute
