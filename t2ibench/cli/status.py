"""`status`: how far a run is."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.options import Json, Out, Work
from t2ibench.core import tables


def status(
    suite: Annotated[str, typer.Argument(help="The suite that runs: its name, or its YAML file.")] = "quick",
    out: Out = Path("runs"),
    work: Work = Path("runs"),
    json: Json = False,
) -> None:
    """Show how far a run is: what is made, what failed, who is at work, how long it takes.

    It reads the folders alone, so it may be called from any machine that sees them, while others run.
    """
    from t2ibench.runner import status as of

    cells = of.status(Path(suite).stem, out, work)
    seconds = of.left(cells)
    if json:
        print_json({"cells": [asdict(cell) for cell in cells], "seconds_left": seconds})
        return
    table = tables.table()
    for title in ("track", "method", "seed", "images", "failed", "images/s", "at work"):
        table.add_column(title, justify="right" if title in ("seed", "images", "failed", "images/s") else "left")
    for cell in cells:
        count = f"{cell.images:,}" if cell.recorded else f"{cell.made:,} of {cell.images:,}"
        failed = Text(f"{cell.failed:,}", "red") if cell.failed else Text("")
        rate = f"{cell.rate:,.1f}" if cell.rate else ""
        state = Text("recorded", "green") if cell.recorded else Text(", ".join(cell.at_work) or "nobody", "dim")
        table.add_row(cell.track, cell.method, str(cell.seed), count, failed, rate, state)
    stdout().print(table)
    recorded = sum(cell.recorded for cell in cells)
    made, images = sum(cell.made for cell in cells), sum(cell.images for cell in cells)
    left = "" if seconds is None or recorded == len(cells) else f", {timedelta(seconds=round(seconds))} to go"
    stdout().print(f"{recorded} of {len(cells)} cells recorded, {made:,} of {images:,} images made{left}")
