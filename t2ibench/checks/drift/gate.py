"""The rules of the gate: how near a look must stay to its baseline, what the findings say together, and who is
suspected.

T0: numbers within 1e-6 relative on one platform and 1e-4 across platforms, pixels equal (across: one level), resized
floats of [0, 255] within 1e-5 (1e-3), shares of the 48 images equal (across: one image). T1: the features of every
image within 1e-5 (1e-4) of their norm, which is narrower than a cosine of 1 - 1e-5, since networks that compute in
bfloat16 lie between the two. One platform is one system, processor and device; other packages are no other platform,
they are what the gate is there to find. T2 is in `methods`. A look that cannot be taken is inconclusive, never a pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from t2ibench.checks.drift import culprit, golden
from t2ibench.checks.drift.baseline import Baseline, Seen
from t2ibench.checks.drift.fingerprint import fingerprint
from t2ibench.checks.drift.looks import LAYERS, TIERS, Layer, Look, Looks
from t2ibench.core.cache import uncached
from t2ibench.core.errors import UserError
from t2ibench.networks.models import JUDGE, JUDGE_CLIP, Models

Status = Literal["pass", "drift", "inconclusive"]
LIMITS = {
    "pixels": (0.0, 1.0),
    "floats": (1e-5, 1e-3),
    "features": (1e-5, 1e-4),
    "number": (1e-6, 1e-4),
    "share": (1e-9, 1 / 48 + 1e-9),
}
SAID = {"pixels": "levels", "floats": "of 255", "features": "of the norm", "number": "relative", "share": "absolute"}
MEAN_LEVELS = 0.01  # pixels of another platform may differ by so many levels on average
DRIFT, INCONCLUSIVE = 1, 3  # exit codes


@dataclass(frozen=True)
class Finding:
    """What one check found. size: how far from the baseline, limit: how far it may be, both in the unit of `said`."""

    name: str
    tier: int
    layer: Layer
    status: Status
    said: str
    size: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """All findings, in the order of the layers, and what differs between the two environments."""

    findings: Sequence[Finding]
    changes: Sequence[culprit.Change]
    weights: frozenset[str]
    baseline: str
    same_platform: bool

    @property
    def drifted(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.status == "drift"]

    @property
    def exit_code(self) -> int:
        if self.drifted:
            return DRIFT
        return INCONCLUSIVE if not self.findings or any(f.status == "inconclusive" for f in self.findings) else 0

    @property
    def first_layer(self) -> Layer | None:
        """Where the drift begins: what comes after follows from it."""
        drifted = {finding.layer for finding in self.drifted}
        return next((layer for layer in LAYERS if layer in drifted), None)

    @property
    def culprit(self) -> str:
        """One line on what did it; empty without drift."""
        return "" if self.first_layer is None else culprit.verdict(list(self.changes), self.first_layer, self.weights)


def verdict(findings: Sequence[Finding], baseline: Baseline, where: str, device: str = "cpu") -> Verdict:
    """Findings put together with what differs between then and now."""
    now = fingerprint(device)
    used = {JUDGE, JUDGE_CLIP, *(name for record in baseline.records for name in record["weights"])}
    changed = culprit.changes(baseline.environment, now)
    ordered = sorted(findings, key=lambda finding: LAYERS.index(finding.layer))
    return Verdict(ordered, changed, frozenset(used), where, same_platform(baseline.environment, now))


def same_platform(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return before.get("machine") == now.get("machine")


def look_again(baseline: Baseline, tiers: Sequence[int], device: str = "cpu") -> Iterator[Finding]:
    """T0 and T1: every look of the baseline once more, nothing taken from a cache."""
    same = same_platform(baseline.environment, fingerprint(device))
    there = {look.name: look for look in Looks(golden.load(), Models(device)).all()}
    for seen in baseline.seen:
        layer: Layer = next(layer for layer in LAYERS if layer == seen.layer)
        if TIERS[layer] not in tiers:
            continue
        if seen.name not in there:
            said = "this machine cannot look at it: weights that the baseline had are not here"
            yield Finding(seen.name, TIERS[layer], layer, "inconclusive", said)
        else:
            yield look_at(there[seen.name], seen, same)


def look_at(look: Look, seen: Seen, same: bool) -> Finding:
    """One look against what was seen."""
    try:
        with alone():
            now = look.see()
    except UserError as error:
        return Finding(look.name, look.tier, look.layer, "inconclusive", str(error))
    if now.shape != seen.values.shape:
        said = f"shape {list(now.shape)}, the baseline has {list(seen.values.shape)}"
        return Finding(look.name, look.tier, look.layer, "drift", said)
    size, limit = distance(now, seen.values, seen.kind), LIMITS[seen.kind][0 if same else 1]
    off = size > limit or not np.isfinite(size)
    if seen.kind == "pixels" and not same:
        off |= float(np.abs(now.astype(float) - seen.values).mean()) > MEAN_LEVELS
    return Finding(
        look.name, look.tier, look.layer, "drift" if off else "pass", _said(now, seen, size, limit), size, limit
    )


def see(look: Look) -> Seen:
    """A look, for a baseline."""
    with alone():
        return Seen(look.name, look.layer, look.kind, look.see())


def distance(now: np.ndarray, then: np.ndarray, kind: str) -> float:
    """How far two arrays are apart, the worst value (or row of features) counting, in the unit of their kind."""
    gap = np.abs(now.astype(float) - then.astype(float))
    if kind == "features":
        return float(
            (np.linalg.norm(gap, axis=1) / np.maximum(np.linalg.norm(then.astype(float), axis=1), 1e-12)).max()
        )
    if kind == "number":
        return float((gap / np.maximum(np.abs(then), 1e-6)).max())
    return float(gap.max())


@contextmanager
def alone() -> Iterator[None]:
    """One thread, so that the order of a sum does not depend on the number of cores, and nothing from a cache."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with uncached(), torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def _said(now: np.ndarray, seen: Seen, size: float, limit: float) -> str:
    words = f"off by {size:.2g} {SAID[seen.kind]}, at most {limit:.2g} allowed"
    if now.size == 1:
        return f"{now.item():.9g}, baseline {seen.values.item():.9g}: {words}"
    if seen.kind == "features":
        cosines = (now * seen.values).sum(1) / np.maximum(
            np.linalg.norm(now, axis=1) * np.linalg.norm(seen.values, axis=1), 1e-12
        )
        return f"{words}; smallest cosine {float(cosines.min()):.7f}"
    return words
