"""`reproduce`: runs and judges the claims of a paper, and reports them as a table, as Markdown or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json, say
from t2ibench.cli.options import Batch, Device, Json
from t2ibench.core import tables

if TYPE_CHECKING:
    from t2ibench.checks.papers.claims import Paper
    from t2ibench.checks.papers.reproduce import Ledger
    from t2ibench.runner.run import RunOptions

STYLES = {"confirmed": "green", "refuted": "red", "inconclusive": "yellow", "not run": "dim"}


def reproduce(
    paper: Annotated[str, typer.Argument(help="A method whose paper makes claims: gan_cls, styleclip …")],
    folder: Annotated[Path | None, typer.Option(help="Judge the records of this folder, and run nothing.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of records, images and ledger; runs/reproduce/PAPER unless given.")
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="The Markdown file to write; reproduce-PAPER.md beside the records, or here with --folder."),
    ] = None,
    batch: Batch = 64,
    device: Device = "cpu",
    replace: Annotated[bool, typer.Option(help="Write over records that were made with other settings.")] = False,
    scale: Annotated[
        Literal["embedded", "paper"],
        typer.Option(
            help="embedded: the paper's claims, on the data that ships. paper: the numbers that it prints, beside the "
            "records of --folder (runs) that suites of its own scale made; nothing is run."
        ),
    ] = "embedded",
    json: Json = False,
) -> None:
    """Run a paper's ablations and test what it claims.

    Exit code 0: fine, 1: a claim is refuted or a number is not reproduced, 3: it cannot be said of one, or of any.
    """
    if scale == "paper":
        raise typer.Exit(at_scale(paper, folder or Path("runs"), json))
    from t2ibench.checks.papers import claims
    from t2ibench.checks.papers.ledger import as_json, markdown
    from t2ibench.checks.papers.reproduce import judge
    from t2ibench.core import records, storage
    from t2ibench.runner.run import RunOptions

    runs = out or Path("runs") / "reproduce" / paper
    claimed, missing = claims.load(paper), dict[str, str]()
    if folder is not None:
        rows = records.load(folder)
    else:
        options = RunOptions(out=runs, work=runs, batch=batch, device=device, replace=replace)
        rows = rows_of(claimed, options, missing)
    judged = judge(claimed, rows, missing)
    path = (
        ledger or (runs if folder is None else Path()) / f"reproduce-{paper}.md"
    )  # a folder that is judged stays as it is
    storage.publish(path, markdown(judged).encode())
    if json:
        print_json(as_json(judged))
    else:
        show(judged)
        stdout().print(Text(str(path), "dim"))
    raise typer.Exit(judged.exit_code)


def at_scale(name: str, folder: Path, json: bool) -> int:
    """Print the numbers of a paper beside the records of a folder. Returns the exit code."""
    from t2ibench.checks.papers import claims, scale
    from t2ibench.checks.papers.ledger import printed
    from t2ibench.checks.papers.reproduce import load

    numbers = scale.numbers(claims.load(name), load(folder))
    if json:
        print_json([asdict(number) for number in numbers])
        return scale.exit_code(numbers)
    if not numbers:
        stdout().print(f"no number of the paper of {name} could be checked against it, so none is compared")
        return scale.exit_code(numbers)
    table = tables.table(title=f"{name}: what the paper prints, and what the records of {folder} say")
    for column in ("", "number", "reported", "here"):
        table.add_column(column, no_wrap=column in ("", "reported"))
    for number in numbers:
        of = number.reported
        about = f"{of.metric} of {of.method}, {of.dataset}" + (f", {of.prompt}" if of.prompt else "")
        here = number.missing
        if number.value is not None and number.ci is not None:
            here = f"{number.value:.4g} [{number.ci[0]:.4g}, {number.ci[1]:.4g}]"
        style = {"reproduced": "green", "not reproduced": "red"}.get(number.verdict, "dim")
        what = Text.assemble(about, "\n", (of.source, "dim"))
        table.add_row(Text(number.verdict, style), what, printed(of), Text(here, "dim" if number.missing else ""))
    stdout().print(table)
    count = [f"{sum(n.verdict == v for n in numbers)} {v}" for v in ("reproduced", "not reproduced", "missing")]
    stdout().print(Text(f"{len(numbers)} numbers: {', '.join(count)}", "bold"))
    return scale.exit_code(numbers)


def rows_of(paper: Paper, options: RunOptions, missing: dict[str, str]) -> list[dict[str, Any]]:
    """Run what the claims of a paper need, and read the records. `missing` gets what could not run, and why."""
    from t2ibench.checks.papers import reproduce
    from t2ibench.cli.run import progress_line

    say(f"[bold]{escape(paper.title)}[/] {escape(paper.suite.title)}")
    for done in reproduce.run(paper, options, missing):
        say(progress_line(done))
    return reproduce.load(options.out)


def show(made: Ledger) -> None:
    """Print the ledger on the terminal."""
    from t2ibench.checks.papers import ledger
    from t2ibench.report.compare import figures, p_text

    table = tables.table(title=made.paper.title)
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
            claim.append(f"\n{power}" if (power := ledger.seen(entry)) else "", "dim")
        table.add_row(Text(entry.verdict, STYLES[entry.verdict]), claim, entry.claim.metric, *figures_, p)
    stdout().print(table)
    comparable = [beside for beside in made.reported if beside.here is not None]
    for beside in comparable:
        number = beside.reported
        stdout().print(
            f"{number.source}: {number.metric} {ledger.value(beside)} ({number.status}), here {ledger.here(beside)}"
        )
    stdout().print(
        Text(
            f"{ledger.summary(made)}; of {len(made.reported)} reported numbers {len(comparable)} compare with the "
            f"records",
            "bold",
        )
    )
    stdout().print(Text(ledger.LEGEND, "dim"))
