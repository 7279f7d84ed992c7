"""The numbers of a paper beside those of the suites that measure them at its scale: photos, published weights.

A number is reproduced if it lies in the interval of a record of the same suite, method and metric. Where there is no
such record, what is missing for it is said: files, or a network, weights or a protocol that nobody published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from t2ibench.checks.papers.claims import Paper, Reported
from t2ibench.runner import suite
from t2ibench.runner.needs import needs_of

Verdict = Literal["reproduced", "not reproduced", "missing"]
FINE, FAILED, OPEN = 0, 1, 3  # exit codes
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Number:
    """A reported number and what the records say of it.

    value, ci: of the record, in the units of the report; None without a record.
    missing: what is missing for one.
    """

    reported: Reported
    verdict: Verdict
    value: float | None = None
    ci: tuple[float, float] | None = None
    missing: str = ""


def numbers(paper: Paper, records: Sequence[Record]) -> list[Number]:
    """Every number of the paper that was checked against it (status `verified`), in the order of the sheet."""
    return [_number(reported, records) for reported in paper.reported if reported.status == "verified"]


def exit_code(of: Sequence[Number]) -> int:
    """1 where a number is not reproduced; 3 where none is missing but one, or where there are none; else 0."""
    verdicts = [number.verdict for number in of]
    if "not reproduced" in verdicts:
        return FAILED
    return OPEN if "missing" in verdicts or not verdicts else FINE


def _number(reported: Reported, records: Sequence[Record]) -> Number:
    if reported.missing:
        return Number(reported, "missing", missing=reported.missing)
    if not reported.suite:
        return Number(reported, "missing", missing="no suite of ours measures it")
    column = reported.column or reported.metric
    found = [
        record["values"][column]
        for record in records
        if (record["suite"], record["method"]) == (reported.suite, reported.method)
        and column in record["values"]
        and not record["partial"]
    ]
    if not found:
        return Number(reported, "missing", missing=_needed(reported))
    unit = 100.0 if reported.unit == "percent" else 1.0
    low, high = (unit * sum(value["ci"][side] for value in found) / len(found) for side in (0, 1))
    value = unit * sum(value["value"] for value in found) / len(found)
    verdict: Verdict = "reproduced" if low <= float(reported.value) <= high else "not reproduced"
    return Number(reported, verdict, value, (low, high))


def _needed(reported: Reported) -> str:
    """What the record of a number needs: the files that are not here, or only the run itself."""
    absent = [need.archive or need.what for need in needs_of(suite.load(reported.suite)) if need.hinders]
    run = f"t2ibench run {reported.suite}"
    if not absent:
        return f"its record: {run}"
    shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
    return f"{shown} (t2ibench doctor --suite {reported.suite}), then {run}"
