"""The rules of T0 and T1: how near a probe must stay to its baseline, and what all findings say together.

| values | on the same platform | on another platform |
|---|---|---|
| T0: numbers | 1e-6, relative | 1e-4 |
| T0: pixels | equal | one level |
| T0: resized floats, [0, 255] | 1e-5 | 1e-3 |
| T0: shares of the 48 images | equal | one image |
| T1: features of every image | 1e-5 of their norm | 1e-4 |

The limit of T1 is narrower than a cosine of 1 - 1e-5, because networks that compute in bfloat16 lie between the two. A
platform is a system, a processor and a device. Other packages do not make another platform: they are what the gate is
there to find. A probe that cannot be measured is inconclusive and never passes. The rules of T2 are in `methods`.
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
from t2ibench.core.cache import empty
from t2ibench.core.errors import UserError
from t2ibench.networks.models import Models

Status = Literal["pass", "drift", "inconclusive"]
LIMITS = {
    "pixels": (0.0, 1.0),
    "floats": (1e-5, 1e-3),
    "features": (1e-5, 1e-4),
    "number": (1e-6, 1e-4),
    "share": (1e-9, 1 / 48 + 1e-9),
}
SAID = {"pixels": "levels", "floats": "of 255", "features": "of the norm", "number": "relative", "share": "absolute"}
MEAN_LEVELS = 0.01  # levels: how much the pixels of another platform may differ on average
DRIFT, INCONCLUSIVE = 1, 3  # exit codes


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    name, tier, layer: the check.
    status: "pass", "drift" or "inconclusive".
    said: the result as text, with its unit.
    size: how far the value is from the baseline, in that unit.
    limit: how far it may be.
    """

    name: str
    tier: int
    layer: Layer
    status: Status
    said: str
    size: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """All findings of a baseline together.

    findings: in the order of the layers.
    changes: the differences between the environment of the baseline and this one.
    weights: the names of the weights that the baseline uses.
    baseline: the name of the baseline in reports.
    same_platform: whether the baseline comes from a platform like this one.
    """

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
        """The first layer that drifts; None without drift. The drift of later layers follows from it."""
        drifted = {finding.layer for finding in self.drifted}
        return next((layer for layer in LAYERS if layer in drifted), None)

    @property
    def culprit(self) -> str:
        """One line about the cause of the drift; empty without drift."""
        return "" if self.first_layer is None else culprit.verdict(list(self.changes), self.first_layer, self.weights)


def verdict(findings: Sequence[Finding], baseline: Baseline, where: str, device: str = "cpu") -> Verdict:
    """The verdict: all findings, and the differences between the baseline's environment and this one."""
    now = fingerprint(device)
    used = {*golden.networks(), *(name for record in baseline.records for name in record["weights"])}
    changed = culprit.changes(baseline.environment, now)
    ordered = sorted(findings, key=lambda finding: LAYERS.index(finding.layer))
    return Verdict(ordered, changed, frozenset(used), where, same_platform(baseline.environment, now))


def same_platform(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return before.get("machine") == now.get("machine")


def recompute(baseline: Baseline, tiers: Sequence[int], device: str = "cpu") -> Iterator[Finding]:
    """Measure every T0 and T1 probe of a baseline again, without any cache, and yield its finding."""
    same = same_platform(baseline.environment, fingerprint(device))
    with empty() as cache:
        probes = {probe.name: probe for probe in Probes(golden.load(), Models(device, cache)).all()}
        for measured in baseline.measured:
            layer: Layer = next(layer for layer in LAYERS if layer == measured.layer)
            if TIERS[layer] not in tiers:
                continue
            if measured.name not in probes:
                reason = "this machine cannot measure it: weights that the baseline had are not here"
                yield Finding(measured.name, TIERS[layer], layer, "inconclusive", reason)
            else:
                yield compare(probes[measured.name], measured, same)


def compare(probe: Probe, measured: Measured, same: bool) -> Finding:
    """Measure one probe and compare it with its value in the baseline. same: whether the platform is the same."""
    try:
        with isolated():
            now = probe.measure()
    except UserError as error:
        return Finding(probe.name, probe.tier, probe.layer, "inconclusive", str(error))
    if now.shape != measured.values.shape:
        reason = f"shape {list(now.shape)}, the baseline has {list(measured.values.shape)}"
        return Finding(probe.name, probe.tier, probe.layer, "drift", reason)
    size, limit = distance(now, measured.values, measured.kind), LIMITS[measured.kind][0 if same else 1]
    off = size > limit or not np.isfinite(size)
    if measured.kind == "pixels" and not same:
        off |= float(np.abs(now.astype(float) - measured.values).mean()) > MEAN_LEVELS
    return Finding(
        probe.name, probe.tier, probe.layer, "drift" if off else "pass", _said(now, measured, size, limit), size, limit
    )


def measure(probe: Probe) -> Measured:
    """Measure a probe for a new baseline."""
    with isolated():
        return Measured(probe.name, probe.layer, probe.kind, probe.measure())


def distance(now: np.ndarray, then: np.ndarray, kind: str) -> float:
    """How far two arrays are apart in their worst value, or worst row of features, in the unit of their kind."""
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
    """Run with one thread, so that sums do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
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
