"""The rules of the gate: how near a probe must stay to its baseline, what the findings say together, and who is
suspected.

T0: numbers within 1e-6 relative on one platform and 1e-4 across platforms, pixels equal (across: one level), resized
floats of [0, 255] within 1e-5 (1e-3), shares of the 48 images equal (across: one image). T1: the features of every
image within 1e-5 (1e-4) of their norm, which is narrower than a cosine of 1 - 1e-5, since networks that compute in
bfloat16 lie between the two. One platform is one system, processor and device; other packages are no other platform,
they are what the gate is there to find. T2 is in `methods`. A probe that cannot be measured is inconclusive, never a
pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from t2ibench.checks.drift import culprit, golden
from t2ibench.checks.drift.baseline import Baseline, Measured
from t2ibench.checks.drift.fingerprint import fingerprint
from t2ibench.checks.drift.probes import LAYERS, TIERS, Layer, Probe, Probes
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


def recompute(baseline: Baseline, tiers: Sequence[int], device: str = "cpu") -> Iterator[Finding]:
    """T0 and T1: every probe of the baseline once more, nothing taken from a cache."""
    same = same_platform(baseline.environment, fingerprint(device))
    there = {probe.name: probe for probe in Probes(golden.load(), Models(device)).all()}
    for measured in baseline.measured:
        layer: Layer = next(layer for layer in LAYERS if layer == measured.layer)
        if TIERS[layer] not in tiers:
            continue
        if measured.name not in there:
            said = "this machine cannot measure it: weights that the baseline had are not here"
            yield Finding(measured.name, TIERS[layer], layer, "inconclusive", said)
        else:
            yield compare(there[measured.name], measured, same)


def compare(probe: Probe, measured: Measured, same: bool) -> Finding:
    """One probe against its value in the baseline."""
    try:
        with isolated():
            now = probe.measure()
    except UserError as error:
        return Finding(probe.name, probe.tier, probe.layer, "inconclusive", str(error))
    if now.shape != measured.values.shape:
        said = f"shape {list(now.shape)}, the baseline has {list(measured.values.shape)}"
        return Finding(probe.name, probe.tier, probe.layer, "drift", said)
    size, limit = distance(now, measured.values, measured.kind), LIMITS[measured.kind][0 if same else 1]
    off = size > limit or not np.isfinite(size)
    if measured.kind == "pixels" and not same:
        off |= float(np.abs(now.astype(float) - measured.values).mean()) > MEAN_LEVELS
    return Finding(
        probe.name, probe.tier, probe.layer, "drift" if off else "pass", _said(now, measured, size, limit), size, limit
    )


def measure(probe: Probe) -> Measured:
    """A probe, for a baseline."""
    with isolated():
        return Measured(probe.name, probe.layer, probe.kind, probe.measure())


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
def isolated() -> Iterator[None]:
    """One thread, so that the order of a sum does not depend on the number of cores, and nothing from a cache."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with uncached(), torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def _said(now: np.ndarray, measured: Measured, size: float, limit: float) -> str:
    words = f"off by {size:.2g} {SAID[measured.kind]}, at most {limit:.2g} allowed"
    if now.size == 1:
        return f"{now.item():.9g}, baseline {measured.values.item():.9g}: {words}"
    if measured.kind == "features":
        cosines = (now * measured.values).sum(1) / np.maximum(
            np.linalg.norm(now, axis=1) * np.linalg.norm(measured.values, axis=1), 1e-12
        )
        return f"{words}; smallest cosine {float(cosines.min()):.7f}"
    return words
