"""`drift`: a baseline looked at again, or written."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from t2ibench.checks.drift import baseline, gate, golden, methods, reports
from t2ibench.checks.drift.examine import MARGINS, content_of, examine, shares_of, tiers_of
from t2ibench.checks.drift.fingerprint import fingerprint
from t2ibench.checks.drift.looks import Looks
from t2ibench.commands.console import out, print_json, say
from t2ibench.core.errors import UserError
from t2ibench.core.progress import track
from t2ibench.networks.models import Models


def check_drift(
    path: Path | None, tiers: str, seed: int | None, junit: Path | None, device: str, *, github: bool, everything: bool, json: bool
) -> int:
    """Look again, and say what was found in every way asked for; returns the exit code."""
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
    if path is None:
        raise UserError("drift --write: name the file to write")
    before = baseline.read(path) if path.exists() else None
    if before is not None and not accept:
        raise UserError(f"{path} is a baseline already: say why it has to change with --accept REASON")
    seen = [gate.see(look) for look in track(list(Looks(golden.load(), Models(device)).all()), "look")]
    content = content_of(of) if of is not None else dict(before.suite) if before is not None else {}
    limits = {**(before.margins if before is not None else MARGINS if content else {}), **shares_of(margins)}
    made: list[Mapping[str, Any]] = []
    if content:
        with tempfile.TemporaryDirectory() as folder:
            made = methods.generate(content, Path(folder), device=device)
        methods.check(made)
    reasons = [*(before.reasons if before is not None else ()), accept or "first written"]
    baseline.write(baseline.Baseline(fingerprint(device), seen, reasons, content, made, limits), path)
    say(f"[bold]{path}[/]")
