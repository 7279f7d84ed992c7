"""`cache`: what is kept in the user's folder, whether it is whole, and how it is made smaller."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.options import Json
from t2ibench.core import tables


def cache(
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every kept array, and name those that are cut.")
    ] = False,
    prune: Annotated[
        int | None, typer.Option(min=0, help="Remove what nobody has read or written for this many days.")
    ] = None,
    json: Json = False,
) -> None:
    """List what is kept of earlier runs, check it, or remove the old. It is made again when needed; weights stay."""
    from t2ibench.core import cache as kept

    folder = kept.home()
    removed = kept.prune(folder, time.time() - 86_400 * prune) if prune is not None else 0
    damaged = kept.damaged(folder) if verify else []
    parts = kept.contents(folder)
    if json:
        print_json(
            {
                "folder": str(folder),
                "removed_bytes": removed,
                "damaged": [str(path) for path in damaged],
                "parts": [asdict(part) for part in parts],
            }
        )
    else:
        table = tables.table()
        for title in ("kept", "files", "MB"):
            table.add_column(title, justify="left" if title == "kept" else "right")
        for part in parts:
            table.add_row(Text(part.name), f"{part.files:,}", f"{part.bytes / 1e6:,.1f}")
        stdout().print(table)
        stdout().print(Text(f"{folder}: {sum(part.bytes for part in parts) / 1e6:,.1f} MB", "dim"))
        if prune is not None:
            print(f"removed: {removed / 1e6:,.1f} MB")
        for path in damaged:
            print(f"damaged: {path}; it is made again when it is needed")
    if damaged:
        raise typer.Exit(1)
