"""`report` writes the web pages of recorded runs. `view` serves them, with the progress of a run that is going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.mirrors import folder_of

if TYPE_CHECKING:
    from t2ibench.report.site.contents import Claim, Contents

PAGES = "report"  # the folder of a run's pages, in the run's folder


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=folder_of,
            metavar="RESULTS",
            help="What `t2ibench run` wrote (its --out), or any folders of records; runs unless given.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the pages.")] = Path("site"),
    work: Annotated[
        list[Path] | None,
        typer.Option(
            parser=folder_of, metavar="PATH", help="Where the images are; in the folders of the records unless given."
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
) -> None:
    """Write the leaderboard as web pages, which open from disk: boards, charts, samples, comparisons, protocols."""
    from t2ibench.core import records
    from t2ibench.report.site.contents import read

    folders = results or [Path("runs")]
    known = {record["suite"] for folder in folders for record in records.load(folder)} if suite is not None else set()
    if suite is not None and suite not in known:
        raise UserError(f"{folders[0]} holds no record of the suite {suite!r}{did_you_mean(suite, known)}")
    rows, audits = read(folders, suite)
    print(how_to_open(write_pages(rows, audits, work or folders, folders, out)))


def write_pages(
    rows: Sequence[Mapping[str, Any]],
    audits: Sequence[Mapping[str, Any]],
    work: Sequence[Path],
    results: Sequence[Path],
    out: Path,
) -> Path:
    """Write the pages of records into a folder, and return the first of them.

    work: where the images are. results: the folders of the records.

    Raises UserError for a value that does not follow from the samples in its record.
    """
    from t2ibench.report.site.write import write

    return write(contents_of(rows, audits, work, results), out)


def contents_of(
    rows: Sequence[Mapping[str, Any]],
    audits: Sequence[Mapping[str, Any]],
    work: Sequence[Path],
    results: Sequence[Path],
) -> Contents:
    """What the pages of records show, with the sizes of weights, claims of papers, what was recomputed and verified."""
    from t2ibench.checks.submission import recompute
    from t2ibench.networks import zoo
    from t2ibench.report import elsewhere
    from t2ibench.report.site.contents import Contents
    from t2ibench.report.verdicts import standings

    cards = [zoo.card(path) for path in zoo.available().values() if path.with_suffix(".json").exists()]
    sizes = {card["sha256"]: card["parameters"] for card in cards if {"sha256", "parameters"} <= card.keys()}
    checked = standings(rows, results)
    reported = [number for folder in results for number in elsewhere.load(folder)]
    return Contents(rows, audits, work, results, sizes, claims_of(rows), recompute(rows), checked, reported)


def claims_of(rows: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """The claims of the papers whose methods are among the records, judged on these."""
    from t2ibench.checks.papers import claims
    from t2ibench.checks.papers.ledger import pair, where
    from t2ibench.checks.papers.reproduce import judge
    from t2ibench.report.compare import figures, p_text
    from t2ibench.report.site.contents import Claim

    present = {record["config"].get("name") for record in rows}
    found = []
    for name in claims.papers():
        if name not in present:
            continue
        for entry in judge(claims.load(name), rows).claims:
            claim = entry.claim
            judged = entry.line is not None and entry.p is not None
            found.append(
                Claim(
                    name,
                    claim.text,
                    pair(entry),
                    claim.metric,
                    entry.verdict,
                    figures(entry.line)[2] if entry.line is not None else "",
                    p_text(entry.p) if entry.p is not None else "",
                    where(entry) if judged else "",
                    entry.missing,
                    claim.pair,
                )
            )
    return found


def how_to_open(page: Path) -> str:
    """What the user does with the pages."""
    return f"{page}: open it in a browser, or run `t2ibench view {page.parent}`"


def view(
    run: Annotated[
        Path, typer.Argument(help="A run's folder (runs/quick), a folder of pages, or any folder of records.")
    ] = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="Where the run's records are; the folder above the run's unless given.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any that is free.")] = 8000,
) -> None:
    """Serve the web pages on this machine alone, and the progress of a run that is still going. Ctrl-C ends it."""
    from t2ibench.report.site.serve import serve, source_of

    source = source_of(run, out)

    def write(rows: Sequence[Mapping[str, Any]], audits: Sequence[Mapping[str, Any]], folder: Path) -> Path:
        return write_pages(rows, audits, [source.work], [source.records or source.work], folder)

    for line in serve(source, port, write):
        print(line, flush=True)
