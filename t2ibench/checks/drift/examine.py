"""Measures everything in a baseline again, and reads what the command line says about baselines."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from t2ibench.checks.drift import baseline, gate, methods
from t2ibench.checks.drift.fingerprint import fingerprint
from t2ibench.core.errors import UserError
from t2ibench.core.progress import track
from t2ibench.report.compare import margins_of
from t2ibench.runner import suite

TIERS = (0, 1, 2)
MARGINS = {methods.OTHERS: 0.01, "clip_score": 0.001}  # the margins of a new baseline


def examine(path: Path, tiers: Sequence[int], seed: int | None = None, device: str = "cpu") -> gate.Verdict:
    """Measure a baseline again and compare.

    path: the baseline file.
    tiers: which of TIERS to measure.
    seed: another run seed for the methods of T2; None: the seeds of the baseline's suite.
    device: the device on which all networks run.

    Raises UserError where the baseline has nothing of these tiers.
    """
    known = baseline.read(path)
    count = sum(1 for measured in known.measured)
    findings = list(track(gate.recompute(known, tiers, device), "measure again", count))
    if 2 in tiers and known.records:
        with tempfile.TemporaryDirectory() as folder:
            records = methods.generate(known.suite, Path(folder), seed, device)
        findings += methods.examine(known, records, gate.same_platform(known.environment, fingerprint(device)))
    if not findings:
        raise UserError(
            f"{path} has nothing of the tiers {', '.join(map(str, tiers))}: write it with --suite, or ask for others"
        )
    return gate.verdict(findings, known, str(path) if path != baseline.SHIPPED else "the shipped baseline", device)


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
    """Margins, written as for `compare`, as shares of the value. Raises UserError for one that is not a share."""
    margins = margins_of(texts)
    by_id = {**margins.own, **({methods.OTHERS: margins.others} if any("=" not in text for text in texts) else {})}
    for id, margin in by_id.items():
        if not margin.relative:
            raise UserError(f"--margin: {id}: a margin of drift is a share of the value, as in {id}=2%")
    return {id: margin.size for id, margin in by_id.items()}
