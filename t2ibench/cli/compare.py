"""`compare`: compares two methods metric by metric, as a table or JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from t2ibench.cli.console import out, print_json
from t2ibench.cli.options import Device, Json, names_of
from t2ibench.core import tables
from t2ibench.core.errors import UserError
from t2ibench.core.mirrors import folder_of

if TYPE_CHECKING:
    from rich.console import Console

    from t2ibench.report.compare import Comparison, MetricComparison


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"


STYLES = {"better": "green", "worse": "red", "differs": "yellow", "equivalent": "cyan"}


def compare(
    a: Annotated[str, typer.Argument(help="A method of --folder, or a record or folder of records.")],
    b: Annotated[str, typer.Argument(help="What to compare it with.")],
    folder: Annotated[
        Path, typer.Option(parser=folder_of, metavar="PATH", help="What `t2ibench run` wrote (its --out).")
    ] = Path("runs"),
    suite: Annotated[
        str | None,
        typer.Option(help="Only records of this suite. With --gate: the suite of the methods A and B, which are run."),
    ] = None,
    track: Annotated[str | None, typer.Option(help="Only records of this track.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Only these, separated by commas.")] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(help="The largest difference that does not matter: 2%, or METRIC=0.1 (again for more); else 5%."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="METRIC=VALUE", help="Compare two curves of strengths where both have this value."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every number, not only the suite's columns.")] = False,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="May B stand in for A? Each is a folder of images, a record, or a method of --suite.",
        ),
    ] = False,
    rerun: Annotated[
        list[str] | None,
        typer.Option(help="With --gate: a folder or record in which A drew the same again; may be repeated."),
    ] = None,
    device: Device = "cpu",
    noise: Annotated[
        int, typer.Option(min=0, max=64, help="With --gate: grey levels by which a value may be off.")
    ] = 0,
    junit: Annotated[Path | None, typer.Option(help="With --gate: also write JUnit XML to this file.")] = None,
    summary: Annotated[Path | None, typer.Option(help="With --gate: also write a Markdown summary.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="With --gate: also print annotations; by itself in GitHub Actions.")
    ] = False,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.terminal,
    json: Json = False,
) -> None:
    """Compare two methods prompt by prompt: differences, effects, and whether they are more than chance, or less than
    matters. With --at, two curves of strengths where both have reached the same. With --gate, two sources of the same
    images; the exit code is 0: B may stand in for A, 1: no, 3: it cannot be said.
    """
    if gate:
        asked = Asked([a, b, *(rerun or [])], suite, track, folder, device, noise, margin or [])
        raise typer.Exit(through_gate(asked, junit, summary, github, json))
    from t2ibench.report.compare import as_json, margins_of, pairs
    from t2ibench.report.compare import compare as compared

    limits = margins_of(margin or [])
    ids = [] if metrics is None else names_of(metrics, "--metrics")
    if at is None:
        sides = pairs(a, b, folder, suite, track)
        comparisons = [compared(*side, limits, ids, everything=everything) for side in sides]
    else:
        from t2ibench.report.matched import at_of, compare_at, curves

        place = at_of(at)
        comparisons = [
            compare_at(*side, place, limits, ids, everything=everything) for side in curves(a, b, folder, suite, track)
        ]
    limits.check([id for one in comparisons for id in (*(line.metric for line in one.lines), *one.left_out)])
    if json:
        print_json([as_json(comparison) for comparison in comparisons])
        return
    if format is not Format.terminal:
        from t2ibench.report import compare_formats

        write = compare_formats.markdown if format is Format.markdown else compare_formats.latex
        print("\n".join(map(write, comparisons)), end="")
        return
    for comparison in comparisons:
        _show(comparison)


@dataclass(frozen=True)
class Asked:
    """What the gate is asked.

    words: A, B and the reruns of A. suite, track: of those that are methods. folder: of records and images. noise: grey
    levels that are allowed. margins: of means.
    """

    words: Sequence[str]
    suite: str | None
    track: str | None
    folder: Path
    device: str
    noise: int
    margins: Sequence[str]


def through_gate(asked: Asked, junit: Path | None, summary: Path | None, github: bool, json: bool) -> int:
    """Judge, print and write what was found. Returns the exit code."""
    from t2ibench.checks import cases
    from t2ibench.checks.gate.judge import judge
    from t2ibench.checks.gate.sources import sources
    from t2ibench.core.storage import publish
    from t2ibench.runner.run import RunOptions
    from t2ibench.runner.suite import load

    margins = own_margins(asked.margins)
    options = RunOptions(out=asked.folder, work=asked.folder, device=asked.device)
    suite = None if asked.suite is None else load(asked.suite)
    a, b, *reruns = sources(asked.words, suite, asked.track, options)
    result = judge(a, b, reruns, asked.noise, margins)
    title, found = "t2ibench gate", list(result.cases())
    if junit is not None:
        publish(junit, cases.junit(title, found))
    if summary is not None:
        publish(summary, cases.markdown(title, found, result.summary).encode())
    if json:
        print_json({"exit_code": result.exit_code, "summary": result.summary, **asdict(result)})
    else:
        table = tables.table(show_header=False)
        for case in found:
            mark = {"pass": Text("✓", "green"), "fail": Text("✗", "bold red"), "open": Text("?", "yellow")}[case.status]
            table.add_row(mark, Text(case.name, "bold"), Text(case.said))
        out().print(table)
        style = {0: "bold green", 1: "bold red"}.get(result.exit_code, "bold yellow")
        out().print(Text(result.summary, style))
    if github or (os.environ.get("GITHUB_ACTIONS") == "true" and not json):
        print("\n".join(cases.annotations(title, found, result.summary, result.exit_code == 0)))
    return result.exit_code


def own_margins(texts: Sequence[str]) -> dict[str, float]:
    """`--margin detail=0.5`: for the gate each margin is of one mean, in its unit."""
    margins = {}
    for text in texts:
        name, equals, size = text.partition("=")
        try:
            margins[name] = float(size)
        except ValueError:
            margins[name] = -1.0
        if not equals or not 0 < margins[name] < math.inf:
            raise UserError(f"--margin {text!r}: the gate takes MEAN=NUMBER, such as detail=0.5")
    return margins


def _show(comparison: Comparison) -> None:
    title = f"{comparison.suite} · {comparison.track}: {comparison.a} against {comparison.b}"
    for table in _tables(comparison, title, out()):
        out().print(table)
    seeds = (
        f"seeds {', '.join(map(str, comparison.seeds))}"
        if comparison.seeds
        else "other seeds on either side: only prompts are paired"
    )
    remarks = [
        f"{seeds}; difference: {comparison.a} minus {comparison.b}, with its 95 % interval; effect: Cohen's d of the "
        f"pairs",
        "p: there is no difference; p beyond: there is one as large as the margin; both Holm-adjusted over the metrics",
    ]
    if any(line.difference.rule == "intervals" for line in comparison.lines):
        remarks.append(
            "~: the records keep no samples of it, so the two are taken as independent, which errs on the side of "
            "caution"
        )
    remarks += [f"{id}: {reason}" for id, reason in comparison.left_out.items()]
    remarks += [f"{line.metric}: {note}" for line in comparison.lines for note in line.notes]
    for text in remarks:
        out().print(Text(text, "dim"))


def _tables(comparison: Comparison, title: str, console: Console) -> list[Table]:
    """One table, or two where it would be too wide: the values, then the verdicts and how sure they are."""
    from t2ibench.report.compare_formats import ARROWS, cells

    heads = [comparison.a, comparison.b, "difference", "effect", "p", "margin", "p beyond", "verdict"]
    rows = [(Text(line.metric + ARROWS.get(line.better, ""), "bold"), cells(line)) for line in comparison.lines]

    def table(columns: Sequence[int], title: str | None) -> Table:
        made = tables.table(title=title)
        made.add_column("", no_wrap=True)
        for column in columns:
            if heads[column] == "verdict":
                made.add_column("verdict")
            else:  # a long name of a method is folded, a number never is
                made.add_column(heads[column], justify="right", overflow="fold", no_wrap=column >= 2)
        for (name, values), line in zip(rows, comparison.lines, strict=True):
            filled: list[str | Text] = [*values, _verdict(line)]
            made.add_row(name, *(filled[column] for column in columns))
        return made

    whole = table(range(8), title)
    wide = console.options.update(width=1000)
    if whole.__rich_measure__(console, wide).maximum <= console.width:
        return [whole]
    return [table((0, 1, 2), title), table((7, 3, 4, 5, 6), None)]


def _verdict(line: MetricComparison) -> Text:
    text = Text(line.verdict, STYLES.get(line.verdict, ""))
    return (
        text.append(", within the margin", "dim")
        if line.negligible and line.verdict in ("better", "worse", "differs")
        else text
    )
