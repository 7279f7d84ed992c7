"""T2: do methods still do what they did? A small suite is run again, with new images, and compared with the baseline.

If the images are equal bit for bit, their values must be equal too, within the limits of T0. If they are not, a metric
has changed, not a method.

If the images differ, they need not be worse: another processor rounds differently, and another seed draws other images.
So each value in the suite's columns has an equivalence test, paired sample by sample (`t2ibench.stats.paired`). Its
margin is a share of the value and stands in the baseline.

- pass: two one-sided tests, at 5 %, show that the difference is within the margin.
- drift: a test, at 0.5 % for all values together, shows a difference, and it is not shown to be within the margin.
- inconclusive: neither. The finding says how likely this number of samples was to show equality, and what would help.

So at most 0.5 % of all runs report drift of a method that has not changed, whatever the margin.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from t2ibench.checks.drift.baseline import Baseline
from t2ibench.checks.drift.gate import LIMITS, Finding
from t2ibench.core.cache import empty
from t2ibench.core.errors import UserError
from t2ibench.core.records import difference as first_difference
from t2ibench.runner import run, suite
from t2ibench.stats.paired import PairedDifference, difference

OTHERS = "*"  # the key of the margin of all values that have none of their own
LEVEL, FALSE_ALARMS = 0.05, 0.005
Record = Mapping[str, Any]


def generate(
    content: Mapping[str, Any], folder: Path, seed: int | None = None, device: str = "cpu", batch: int = 64
) -> list[Record]:
    """Run the methods of a suite in an empty folder, without any cache. seed: a run seed in place of the suite's."""
    changed = dict(content) if seed is None else {**content, "seeds": [seed]}
    wanted = suite.parse({**changed, "baselines": []}, "drift", "", "drift baseline")
    with empty() as cache:
        options = run.RunOptions(folder, folder, batch, device, cache=cache)
        return [done.record for done in run.run(wanted, options)]


def examine(baseline: Baseline, records: Sequence[Record], same: bool) -> list[Finding]:
    """Compare new records with those of a baseline. same: whether the platform is the baseline's."""
    before = {(record["track"], record["method"]): record for record in baseline.records}
    now = {(record["track"], record["method"]): record for record in records}
    checks = sum(len(_columns(record)) for record in before.values())
    findings = []
    for key, then in before.items():
        if key not in now:
            findings.append(_finding(_name(then), "inconclusive", "it was not made"))
        else:
            findings += compare(then, now[key], baseline.margins, same, checks)
    return findings


def compare(then: Record, now: Record, margins: Mapping[str, float], same: bool, checks: int) -> list[Finding]:
    """The findings on one method. checks: how many values are tested in all; they share the level of false alarms."""
    name = _name(then)
    if then["counts"] != now["counts"]:
        bad = ", ".join(
            f"{now['counts'][key]:,} {key} (before: {then['counts'][key]:,})"
            for key in ("ok", "black", "nan", "failed")
        )
        return [_finding(name, "drift", f"outcomes differ: {bad}")]
    if then["prompts"]["digest"] != now["prompts"]["digest"]:
        return [_finding(f"{name}: prompts", "drift", "it was asked for other prompts, or in another order")]
    equal = then["images"] == now["images"]
    return [_value(f"{name}: {id}", id, then, now, margins, equal, same, checks) for id in _columns(then)]


def zone(gap: PairedDifference, margin: float, checks: int) -> tuple[str, float]:
    """pass, drift or inconclusive, and the power of the test of equivalence."""
    if gap.p_beyond(margin) <= LEVEL:
        return "pass", gap.power(margin, LEVEL)
    return "drift" if gap.p <= FALSE_ALARMS / checks else "inconclusive", gap.power(margin, LEVEL)


def _value(
    name: str, id: str, then: Record, now: Record, margins: Mapping[str, float], equal: bool, same: bool, checks: int
) -> Finding:
    if id not in now["values"]:
        return _finding(name, "drift", "it has no such value any more")
    old, new = then["values"][id], now["values"][id]
    if old["protocol_id"] != new["protocol_id"]:
        change = first_difference(old["protocol"], new["protocol"])
        return _finding(name, "drift", f"another protocol, so the numbers do not compare: {change}")
    moved = f"{new['value']:.6g}, baseline {old['value']:.6g}"
    if equal:
        size, limit = (
            abs(new["value"] - old["value"]) / max(abs(old["value"]), 1e-6),
            LIMITS["number"][0 if same else 1],
        )
        status = "pass" if size <= limit else "drift"
        text = "the images are the same bit by bit" + ("" if status == "pass" else f", but the value is not: {moved}")
        return _finding(name, status, text, size, limit)
    share = margins.get(id, margins.get(OTHERS, 0.01))
    margin = share * abs(old["value"])
    gap = difference([new], [old])
    status, power = zone(gap, margin, checks)
    unit = abs(old["value"]) or 1.0
    low, high = (end / unit for end in gap.interval(1 - 2 * LEVEL))
    text = (
        f"{moved}: {gap.value / unit:+.2%} [{low:+.2%}, {high:+.2%}], margin {share:.2%}, {gap.n:,} {gap.rule} samples"
    )
    if status == "inconclusive":
        text += f"; so many could have shown equality with a chance of {power:.0%}: more captions, or a wider margin"
    return _finding(name, status, text, abs(gap.value) / unit, share)


def names(baseline: Baseline) -> list[str]:
    """The names with which the findings of T2 begin, one for each method."""
    return [_name(record) for record in baseline.records]


def check(records: Sequence[Record]) -> None:
    """Raises UserError where a baseline with these records could never show anything."""
    for record in records:
        if record["partial"]:
            raise UserError(
                f"{record['method']}: coverage {record['coverage']:.1%}: a baseline needs images of nearly all prompts"
            )
        if not _columns(record):
            raise UserError(f"{record['method']}: none of the suite's columns has a value: name some under `columns`")


def _name(record: Record) -> str:
    return f"{record['method']} ({record['track']})"


def _columns(record: Record) -> list[str]:
    return [id for id in record["columns"] or record["values"] if id in record["values"]]


def _finding(name: str, status: Any, said: str, size: float | None = None, limit: float | None = None) -> Finding:
    return Finding(name, 2, "methods", status, said, size, limit)
