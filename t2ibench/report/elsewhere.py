"""Numbers that others report, from files of Every Eval Ever. They stand on a page of their own, and are not ranked.

A number without its samples cannot be tested against ours. It compares only if it says that it was made under one of
our protocols, by its id.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from t2ibench.core.errors import UserError
from t2ibench.core.storage import publish

FOLDER = "elsewhere"  # beside the records
EXPECTED = "a file of Every Eval Ever (schema 0.3: evaluation_id, model_info, source_metadata, evaluation_results)"


@dataclass(frozen=True)
class Foreign:
    """One number that somebody else reports.

    evaluation, result: its ids; equal ones replace each other.
    method, developer: of the model. benchmark, value: what was measured.
    number: finite. low, high: of its interval, None where none is given. count: of samples, None likewise.
    better: the direction. protocol_id: of ours, where it names one; else "".
    organization, url: who reports it, and where. relationship: of the evaluator to the model.
    """

    evaluation: str
    result: str
    method: str
    developer: str
    benchmark: str
    value: str
    number: float
    low: float | None
    high: float | None
    count: int | None
    better: Literal["higher", "lower"]
    protocol_id: str
    organization: str
    url: str
    relationship: str


def read_eee(path: Path) -> list[Foreign]:
    """The numbers of one file. Raises UserError for a file that is none, and for a number that is not finite."""
    content = _json(path)
    try:
        model, source = content["model_info"], content["source_metadata"]
        results = content["evaluation_results"]
        found = [_number(content, model, source, entry) for entry in results]
    except (LookupError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: not {EXPECTED} ({why}): give another file") from error
    for number in found:
        ends = [end for end in (number.low, number.high) if end is not None]
        if not all(map(math.isfinite, [number.number, *ends])):
            raise UserError(f"{path}: {number.value} of {number.method} is not finite: leave it out of the file")
        if len(ends) == 2 and not ends[0] <= number.number <= ends[1]:
            raise UserError(
                f"{path}: {number.value} of {number.method} lies outside its own interval: correct the file"
            )
    return found


def add(numbers: Sequence[Foreign], folder: Path) -> int:
    """Keep numbers beside the records of a folder; one with the ids of an earlier one replaces it. Returns how many
    numbers are kept there now.
    """
    kept = {(number.evaluation, number.result): number for number in [*load(folder), *numbers]}
    text = json.dumps([asdict(number) for number in kept.values()], indent=1, allow_nan=False) + "\n"
    publish(folder / FOLDER / "numbers.json", text.encode())
    return len(kept)


def load(folder: Path) -> list[Foreign]:
    """The numbers that were kept beside the records of a folder. Raises UserError for a damaged file."""
    path = folder / FOLDER / "numbers.json"
    if not path.exists():
        return []
    try:
        names = {field.name for field in fields(Foreign)}
        found = [Foreign(**entry) for entry in _json(path)]
        assert all(set(asdict(number)) == names and math.isfinite(number.number) for number in found)
    except (TypeError, AssertionError) as error:
        raise UserError(f"{path}: not what `t2ibench import` writes: remove it, and import again") from error
    return found


def equal_protocols(numbers: Sequence[Foreign], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """For each protocol id that a number names, the boards of ours that have it, as "suite / track"."""
    named = {number.protocol_id for number in numbers if number.protocol_id}
    boards: dict[str, dict[str, None]] = {}
    for record in rows:
        for value in record["values"].values():
            if value["protocol_id"] in named:
                boards.setdefault(value["protocol_id"], {})[f"{record['suite']} / {record['track']}"] = None
    return {id: list(found) for id, found in boards.items()}


def _number(
    content: Mapping[str, Any], model: Mapping[str, Any], source: Mapping[str, Any], entry: Mapping[str, Any]
) -> Foreign:
    metric, score = entry["metric_config"], entry["score_details"]
    said = score.get("uncertainty") or {}
    interval = said.get("confidence_interval") or {}
    low, high = interval.get("lower"), interval.get("upper")
    count = said.get("num_samples")
    details = metric.get("additional_details") or {}
    value = str(metric.get("metric_name") or metric.get("metric_id") or entry["evaluation_name"])
    return Foreign(
        evaluation=str(content["evaluation_id"]),
        result=str(entry.get("evaluation_result_id") or entry["evaluation_name"]),
        method=str(model["name"]),
        developer=str(model.get("developer") or ""),
        benchmark=str(entry["evaluation_name"]),
        value=value,
        number=float(score["score"]),
        low=None if low is None or high is None else float(low),
        high=None if low is None or high is None else float(high),
        count=count if isinstance(count, int) else None,
        better="lower" if metric["lower_is_better"] else "higher",
        protocol_id=str(details.get("protocol_id") or ""),
        organization=str(source["source_organization_name"]),
        url=str(source.get("source_organization_url") or ""),
        relationship=str(source["evaluator_relationship"]),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=float)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no JSON: {error}"
        raise UserError(f"{path}: cannot be read ({reason}), expected {EXPECTED}") from error
