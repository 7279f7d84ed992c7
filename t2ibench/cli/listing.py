"""`list`: prints names and first lines of files. It imports no plug-in and loads no weights."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from t2ibench.cli.console import out, print_json
from t2ibench.cli.options import Json
from t2ibench.core import tables


class Kind(StrEnum):
    methods = "methods"
    metrics = "metrics"
    datasets = "datasets"
    suites = "suites"
    assets = "assets"
    downloads = "downloads"
    tasks = "tasks"
    recipes = "recipes"


def list_things(kind: Annotated[Kind, typer.Argument(help="What to list.")], json: Json = False) -> None:
    """List what there is; imports and loads none of it."""
    entries = ENTRIES[kind]()
    if json:
        print_json(entries)
        return
    table = tables.table()
    for key in entries[0] if entries else ["name"]:
        table.add_column(key.replace("_", " "), no_wrap=key in ("name", "plugin", "sha256"))
    for entry in entries:
        table.add_row(
            *(
                Text("" if value is None else str(value), "bold" if key == "name" else "")
                for key, value in entry.items()
            )
        )
    out().print(table)


def methods() -> list[dict[str, Any]]:
    from t2ibench.core import plugins

    rows = []
    for id, (plugin, settings) in plugins.method_ids().items():
        variant = ", ".join(f"{key}: {value}" for key, value in settings.items())
        rows.append({"name": id, "plugin": plugin, "settings": variant, "about": plugins.describe("methods", plugin)})
    return rows


def of_plugins(kind: str) -> list[dict[str, Any]]:
    from t2ibench.core import plugins

    return [{"name": name, "about": plugins.describe(kind, name)} for name in plugins.find(kind)]


def suites() -> list[dict[str, Any]]:
    from t2ibench.runner import suite

    return [{"name": name, "about": suite.title(path)} for name, path in suite.available().items()]


def downloads() -> list[dict[str, Any]]:
    from t2ibench.data.downloads import assets

    return [
        {"name": one.name, "about": one.about, "bytes": one.bytes or None, "licence": one.licence}
        for one in assets().values()
    ]


def weights() -> list[dict[str, Any]]:
    """The weights files, with what their cards say."""
    from t2ibench.networks import zoo

    return [_weights(name, path) for name, path in zoo.available().items()]


def _weights(name: str, path: Path) -> dict[str, Any]:
    from t2ibench.networks import zoo

    card = zoo.card(path)
    return {
        "name": name,
        "MB": round(path.stat().st_size / 1e6, 2),
        "parameters": card.get("parameters"),
        "minutes": card.get("minutes"),
        "steps": card.get("steps"),
        "sha256": str(card.get("sha256"))[:12],
        "folder": "package" if path.parent == zoo.SHIPPED else str(path.parent),
    }


def tasks() -> list[dict[str, Any]]:
    """The tasks of composition, with the sources that they need."""
    from t2ibench.tracks import compose_tasks

    return [
        {"name": name, "mode": task.mode, "needs": ", ".join(sorted(task.needs)), "about": task.about}
        for name, task in compose_tasks.tasks().items()
    ]


ENTRIES = {
    "methods": methods,
    "metrics": lambda: of_plugins("metrics"),
    "datasets": lambda: of_plugins("datasets"),
    "suites": suites,
    "assets": weights,
    "downloads": downloads,
    "tasks": tasks,
    "recipes": tasks,  # its name before version 0.2
}
