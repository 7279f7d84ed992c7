"""A baseline looked at again, and what it is asked to hold."""

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
MARGINS = {methods.OTHERS: 0.01, "clip_score": 0.001}  # of a new baseline


def examine(path: Path, tiers: Sequence[int], seed: int | None = None, device: str = "cpu") -> gate.Verdict:
    """The verdict on a baseline. Raises UserError where it has nothing of the tiers asked for."""
    known = baseline.read(path)
    count = sum(1 for measured in known.measured)
    found = list(track(gate.recompute(known, tiers, device), "measure again", count))
    if 2 in tiers and known.records:
        with tempfile.TemporaryDirectory() as folder:
            records = methods.generate(known.suite, Path(folder), seed, device)
        found += methods.examine(known, records, gate.same_platform(known.environment, fingerprint(device)))
    if not found:
        raise UserError(
            f"{path} has nothing of the tiers {', '.join(map(str, tiers))}: write it with --suite, or ask for others"
        )
    return gate.verdict(found, known, str(path) if path != baseline.SHIPPED else "the shipped baseline", device)


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
