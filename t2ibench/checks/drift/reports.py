"""Writes a verdict as text for people, JSON for programs, JUnit XML and annotations for continuous integration."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from t2ibench.checks import cases
from t2ibench.checks.cases import Case
from t2ibench.checks.drift.gate import INCONCLUSIVE, Finding, Verdict
from t2ibench.checks.drift.probes import LAYERS
from t2ibench.core import tables
from t2ibench.core.storage import publish

MARKS = {"pass": ("✓", "green"), "drift": ("✗", "bold red"), "inconclusive": ("?", "yellow")}
STATUSES: Mapping[str, cases.Status] = {"pass": "pass", "drift": "fail", "inconclusive": "open"}
HEADLINES = {0: "no drift", 1: "drift", INCONCLUSIVE: "inconclusive"}


def show(verdict: Verdict, console: Console, everything: bool = False) -> None:
    """Print a line a layer, every finding that does not pass (or all findings), and the culprit."""
    table = tables.table(show_header=False)
    for layer in LAYERS:
        findings = [finding for finding in verdict.findings if finding.layer == layer]
        if not findings:
            continue
        worst = _worst(findings)
        passed = sum(finding.status == "pass" for finding in findings)
        table.add_row(
            Text(*MARKS[worst]), Text(f"T{findings[0].tier} {layer}", "bold"), f"{passed} of {len(findings)} pass"
        )
        for finding in findings:
            if everything or finding.status != "pass":
                table.add_row("", Text(f"  {finding.name}", MARKS[finding.status][1]), Text(finding.said))
    console.print(table)
    style = {0: "bold green", 1: "bold red"}.get(verdict.exit_code, "bold yellow")
    console.print(Text(summary(verdict), style))
    if verdict.culprit:
        console.print(Text(verdict.culprit))


def summary(verdict: Verdict) -> str:
    """The verdict in one line."""
    counts = {status: sum(finding.status == status for finding in verdict.findings) for status in MARKS}
    where = f", beginning with the layer {verdict.first_layer}" if verdict.first_layer else ""
    platform = "" if verdict.same_platform else "; another platform than the baseline's, so its wider limits hold"
    parts = f"{counts['pass']} checks pass, {counts['drift']} drift, {counts['inconclusive']} inconclusive"
    return f"{HEADLINES[verdict.exit_code]} against {verdict.baseline}{where}: {parts}{platform}"


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for another program."""
    return {
        "verdict": HEADLINES[verdict.exit_code],
        "exit_code": verdict.exit_code,
        "baseline": verdict.baseline,
        "same_platform": verdict.same_platform,
        "first_layer": verdict.first_layer,
        "culprit": verdict.culprit,
        "changes": [asdict(change) for change in verdict.changes],
        "findings": [asdict(finding) for finding in verdict.findings],
    }


def junit(verdict: Verdict) -> bytes:
    """JUnit XML, with a suite a tier and a case a check. Drift is a failure; inconclusive is an error, not a pass."""
    return cases.junit("t2ibench drift", _cases(verdict), verdict.culprit)


def write_junit(verdict: Verdict, path: Path) -> None:
    publish(path, junit(verdict))


def annotations(verdict: Verdict) -> Iterator[str]:
    """Workflow commands of GitHub Actions: an error for a drift, a warning for an inconclusive check, a summary."""
    said = " ".join([summary(verdict), verdict.culprit]).strip()
    return cases.annotations("t2ibench drift", _cases(verdict, by_tier=False), said, verdict.exit_code == 0)


def _cases(verdict: Verdict, by_tier: bool = True) -> list[Case]:
    findings = sorted(verdict.findings, key=lambda finding: finding.tier) if by_tier else verdict.findings
    return [
        Case(f"T{f.tier}", f"t2ibench.checks.drift.T{f.tier}.{f.layer}", f.name, STATUSES[f.status], f.said)
        for f in findings
    ]


def _worst(findings: Iterable[Finding]) -> str:
    statuses = {finding.status for finding in findings}
    return next(status for status in ("drift", "inconclusive", "pass") if status in statuses)
