"""`drift`: measures a baseline again, or writes a new one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from t2ibench.cli.console import out, print_json, say
from t2ibench.cli.options import Device, Json
from t2ibench.core.errors import UserError

if TYPE_CHECKING:
    from t2ibench.checks.drift.baseline import Measured


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
    from t2ibench.checks.drift import reports
    from t2ibench.checks.drift.baseline import SHIPPED
    from t2ibench.checks.drift.examine import examine, tiers_of

    if write:
        write_baseline(baseline, Wanted(suite, tuple(margin or ()), accept), device)
        return
    verdict = examine(baseline or SHIPPED, tiers_of(tiers), seed, device)
    if junit is not None:
        reports.write_junit(verdict, junit)
    if json:
        print_json(reports.as_json(verdict))
    else:
        reports.show(verdict, out(), everything)
    if github or (os.environ.get("GITHUB_ACTIONS") == "true" and not json):
        print("\n".join(reports.annotations(verdict)))
    raise typer.Exit(verdict.exit_code)


@dataclass(frozen=True)
class Wanted:
    """What the user wants of a new baseline.

    suite: the suite whose methods are kept. Without one, those of the old baseline are.
    margins: the largest changes that do not matter, in place of the old ones.
    reason: why a baseline that exists has to change.
    """

    suite: str | None
    margins: Sequence[str]
    reason: str | None


def write_baseline(path: Path | None, wanted: Wanted, device: str) -> None:
    """Write a baseline: T0 and T1, and T2 where a suite is named. An old one is written over only with a reason."""
    from t2ibench.checks.drift import baseline
    from t2ibench.checks.drift.examine import MARGINS, content_of, shares_of
    from t2ibench.checks.drift.fingerprint import fingerprint
    from t2ibench.report.compare import margins_of

    if path is None:
        raise UserError("drift --write: name the file to write")
    before = baseline.read(path) if path.exists() else None
    if before is not None and not wanted.reason:
        raise UserError(f"{path} is a baseline already: say why it has to change with --accept REASON")
    shares = shares_of(wanted.margins)
    values = measured(device)
    suite = content_of(wanted.suite) if wanted.suite is not None else dict(before.suite) if before is not None else {}
    margins = {**(before.margins if before is not None else MARGINS if suite else {}), **shares}
    made = records_of(suite, device) if suite else []
    if made:
        margins_of(wanted.margins).check({id for record in made for id in record["values"]})
    elif wanted.margins:
        raise UserError("drift --write: --margin is for the values of methods: name a suite of some, --suite")
    reasons = [*(before.reasons if before is not None else ()), wanted.reason or "first written"]
    baseline.write(baseline.Baseline(fingerprint(device), values, reasons, suite, made, margins), path)
    say(f"[bold]{escape(str(path))}[/]")


def measured(device: str) -> list[Measured]:
    """What T0 and T1 measure now."""
    from t2ibench.checks.drift import gate, golden
    from t2ibench.checks.drift.probes import Probes
    from t2ibench.core.cache import empty
    from t2ibench.core.progress import track
    from t2ibench.networks.models import Models

    with empty() as cache:
        probes = list(Probes(golden.load(), Models(device, cache)).all())
        return [gate.measure(probe) for probe in track(probes, "measure")]


def records_of(suite: Mapping[str, Any], device: str) -> list[Mapping[str, Any]]:
    """The records of a suite's methods, run now. Raises UserError for those that a baseline cannot keep."""
    from t2ibench.checks.drift import methods

    with tempfile.TemporaryDirectory() as folder:
        records = methods.generate(suite, Path(folder), device=device)
    methods.check(records)
    return records
