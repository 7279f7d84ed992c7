"""`doctor`: is this machine ready?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.options import Device, Json, Out, Work
from t2ibench.cli.run import show_preflight
from t2ibench.core import tables


def doctor(
    suite: Annotated[
        str | None, typer.Option(help="Check what this suite needs instead, as `t2ibench run --dry-run` does.")
    ] = None,
    out: Out = Path("runs"),
    work: Work = Path("runs"),
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Check this machine: versions, weights, caches, disk. Exit code 1 where something has to be mended."""
    if suite is not None:
        from t2ibench.runner.run import RunOptions
        from t2ibench.runner.suite import load

        raise typer.Exit(show_preflight(load(suite), RunOptions(out=out, work=work, device=device), json))
    from t2ibench.checks.doctor import folders, installed, machine, metrics, suites, weights

    checks = [check for group in (installed, machine, folders, weights, suites, metrics) for check in group()]
    if json:
        print_json([asdict(check) for check in checks])
    else:
        table = tables.table(show_header=False)
        for check in checks:
            mark = Text("✓", "green") if check.ok else Text("✗", "bold red")
            table.add_row(mark, Text(check.name, "bold"), Text(check.found), Text(check.to_do, "yellow"))
        stdout().print(table)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)
