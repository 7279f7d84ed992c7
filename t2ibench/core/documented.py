"""The settings of a dataclass for people and editors: type, default and meaning, read from the class and its source.

The meaning of a field is the comment behind it or above it, or its line `name: …` in the docstring of the class.
"""

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2ibench.core.ranges import range_of


@dataclass(frozen=True)
class Setting:
    """One field of a dataclass.

    type: as a user writes it: "number", "text", "one of a, b", "list of text", "whole number, at least 1".
    default: its default, or `dataclasses.MISSING` if it must be given.
    meaning: what it decides; empty if nobody wrote it down.
    """

    name: str
    type: str
    default: Any
    meaning: str = ""

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


def settings_of_class(config: type[Any]) -> list[Setting]:
    """Every field of a dataclass, those of its bases too, in order."""
    hints, meanings = typing.get_type_hints(config, include_extras=True), meanings_of(config)
    return [
        Setting(field.name, type_words(hints[field.name]), _default(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(config)
    ]


def meanings_of(config: type[Any]) -> dict[str, str]:
    """What the source says of each field, by name; a class whose source is not there has none."""
    meanings: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        meanings |= _of_docstring(cls.__dict__.get("__doc__") or "")
        try:
            source = textwrap.dedent(inspect.getsource(cls))
        except (OSError, TypeError):  # made at run time
            continue
        meanings |= _of_comments(source)
    return meanings


def type_words(hint: Any) -> str:
    """A type in the words of a YAML file."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        allowed = range_of(hint)
        return type_words(arguments[0]) + (f", {allowed}" if allowed else "")
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if argument is type(None) else type_words(argument) for argument in arguments)
    if origin in (tuple, list):
        return f"list of {type_words(arguments[0])}"
    if origin is dict or origin is Mapping or hint is dict:
        return "mapping"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    return names.get(hint, "anything" if hint is Any else getattr(hint, "__name__", str(hint)))


def schema_of(config: type[Any]) -> dict[str, Any]:
    """The JSON schema of a mapping that becomes this dataclass."""
    hints, settings = typing.get_type_hints(config, include_extras=True), settings_of_class(config)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            one.name: {
                **schema_of_type(hints[one.name]),
                **({"description": one.meaning} if one.meaning else {}),
                **({} if one.required or one.default is None else {"default": _json(one.default)}),
            }
            for one in settings
        },
        **({"required": needed} if (needed := [one.name for one in settings if one.required]) else {}),
    }


def schema_of_type(hint: Any) -> dict[str, Any]:
    """The JSON schema of a value of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        allowed = range_of(hint)
        return schema_of_type(arguments[0]) | (allowed.schema() if allowed else {})
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of_type(argument) for argument in arguments]}
    if origin in (tuple, list):
        return {"type": "array", "items": schema_of_type(arguments[0])}
    if origin is dict or origin is Mapping or hint is dict:
        return {"type": "object"}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string", type(None): "null"}
    return {"type": names[hint]} if hint in names else {}


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _json(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _of_docstring(text: str) -> dict[str, str]:
    """The paragraphs `name: meaning` of a docstring, with the lines that are indented below them."""
    meanings: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(text).splitlines():
        found = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if found:
            names, meaning = found.groups()
            name = names.split(", ")[-1]
            meanings |= dict.fromkeys(names.split(", "), meaning)
        elif name and line.startswith("    "):
            meanings[name] += f" {line.strip()}"
        else:
            name = ""
    return meanings


def _of_comments(source: str) -> dict[str, str]:
    """The comments of the fields in the source of a class: behind the field, else in the lines right above it."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = source.splitlines()
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    bare = {row for row in comments if lines[row - 1].lstrip().startswith("#")}
    meanings: dict[str, str] = {}
    [cls] = ast.parse(source).body
    for node in cls.body if isinstance(cls, ast.ClassDef) else []:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        behind = [comments[row] for row in range(node.lineno, (node.end_lineno or 0) + 1) if row in comments]
        above: list[str] = []
        row = node.lineno - 1
        while row in bare:
            above.insert(0, comments[row])
            row -= 1
        if behind or above:
            meanings[node.target.id] = " ".join([*above, *behind])
    return meanings
