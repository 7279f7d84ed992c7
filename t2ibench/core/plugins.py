"""Methods, metrics and data sets are plug-ins, found by file name.

Nothing is imported to list them, and a run imports only those that it uses. A plug-in is `t2ibench/<kind>/<name>.py` or
a folder `t2ibench/<kind>/<name>/` with an `__init__.py`. Another package adds its own through the entry point group
`t2ibench.<kind>`. Each has a frozen dataclass `Config`, which holds the only defaults of its settings. A method with
several published variants names them, with their settings, under `variants:` in the `paper.yaml` beside it.

What a plug-in holds is its contract, a `typing.Protocol`: `MethodPlugin` (tracks), `MetricPlugin` (scoring),
`DatasetPlugin` (data), `Training` and `Recipe` (networks/training). A member that has a value there is optional, and
the value is its default. The loaders read a plug-in by its contract (`by_contract`, `complete`), so all other code
finds every member in its place and never asks whether it is there.
"""

import ast
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from t2ibench.core import environment, plain_yaml
from t2ibench.core.errors import UserError, did_you_mean

KINDS = ("methods", "metrics", "datasets")
C = TypeVar("C")  # a contract
log = logging.getLogger(__name__)


def folder_of(kind: str) -> Path:
    """The folder of our plug-ins of a kind: `t2ibench/<kind>`, a link in a checkout.

    A system without symbolic links checks a link out as a small file; then it is the folder beside the package. Raises
    UserError if neither is there.
    """
    package = Path(__file__).parent.parent
    for folder in (package / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise UserError(
        f"{package / kind} is no folder, nor is {package.parent / kind}: expected our plug-ins in one of them: install "
        f"the package, or check it out whole"
    )


def entry_points(group: str) -> Sequence[importlib.metadata.EntryPoint]:
    """What installed packages bring for a group. It is read again where sys.path or one of its folders has changed.

    Reading the files of all packages takes 15 ms, and a run asks some hundred times.
    """
    return _entry_points(group, tuple((entry, _modified(entry)) for entry in sys.path))


@functools.lru_cache(maxsize=64)
def _entry_points(group: str, places: tuple[tuple[str, int], ...]) -> Sequence[importlib.metadata.EntryPoint]:
    return tuple(importlib.metadata.entry_points(group=group))


def _modified(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def find(kind: str) -> dict[str, Path | None]:
    """Every plug-in of a kind, sorted by name, with the file where its code begins.

    The file is None for a plug-in of another package.
    """
    folder = folder_of(kind)
    paths: dict[str, Path | None] = {path.stem: path for path in folder.glob("*.py")}
    paths |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    paths |= {point.name: None for point in entry_points(f"t2ibench.{kind}") if point.name not in paths}
    return dict(sorted(paths.items()))


def describe(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring, read without importing it."""
    path = find(kind)[name]
    if path is None:
        return "from another package"
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


def questions(metric: str) -> dict[str, str]:
    """The question that each value of a metric answers, by the id of the value, where * stands for anything.

    These are the metric's `QUESTIONS`, read without importing it. Empty if it has none, or if it is not installed.
    """
    known = find("metrics")
    path = known.get(metric) or (_elsewhere(metric) if metric in known else None)
    if path is None:
        return {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["QUESTIONS"]:
            return dict(ast.literal_eval(node.value))
    return {}


def _elsewhere(metric: str) -> Path | None:
    """The file of a metric that another package brings."""
    [point] = [point for point in entry_points("t2ibench.metrics") if point.name == metric]
    spec = importlib.util.find_spec(point.module)
    return None if spec is None or spec.origin is None else Path(spec.origin)


def load(kind: str, name: str) -> types.ModuleType:
    """Import one plug-in. Raises UserError, with the nearest known name, if no plug-in has this name."""
    known = find(kind)
    if name not in known:
        raise UserError(f"no {kind.removesuffix('s')} is called {name!r}{did_you_mean(name, known)}")
    if known[name] is not None:
        return importlib.import_module(f"t2ibench.{kind}.{name}")
    [point] = [point for point in entry_points(f"t2ibench.{kind}") if point.name == name]
    return import_foreign(point.value, f"the plug-in {name!r} of {kind}")


def import_foreign(module: str, what: str) -> types.ModuleType:
    """Import a module that another package brings. Raises UserError, begun with `what`, where that fails."""
    try:
        return importlib.import_module(module)
    except UserError:
        raise
    except Exception as error:  # whatever the code of others raises
        text = " ".join(str(error).split())[:200]
        raise UserError(
            f"{what} cannot be imported from {module} ({type(error).__name__}: {text}): mend it, or uninstall its "
            f"package"
        ) from error


def by_contract(contract: type[C], plugin: Any, where: str, **instead: Any) -> C:
    """A plug-in as its contract states it: the members that it has, and the defaults of those that it lacks.

    contract: a protocol. Its members without a value are abstract functions, and names with a type alone.
    plugin: a module, or what has the same members. It is left as it is.
    where: the beginning of an error line.
    instead: members that replace those of the plug-in.

    Raises UserError for a missing member that has no default.
    """
    optional, required = _members(contract)
    members = {name: getattr(plugin, name) for name in (*required, *optional) if hasattr(plugin, name)} | instead
    if missing := [name for name in required if name not in members]:
        raise UserError(
            f"{where} has no {missing[0]}: {contract.__name__} in {contract.__module__} states what it must have"
        )
    held = {name: staticmethod(value) for name, value in members.items()}  # a function of a module takes no self
    return types.new_class(contract.__name__, (contract,), {}, lambda namespace: namespace.update(held))()


def complete(contract: type[C], thing: Any) -> C:
    """An object of a plug-in's class, with the default of every optional member that it lacks. They go to its class."""
    for name, default in _members(contract)[0].items():
        if not hasattr(thing, name):
            setattr(type(thing), name, default)
    return thing


def has(thing: Any, functions: Sequence[str]) -> bool:
    """Whether a class or an object of a plug-in has all of these functions."""
    return all(hasattr(thing, function) for function in functions)


def functions(thing: Any, names: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Functions of an object of a plug-in's class, by name."""
    return {name: getattr(thing, name) for name in names}


def _members(contract: type) -> tuple[dict[str, Any], list[str]]:
    """The optional members of a contract with their defaults, and the names of the others."""
    abstract: frozenset[str] = vars(contract)["__abstractmethods__"]
    optional: dict[str, Any] = {}
    required: dict[str, None] = {}
    for base in reversed(contract.__mro__):
        if base.__module__ in ("builtins", "typing"):
            continue
        public = {name: value for name, value in vars(base).items() if not name.startswith("_")}
        optional |= {name: value for name, value in public.items() if name not in abstract}
        required |= dict.fromkeys([*vars(base).get("__annotations__", {}), *public])
    return optional, [name for name in required if name not in optional]


def source(kind: str, name: str) -> str:
    """sha256 of a plug-in's code: of its module, or of every .py and .yaml file of its folder, by relative path."""
    return _source(code_of(kind, name))


@functools.cache
def _source(path: Path) -> str:
    files = sorted(file for end in ("*.py", "*.yaml") for file in path.rglob(end)) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    content = [[file.relative_to(root).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def code_of(kind: str, name: str) -> Path:
    """Where the code of a plug-in lies: its module, or its folder."""
    path = find(kind)[name]
    if path is None:
        [point] = [point for point in entry_points(f"t2ibench.{kind}") if point.name == name]
        path = Path(str(importlib.import_module(point.module).__file__))
    return path.parent if path.name == "__init__.py" else path


def is_settled(kind: str, name: str) -> bool:
    """Whether the code of a plug-in changes with its REVISION alone.

    That holds for ours, where they are installed or as they were committed. The code of another package, and of ours in
    a checkout with changed files, may change from one run to the next.
    """
    return find(kind)[name] is not None and not environment.changed(code_of(kind, name).resolve())


def paper(name: str) -> dict[str, Any]:
    """The content of a method's `paper.yaml`: citation, variants, reported numbers, claims. Empty if it has none."""
    path = sheet(name)
    if path is None:
        return {}
    if not isinstance(content := plain_yaml.read(path), dict):
        raise UserError(
            f"{path}: found {type(content).__name__}, expected the keys title, variants, reported, claims …"
        )
    return content


def sheet(name: str) -> Path | None:
    """The path of a method's `paper.yaml`, or None if it has none.

    The method may come from another package, whose code is not imported.
    """
    known = find("methods")
    if (path := known.get(name)) is not None:
        folders = [path.parent] if path.name == "__init__.py" else []
    else:
        modules = [point.value for point in entry_points("t2ibench.methods") if point.name == name]
        folders = [folder for module in modules for folder in _folders(module)]
    return next((folder / "paper.yaml" for folder in folders if (folder / "paper.yaml").exists()), None)


def _folders(module: str) -> list[Path]:
    """The folders of an installed package or module."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    return [Path(place, *rest) for place in (spec.submodule_search_locations or [])] if spec is not None else []


def method_ids() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every method a suite can name: id -> (plug-in, the settings that make the variant)."""
    ids: dict[str, tuple[str, dict[str, Any]]] = {}
    known = find("methods")
    for name in sorted(known, key=lambda name: known[name] is None):  # ours first
        try:
            variants = paper(name).get("variants")
            if not isinstance(variants, dict | None):
                raise UserError(f"{sheet(name)}: variants is {variants!r}, expected settings by the names of variants")
        except UserError as error:
            if known[name] is not None:
                raise
            log.warning("the method %r of another package is left out: %s", name, error)
            continue
        named = {name: {}} if variants is None else {id: settings or {} for id, settings in variants.items()}
        for id, settings in named.items():
            if id in ids:
                log.warning("%r of the method %r is left out: %r has that name", id, name, ids[id][0])
                continue
            ids[id] = (name, settings)
    return ids


@dataclass(frozen=True)
class Entry:
    """A plug-in or a baseline with its settings, as a suite names it.

    id: its name on the leaderboard and in the path of its record.
    name: the plug-in.
    settings: the settings that the suite or the variant gives.
    kind: what it is.
    tracks: the tracks that a method takes part in; empty: all those for which it has the functions.
    """

    id: str
    name: str
    settings: Mapping[str, Any]
    kind: Literal["method", "baseline", "metric", "dataset"]
    tracks: tuple[str, ...] = ()
