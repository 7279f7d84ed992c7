"""`drift`: measures a baseline again, or writes a new one."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from t2ibench.cli.console import out, print_json, say
from t2ibench.cli.options import Device, Json
from t2ibench.core.errors import UserError


def check_drift(
    path: Path | None,
    tiers: str,
    seed: int | None,
    junit: Path | None,
    device: str,
    *,
    github: bool,
    everything: bool,
    json: bool,
) -> int:
    """Measure a baseline again, and report the verdict in every requested form. Returns the exit code."""
    from t2ibench.checks.drift import baseline, reports
    from t2ibench.checks.drift.examine import examine, tiers_of

    verdict = examine(path or baseline.SHIPPED, tiers_of(tiers), seed, device)
    if junit is not None:
        reports.write_junit(verdict, junit)
    if json:
        print_json(reports.as_json(verdict))
    else:
        reports.show(verdict, out(), everything)
    if github or (os.environ.get("GITHUB_ACTIONS") == "true" and not json):
        print("\n".join(reports.annotations(verdict)))
    return verdict.exit_code


def write_baseline(path: Path | None, of: str | None, margins: Sequence[str], accept: str | None, device: str) -> None:
    """Write a baseline: T0 and T1, and T2 where a suite is named. An old one is written over only with a reason."""
    from t2ibench.checks.drift import baseline, gate, golden, methods
    from t2ibench.checks.drift.examine import MARGINS, content_of, shares_of
    from t2ibench.checks.drift.fingerprint import fingerprint
    from t2ibench.checks.drift.probes import Probes
    from t2ibench.core.progress import track
    from t2ibench.networks.models import Models

    if path is None:
        raise UserError("drift --write: name the file to write")
    before = baseline.read(path) if path.exists() else None
    if before is not None and not accept:
        raise UserError(f"{path} is a baseline already: say why it has to change with --accept REASON")
    measured = [gate.measure(probe) for probe in track(list(Probes(golden.load(), Models(device)).all()), "measure")]
    content = content_of(of) if of is not None else dict(before.suite) if before is not None else {}
    limits = {**(before.margins if before is not None else MARGINS if content else {}), **shares_of(margins)}
    records: list[Mapping[str, Any]] = []
    if content:
        with tempfile.TemporaryDirectory() as folder:
            records = methods.generate(content, Path(folder), device=device)
        methods.check(records)
    reasons = [*(before.reasons if before is not None else ()), accept or "first written"]
    baseline.write(baseline.Baseline(fingerprint(device), measured, reasons, content, records, limits), path)
    say(f"[bold]{path}[/]")


def drift(
    baseline: Annotated[
        Path | None, typer.Argument(help="A baseline file; unless given, the shipped one of the metrics.")
    ] = None,
    tiers: Annotated[str, typer.Option(help="0: metrics, 1: features, 2: methods.")] = "0,1,2",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Another run seed for the methods: new images, wide intervals.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Also print annotations; done by itself in GitHub Actions.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every check, not only those that do not pass.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the baseline instead.")] = False,
    suite: Annotated[str | None, typer.Option(help="With --write: whose methods are kept.")] = None,
    margin: Annotated[
        list[str] | None, typer.Option(help="With --write: 1%, or METRIC=0.1%; may be given again.")
    ] = None,
    accept: Annotated[str | None, typer.Option(help="With --write: why a baseline that exists has to change.")] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Do the same inputs still give the same numbers? Exit code 0: yes, 1: drift, 3: it cannot be said."""

    if write:
        write_baseline(baseline, suite, margin or [], accept, device)
        return
    if suite or margin or accept:
        raise UserError("drift: --suite, --margin and --accept are for --write: leave them out, or add it")
    raise typer.Exit(check_drift(baseline, tiers, seed, junit, device, github=github, everything=everything, json=json))
