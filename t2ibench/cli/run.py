"""`run` runs the cells of a suite. `table` makes boards from their records."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json, say
from t2ibench.cli.options import Batch, Device, Json, Out, Work, Workers, device_of, names_of
from t2ibench.core import tables
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.mirrors import folder_of

if TYPE_CHECKING:
    from t2ibench.runner.run import CellResult, RunOptions
    from t2ibench.runner.suite import Suite


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"


class Executor(StrEnum):
    local = "local"
    ray = "ray"


PROCESSES: dict[str, Any] = {"rich_help_panel": "More than one process"}


def run(
    suite: Annotated[str, typer.Argument(help="A suite that ships (`t2ibench list suites`) or a YAML file.")] = "quick",
    out: Out = Path("runs"),
    work: Work = Path("runs"),
    batch: Batch = 64,
    device: Device = "cpu",
    workers: Workers = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over records that were made with other settings.")
    ] = False,
    again: Annotated[
        list[str] | None,
        typer.Option(help="Make the cells of this method anew, its images too. Repeat it for more.", metavar="METHOD"),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(min=0, help="How many. 0: one a device or processor, if it pays.", metavar="N", **PROCESSES),
    ] = 0,
    devices: Annotated[
        str | None, typer.Option(help="Their devices, in turn: cuda:0,cuda:1.", metavar="NAMES", **PROCESSES)
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=1, help="Threads of each. Others may move the last digits of a value.", metavar="N", **PROCESSES
        ),
    ] = 1,
    batch_timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which one that is at a batch is ended; after three tries the batch fails.",
            metavar="SECONDS",
            **PROCESSES,
        ),
    ] = None,
    executor: Annotated[
        Executor, typer.Option(help="Where they are: on this machine, or actors of a Ray cluster.", **PROCESSES)
    ] = Executor.local,
    address: Annotated[
        str,
        typer.Option(help="Of the Ray cluster, or auto. Without it, one is started here.", metavar="URL", **PROCESSES),
    ] = "",
    shard: Annotated[
        str | None,
        typer.Option(
            help="Make part I of N, and score nothing; the same command without it scores.", metavar="I/N", **PROCESSES
        ),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Only these methods and baselines of the suite, separated by commas.")
    ] = None,
    tracks: Annotated[str | None, typer.Option(help="Only these tracks of the suite, separated by commas.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=4, help="A trial: at most so many texts, images, pairs. A suite of its own, NAME-first-N."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything that can be checked before the first image, and stop.")
    ] = False,
    json: Json = False,
) -> None:
    """Generate, score and record every cell of a suite, then show its leaderboard.

    The same command again goes on where it was.
    """
    from t2ibench.cli.report import PAGES, how_to_open, write_pages
    from t2ibench.report import board, drawn, formats, outputs
    from t2ibench.report.audits import load as audits_of
    from t2ibench.runner.narrow import narrowed
    from t2ibench.runner.run import RunOptions
    from t2ibench.runner.run import run as run_cells
    from t2ibench.runner.suite import load

    options = RunOptions(
        out=out,
        work=work,
        batch=batch,
        device=device,
        replace=replace,
        again=tuple(again or ()),
        jobs=jobs,
        devices=[device_of(name) for name in names_of(devices, "--devices")] if devices is not None else (),
        threads=threads,
        workers=workers,
        executor=executor.value,
        address=address,
        batch_timeout=batch_timeout,
        shard=None if shard is None else shard_of(shard),
    )
    only_methods = names_of(methods, "--methods") if methods is not None else ()
    only_tracks = names_of(tracks, "--tracks") if tracks is not None else ()
    wanted, started = narrowed(load(suite), only_methods, only_tracks, limit), time.perf_counter()
    if dry_run:
        raise typer.Exit(show_preflight(wanted, options, json))
    say(f"[bold]{escape(wanted.name)}[/] {escape(wanted.title)}")
    cells = []
    for cell in run_cells(wanted, options):
        cells.append(cell)
        drawn.draw(cell.record, work, out)
        say(progress_line(cell))
    if shard is not None:
        print(
            f"part {shard} of {wanted.name} is made; once every part is, the same command without --shard scores them"
        )
        return
    # A record that was made earlier may hold columns that the suite has changed since.
    rows = [{**cell.record, "columns": list(wanted.columns)} for cell in cells]
    audits = audits_of(out)
    folder = work / wanted.name
    written = [*outputs.write_sheets(rows, work, folder), *outputs.write_boards(rows, out / wanted.name, audits)]
    boards = board.boards(rows, audits)
    if json:
        print_json(formats.as_json(boards))
        write_pages(rows, audits, [work], [out], folder / PAGES)
        _end(cells)
        return
    formats.show(boards, stdout())
    fresh = sum(cell.fresh for cell in cells)
    stdout().print(
        f"{fresh} of {len(cells)} cells made now, in {time.perf_counter() - started:.0f} s. "
        f"{', '.join(map(str, written))}",
        style="dim",
    )
    print(how_to_open(write_pages(rows, audits, [work], [out], folder / PAGES)))
    _end(cells)


def shard_of(text: str) -> tuple[int, int]:
    """The numbers of "2/8", a part and how many there are. Raises UserError for anything else."""
    part, slash, count = text.partition("/")
    if not (slash and part.isdecimal() and count.isdecimal() and int(part) < int(count)):
        raise UserError(f"--shard {text!r}: expected a part and their number, 0/8 to 7/8 for eight parts")
    return int(part), int(count)


def show_preflight(suite: Suite, options: RunOptions, json: bool) -> int:
    """Print what is on disk of what the suite needs, then what `preflight` finds: a line a cell and a metric.

    Where something that it cannot do without is missing, nothing more is looked at. Returns 2 if something has to be
    mended, else 0.
    """
    from t2ibench.runner.needs import needs_of
    from t2ibench.runner.preflight import PreflightLine, planned, preflight

    lines = [
        PreflightLine("", need.what, need.state, problem=need.state if need.hinders else "") for need in needs_of(suite)
    ]
    if not any(line.problem for line in lines):
        lines += preflight(planned(suite, options), options)
    if json:
        print_json([asdict(line) for line in lines])
    else:
        table = tables.table()
        for title in ("track", "cell or metric", "state", "images"):
            table.add_column(title, justify="right" if title == "images" else "left")
        for line in lines:
            state = Text(line.problem, "bold red") if line.problem else Text(line.state)
            table.add_row(line.track, line.what, state, f"{line.images:,}" if line.images else "")
        stdout().print(table)
        images, problems = sum(line.images for line in lines), sum(bool(line.problem) for line in lines)
        stdout().print(
            f"{images:,} images to make; {problems} to mend first" if problems else f"{images:,} images to make"
        )
    return 2 if any(line.problem for line in lines) else 0


def _end(cells: Sequence[CellResult]) -> None:
    """Say which cells failed, and why, and leave with exit code 4 if there are any."""
    failed = [cell.record for cell in cells if cell.failed]
    for record in failed:
        print(f"t2ibench: {record['method']} failed in {record['track']}: {_why(record)}", file=sys.stderr)
    if failed:
        print("t2ibench: the other cells are recorded; once it is mended: --again METHOD", file=sys.stderr)
        raise typer.Exit(4)


def table(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=folder_of, metavar="FOLDER", help="What `t2ibench run` wrote (its --out), or any folder of records."
        ),
    ] = Path("runs"),
    format: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.terminal,
    suite: Annotated[str | None, typer.Option(help="Only the boards of this suite.")] = None,
    track: Annotated[str | None, typer.Option(help="Only the boards of this track.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Only these, in this order, separated by commas, and what each of them answers.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every number, not only the suite's columns.")] = False,
    methods: Annotated[
        str | None, typer.Option(help="Only these methods and baselines, separated by commas; ranked among themselves.")
    ] = None,
    transpose: Annotated[bool, typer.Option(help="A row a number, a column a method; Markdown and LaTeX.")] = False,
    caption: Annotated[str | None, typer.Option(help="The caption of the LaTeX table.")] = None,
    label: Annotated[str | None, typer.Option(help="The label of the LaTeX table, for \\ref.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Also write each board as a figure to this folder, PDF and SVG.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the leaderboards of recorded runs."""
    from t2ibench.core import records
    from t2ibench.report import board, formats
    from t2ibench.report.audits import load as audits_of

    rows = _of_suite(records.load(folder), suite, folder)
    tracks = {record["track"] for record in rows}
    if track is not None and track not in tracks:
        raise UserError(f"--track: {folder} holds no record of the track {track!r}{did_you_mean(track, tracks)}")
    rows = [record for record in rows if track in (None, record["track"])]
    if methods is not None:
        rows = board.of_methods(rows, names_of(methods, "--methods"))
    boards = board.boards(rows, audits_of(folder))
    if columns is not None:
        names = list(dict.fromkeys(names_of(columns, "--columns")))
        boards = board.chosen(boards, names)
    if figures is not None:
        from t2ibench.report.figures import write as write_figures

        for path in write_figures(boards, figures, everything):
            say(escape(str(path)))
    if json:
        print_json(formats.as_json(boards))
    elif format is Format.terminal:
        formats.show(boards, stdout(), everything)
    elif format is Format.csv:
        print(formats.as_csv(boards), end="")
    elif format is Format.markdown:
        print("\n".join(formats.markdown(board, everything, transpose) for board in boards), end="")
    else:
        if label is not None and len(boards) > 1:
            raise UserError(f"--label: {len(boards)} boards would have one label: choose one with --suite and --track")
        print("\n".join(formats.latex(board, everything, transpose, caption, label) for board in boards), end="")


def progress_line(cell: CellResult) -> str:
    """The line about a finished cell for a person at a terminal."""
    record, counts = cell.record, cell.record["counts"]
    what = f"{counts['ok']:,} of {counts['requested']:,} images" + (
        " [bold red]partial[/]" if record["partial"] else ""
    )
    if record["failures"]:
        what += f" [red]{escape(_why(record))}[/]"
    when = f"{cell.seconds:.0f} s" if cell.fresh else "[dim]recorded before[/]"
    return (
        f"  {'[green]●[/]' if cell.fresh else '[dim]○[/]'} {escape(record['method'])} seed {record['seed']}  "
        f"{what}  {when}"
    )


def _why(record: Mapping[str, Any]) -> str:
    """The most common reason why samples of a cell failed, of those that its record shows."""
    reasons = Counter(failure["message"] or f"{failure['status']} image" for failure in record["failures"])
    [(reason, _)] = reasons.most_common(1)
    return reason


def _of_suite(rows: Sequence[Mapping[str, Any]], name: str | None, folder: Path) -> list[Mapping[str, Any]]:
    suites = {record["suite"] for record in rows}
    if name is not None and name not in suites:
        raise UserError(f"{folder} holds no record of the suite {name!r}{did_you_mean(name, suites)}")
    return [record for record in rows if name in (None, record["suite"])]
