"""`reproduce`: the claims of a paper, run and judged, as a table, as Markdown beside the records, or as JSON."""

from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from t2ibench.checks.papers import claims, ledger, reproduce
from t2ibench.commands.console import out, print_json, say
from t2ibench.commands.run import progress_line
from t2ibench.core import files, records
from t2ibench.report.compare import figures, p_text
from t2ibench.runner.run import Where

STYLES = {"confirmed": "green", "refuted": "red", "inconclusive": "yellow", "not run": "dim"}


def reproduce_paper(name: str, folder: Path | None, where: Where, to: Path | None, *, json: bool) -> int:
    """Run what can run (nothing where `folder` is given), judge, write the ledger and show it; the exit code."""
    paper, missing = claims.load(name), dict[str, str]()
    if folder is not None:
        found = records.load(folder)
    else:
        say(f"[bold]{escape(paper.title)}[/] {escape(paper.suite.title)}")
        for done in reproduce.run(paper, where, missing):
            say(progress_line(done))
        found = reproduce.load(where.out)
    made = reproduce.judge(paper, found, missing)
    path = to or (folder or where.out) / f"reproduce-{name}.md"
    files.write_whole(path, ledger.markdown(made).encode())
    if json:
        print_json(ledger.as_json(made))
    else:
        show(made)
        out().print(Text(str(path), "dim"))
    return made.exit_code


def show(made: reproduce.Ledger) -> None:
    """The ledger on the terminal."""
    table = Table(title=made.paper.title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE, show_edge=False)
    for column, justify in (("", "left"), ("claim", "left"), ("value", "left"), ("first", "right"), ("second", "right")):
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
        said = beside.reported
        out().print(f"{said.source}: {said.metric} {ledger.value(beside)} ({said.status}), here {ledger.here(beside)}")
    out().print(
        Text(f"{ledger.summary(made)}; of {len(made.reported)} reported numbers {len(comparable)} compare with the records", "bold")
    )
    out().print(Text(ledger.LEGEND, "dim"))
