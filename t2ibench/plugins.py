"""Methods, metrics and data sets, found by file name: nothing is imported to list them, and a run imports what it uses.

A plug-in is `t2ibench/<kind>/<name>.py` or a folder `t2ibench/<kind>/<name>/` with an `__init__.py`; another package joins through the
entry point group `t2ibench.<kind>`. Each has a frozen dataclass `Config` with the only defaults of its settings. A method
that has several published variants names them, with their settings, under `variants:` in the `paper.yaml` beside it.
"""

import ast
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from t2ibench.errors import UserError, did_you_mean

KINDS = ("methods", "metrics", "datasets")
T = TypeVar("T")


def sources(kind: str) -> dict[str, Path | None]:
    """Every plug-in of a kind with the file its code begins in (None where another package brings it), sorted by name."""
    folder = Path(__file__).parent / kind
    found: dict[str, Path | None] = {path.stem: path for path in folder.glob("*.py")}
    found |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    found |= {point.name: None for point in importlib.metadata.entry_points(group=f"t2ibench.{kind}") if point.name not in found}
    return dict(sorted(found.items()))


def describe(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring, read without importing it."""
    path = sources(kind)[name]
    if path is None:
        return "from another package"
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


def questions(metric: str) -> dict[str, str]:
    """What the values of a metric answer, by id, in which * stands for anything: its `QUESTIONS`, read without importing it.

    Empty where it says nothing, or is not here.
    """
    known = sources("metrics")
    path = known.get(metric) or (_elsewhere(metric) if metric in known else None)
    if path is None:
        return {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["QUESTIONS"]:
            return dict(ast.literal_eval(node.value))
    return {}


def _elsewhere(metric: str) -> Path | None:
    """The file of a metric that another package brings."""
    [point] = [point for point in importlib.metadata.entry_points(group="t2ibench.metrics") if point.name == metric]
    spec = importlib.util.find_spec(point.module)
    return None if spec is None or spec.origin is None else Path(spec.origin)


def load(kind: str, name: str) -> types.ModuleType:
    """Import one plug-in. Raises UserError with the nearest known name where there is none of this one."""
    known = sources(kind)
    if name not in known:
        raise UserError(f"no {kind.removesuffix('s')} is called {name!r}{did_you_mean(name, known)}")
    if known[name] is not None:
        return importlib.import_module(f"t2ibench.{kind}.{name}")
    [point] = [point for point in importlib.metadata.entry_points(group=f"t2ibench.{kind}") if point.name == name]
    return importlib.import_module(point.value)


def paper(name: str) -> dict[str, Any]:
    """The `paper.yaml` beside a method (citation, variants, reported numbers, claims); empty where it has none."""
    path = sheet(name)
    return {} if path is None else yaml.safe_load(path.read_text("utf-8"))


def sheet(name: str) -> Path | None:
    """Where a method's `paper.yaml` lies, also in another package, whose code is not imported; None where it has none."""
    known = sources("methods")
    if (path := known.get(name)) is not None:
        folders = [path.parent] if path.name == "__init__.py" else []
    else:
        modules = [point.value for point in importlib.metadata.entry_points(group="t2ibench.methods") if point.name == name]
        folders = [folder for module in modules for folder in _folders(module)]
    return next((folder / "paper.yaml" for folder in folders if (folder / "paper.yaml").exists()), None)


def _folders(module: str) -> list[Path]:
    """The folders of a package that is installed."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    return [Path(place, *rest) for place in (spec.submodule_search_locations or [])] if spec is not None else []


def method_ids() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every method a suite can name: id -> (plug-in, the settings that make the variant)."""
    ids: dict[str, tuple[str, dict[str, Any]]] = {}
    for name in sources("methods"):
        variants = paper(name).get("variants")
        ids |= {name: (name, {})} if variants is None else {id: (name, settings or {}) for id, settings in variants.items()}
    return ids


def configure(cls: type[T], settings: Mapping[str, Any], where: str) -> T:
    """A frozen dataclass from a mapping of a YAML file; `where` begins the error line.

    Raises UserError for an unknown key (with the nearest known one), a missing one, or a value of another type.
    """
    hints, fields = typing.get_type_hints(cls), {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key, value in settings.items():
        if key not in fields:
            raise UserError(f"{where}: unknown key {key!r}{did_you_mean(key, fields)}")
        if not _fits(value, hints[key]):
            expected = str(getattr(hints[key], "__name__", hints[key])) if not typing.get_args(hints[key]) else str(hints[key])
            raise UserError(f"{where}: {key} is {value!r}, expected {expected.replace('typing.', '')}")
    required = dataclasses.MISSING
    missing = [n for n, f in fields.items() if n not in settings and f.default is required and f.default_factory is required]
    if missing:
        raise UserError(f"{where}: the key {missing[0]!r} is missing")
    return cls(**{key: _coerce(value, hints[key]) for key, value in settings.items()})


def configure_with_preset(
    cls: type[T], embedded: Mapping[str, Any], dataset: str, fixed: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> T:
    """Settings of one part: the class's defaults, `embedded` where the data is `avatars`, the variant's (`fixed`), then what is given.

    `preset: paper | embedded` in `given` takes the choice out of the data set's hands. Raises UserError for an unknown key.
    """
    preset = given.get("preset", "embedded" if dataset == "avatars" else "paper")
    if preset not in ("paper", "embedded"):
        raise UserError(f"{where}: preset is {preset!r}, expected 'paper' or 'embedded'")
    own = {key: value for key, value in given.items() if key != "preset"}
    return configure(cls, {**(embedded if preset == "embedded" else {}), **fixed, **own}, where)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict or hint is dict:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, str | Path)
    return hint is Any or isinstance(value, hint)


def _coerce(value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        return tuple(value)
    if hint is float:
        return float(value)
    if isinstance(value, str) and (hint is Path or Path in typing.get_args(hint)):
        return Path(value)
    return value
