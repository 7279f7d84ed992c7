"""`health`: what records say of a benchmark itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.options import Json
from t2ibench.core import tables
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.mirrors import folder_of

WIDE = 120  # columns of a terminal that hold the whole table
RIGHT = range(2, 7)  # columns of figures


def health(
    suite: Annotated[str, typer.Argument(help="The suite: its name, or its YAML file.")] = "quick",
    results: Annotated[
        Path, typer.Option(parser=folder_of, metavar="FOLDER", help="Folder of the records, or s3://…")
    ] = Path("runs"),
    track: Annotated[str | None, typer.Option(help="Only this track.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every number, not only the suite's columns.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write it to this file, .json or .md.")] = None,
    json: Json = False,
) -> None:
    """Show how healthy a benchmark is, from its records.

    For each number: how much room is left to real images, how many pairs of methods it tells apart, and whether it
    agrees with the other numbers; and what people said of the judges.
    """
    if out is not None and out.suffix not in (".json", ".md"):
        raise UserError(f"--out {out}: expected a file that ends in .json or .md")

    from t2ibench.core import records
    from t2ibench.report import audits
    from t2ibench.report import health as of

    name, rows = Path(suite).stem, records.load(results)
    suites = {record["suite"] for record in rows}
    if name not in suites:
        raise UserError(f"{results} holds no record of the suite {name!r}{did_you_mean(name, suites)}")
    chosen = [record for record in rows if record["suite"] == name]
    healths = of.health(chosen, audits.load(results), everything, track)
    if out is not None:
        from json import dumps

        from t2ibench.core.storage import publish

        content = of.markdown(healths) if out.suffix == ".md" else dumps(of.as_json(healths), indent=1) + "\n"
        publish(out, content.encode())
    if json:
        print_json(of.as_json(healths))
        return
    narrow = stdout().width < WIDE
    left_out = ("best method", "against") if narrow else ()
    for one in healths:
        table = tables.table(f"Health of {one.suite}: {one.track}")
        shown = [number for number, head in enumerate(of.HEADS) if head not in left_out]
        for number in shown:
            table.add_column(of.HEADS[number], justify="right" if number in RIGHT else "left", no_wrap=number == 0)
        for column in one.columns:
            cells = [Text(cell) for cell in of.row_of(column)]
            cells[-1].stylize("yellow" if column.flags else "green")
            table.add_row(*(cells[number] for number in shown))
        stdout().print(table)
        for line in of.notes(one):
            stdout().print(f"[dim]{escape(line)}[/]")
        stdout().print()
