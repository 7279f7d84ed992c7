"""`reproduce`: runs and judges the claims of a paper, and reports them as a table, as Markdown or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from t2ibench.cli.console import out, print_json, say
from t2ibench.cli.options import Device, Json
from t2ibench.core.errors import UserError

if TYPE_CHECKING:
    from t2ibench.checks.papers.reproduce import Ledger
    from t2ibench.runner.run import RunOptions

STYLES = {"confirmed": "green", "refuted": "red", "inconclusive": "yellow", "not run": "dim"}


def reproduce_paper(name: str, folder: Path | None, options: RunOptions, to: Path | None, *, json: bool) -> int:
    """Run what a paper's claims need, judge them, write the ledger and show it. Returns the exit code.

    folder: records to judge as they are; then nothing is run. to: the file of the ledger.
    """
    from t2ibench.checks.papers import claims, ledger, reproduce
    from t2ibench.cli.run import progress_line
    from t2ibench.core import files, records

    paper, missing = claims.load(name), dict[str, str]()
    if folder is not None:
        rows = records.load(folder)
    else:
        say(f"[bold]{escape(paper.title)}[/] {escape(paper.suite.title)}")
        for done in reproduce.run(paper, options, missing):
            say(progress_line(done))
        rows = reproduce.load(options.out)
    judged = reproduce.judge(paper, rows, missing)
    path = to or (folder or options.out) / f"reproduce-{name}.md"
    files.write_whole(path, ledger.markdown(judged).encode())
    if json:
        print_json(ledger.as_json(judged))
    else:
        show(judged)
        out().print(Text(str(path), "dim"))
    return judged.exit_code


def show(made: Ledger) -> None:
    """Print the ledger on the terminal."""
    from t2ibench.checks.papers import ledger
    from t2ibench.report.compare import figures, p_text

    table = Table(
        title=made.paper.title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE,
        show_edge=False,
    )
    for column, justify in (
        ("", "left"),
        ("claim", "left"),
        ("value", "left"),
        ("first", "right"),
        ("second", "right"),
    ):
        table.add_column(column, justify=justify, no_wrap=column in ("", "first", "second"))  # type: ignore[arg-type]
    table.add_column("difference", justify="right")
    table.add_column("p", justify="right", no_wrap=True)
    for entry in made.claims:
        claim = Text.assemble(entry.claim.text, "\n", (ledger.pair(entry), "dim"))
        if entry.line is None:
            claim.append(f"\n{entry.missing}", "dim")
            figures_, p = ["", "", ""], ""
        else:
            figures_, p = figures(entry.line), p_text(entry.p or 0.0)
            claim.append(f"; {ledger.where(entry)}", "dim")
        table.add_row(Text(entry.verdict, STYLES[entry.verdict]), claim, entry.claim.metric, *figures_, p)
    out().print(table)
    comparable = [beside for beside in made.reported if beside.here is not None]
    for beside in comparable:
        number = beside.reported
        out().print(
            f"{number.source}: {number.metric} {ledger.value(beside)} ({number.status}), here {ledger.here(beside)}"
        )
    out().print(
        Text(
            f"{ledger.summary(made)}; of {len(made.reported)} reported numbers {len(comparable)} compare with the "
            f"records",
            "bold",
        )
    )
    out().print(Text(ledger.LEGEND, "dim"))


def reproduce(
    paper: Annotated[str, typer.Argument(help="A method whose paper makes claims: gan_cls, styleclip …")],
    folder: Annotated[Path | None, typer.Option(help="Judge the records of this folder, and run nothing.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of records, images and ledger; runs/reproduce/PAPER unless given.")
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="The Markdown file to write; reproduce-PAPER.md beside the records unless given."),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(min=1, help="Images made at once. Another number may move a pixel by one grey level, no further."),
    ] = 64,
    device: Device = "cpu",
    replace: Annotated[bool, typer.Option(help="Write over records that were made with other settings.")] = False,
    json: Json = False,
) -> None:
    """Run a paper's ablations and test what it claims.

    Exit code 0: fine, 1: a claim is refuted, 3: it cannot be said of one, or of any.
    """

    from t2ibench.runner.run import RunOptions

    if folder is not None and out is not None:
        raise UserError("reproduce: --folder runs nothing and --out is where runs go: leave one of them out")
    runs = out or Path("runs") / "reproduce" / paper
    raise typer.Exit(reproduce_paper(paper, folder, RunOptions(runs, runs, batch, device, replace), ledger, json=json))
