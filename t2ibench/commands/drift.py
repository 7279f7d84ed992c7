"""`drift`: a baseline looked at again, or written."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from t2ibench.commands.console import out, print_json, say
from t2ibench.core.errors import UserError
from t2ibench.core.progress import track
from t2ibench.drift import baseline, gate, golden, methods, reports
from t2ibench.drift.fingerprint import fingerprint
from t2ibench.drift.looks import Looks
from t2ibench.networks.models import Models
from t2ibench.report.compare import margins_of
from t2ibench.runner import suite

TIERS = (0, 1, 2)
MARGINS = {methods.OTHERS: 0.01, "clip_score": 0.001}  # of a new baseline


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


def examine(path: Path, tiers: Sequence[int], seed: int | None = None, device: str = "cpu") -> gate.Verdict:
    """The verdict on a baseline. Raises UserError where it has nothing of the tiers asked for."""
    known = baseline.read(path)
    count = sum(1 for seen in known.seen)
    found = list(track(gate.look_again(known, tiers, device), "look again", count))
    if 2 in tiers and known.records:
        with tempfile.TemporaryDirectory() as folder:
            records = methods.generate(known.suite, Path(folder), seed, device)
        found += methods.examine(known, records, gate.same_platform(known.environment, fingerprint(device)))
    if not found:
        raise UserError(f"{path} has nothing of the tiers {', '.join(map(str, tiers))}: write it with --suite, or ask for others")
    return gate.verdict(found, known, str(path) if path != baseline.SHIPPED else "the shipped baseline", device)


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


def content_of(name: str) -> dict[str, Any]:
    """The content of a suite file, checked."""
    wanted = suite.load(name)
    path = suite.available().get(name, Path(name))
    if not wanted.methods:
        raise UserError(f"{name}: a baseline of methods needs at least one")
    return yaml.safe_load(path.read_text("utf-8"))


def tiers_of(text: str) -> list[int]:
    """ "0,1" as numbers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) in TIERS for part in parts):
        raise UserError(f"--tiers {text!r}: expected some of 0, 1 and 2, separated by commas")
    return [int(part) for part in parts]


def shares_of(texts: Sequence[str]) -> dict[str, float]:
    """Margins as `compare` reads them, which here are shares of the value."""
    found = margins_of(texts)
    said = {**found.own, **({methods.OTHERS: found.others} if any("=" not in text for text in texts) else {})}
    for id, margin in said.items():
        if not margin.relative:
            raise UserError(f"--margin: {id}: a margin of drift is a share of the value, as in {id}=2%")
    return {id: margin.size for id, margin in said.items()}
