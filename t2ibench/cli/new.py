"""`new`: writes a plug-in that works as it is, with its test, for its author to change."""

import keyword
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from t2ibench.cli.options import DATASET
from t2ibench.core.errors import UserError

NAME = r"[a-z][a-z0-9_]*"


class Kind(StrEnum):
    method = "method"
    metric = "metric"
    dataset = "dataset"


def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name in suites and on boards: lower-case letters, digits and _.")],
    package: Annotated[
        bool, typer.Option("--package", help="Write an installable package, also in a checkout of t2ibench.")
    ] = False,
    dataset: Annotated[str, typer.Option(help="The data set of the suite that is written beside it.")] = DATASET,
) -> None:
    """Write a working method, metric or data set with its test, and a suite that runs the method or metric.

    In a checkout of t2ibench it becomes a file of it. Elsewhere it becomes an installable package in the folder
    t2ibench-NAME: a file among those that pip installed would be lost with the next version.
    """
    check_name(kind, name)
    inside = not package and is_checkout(Path())
    files = in_checkout(kind, name) if inside else in_package(kind, name)
    suite = [] if kind is Kind.dataset else [Path(f"{name}.yaml") if inside else folder_of(name) / f"{name}.yaml"]
    files |= dict.fromkeys(suite, f"{kind}.yaml")
    for path in files:
        if path.exists():
            raise UserError(f"{path} is there already, and is not written over: choose another name, or move it away")
    module = None if inside else module_of(name)
    for path, template in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(template, kind, name, module, dataset), "utf-8")
    print("\n".join(map(str, files)))
    test = next(path for path in files if path.name.startswith("test_"))
    steps = [] if inside else [f"pip install -e {folder_of(name)}"]
    steps += [f"pytest {test}", *(f"t2ibench run {path}" for path in suite)]
    steps += [f"t2ibench show {name}"] if kind is Kind.dataset else []
    print("\nIt works as it is. Next:", *(f"  $ {step}" for step in steps), sep="\n")


def check_name(kind: Kind, name: str) -> None:
    """Raises UserError for a name that no module can have, and for one that is taken."""
    from t2ibench.core import plugins

    if re.fullmatch(NAME, name) is None or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} cannot be the name of a {kind}: use lower-case letters, digits and _, a letter first"
        )
    taken = {*plugins.find(f"{kind}s"), *(plugins.method_ids() if kind is Kind.method else ())}
    if name in taken:
        raise UserError(f"there is a {kind} {name!r} already: choose another name (`t2ibench list {kind}s`)")


def is_checkout(folder: Path) -> bool:
    """Whether this t2ibench runs from a checkout in this folder, so that its plug-ins are files of it."""
    from t2ibench.core import plugins

    return all(plugins.folder_of(f"{kind}s").resolve() == (folder / f"{kind}s").resolve() for kind in Kind)


def in_checkout(kind: Kind, name: str) -> dict[Path, str]:
    """The files of a plug-in in a checkout, and the template of each."""
    return {
        Path(f"{kind}s") / f"{name}.py": f"{kind}.py",
        Path("tests") / f"{kind}s" / f"test_{name}.py": f"test_{kind}.py",
    }


def in_package(kind: Kind, name: str) -> dict[Path, str]:
    """The files of a package with one plug-in, and the template of each."""
    folder = folder_of(name)
    return {
        folder / "pyproject.toml": "pyproject.toml",
        folder / f"{module_of(name)}.py": f"{kind}.py",
        folder / f"test_{name}.py": f"test_{kind}.py",
    }


def folder_of(name: str) -> Path:
    return Path(f"t2ibench-{name.replace('_', '-')}")


def module_of(name: str) -> str:
    return f"t2ibench_{name}"


def filled(template: str, kind: Kind, name: str, module: str | None, dataset: str) -> str:
    """A template with the names filled in. module: that of the package; None in a checkout."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("t2ibench.cli"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.j2").render(
        kind=kind.value,
        name=name,
        title=name.replace("_", " ").capitalize(),
        module=module,
        package=folder_of(name).name,
        dataset=dataset,
    )
