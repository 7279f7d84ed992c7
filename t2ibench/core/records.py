"""What a cell leaves behind: one JSON file, whole or not there, of numbers that carry interval, count and protocol, or
do not exist.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2ibench.core.errors import UserError
from t2ibench.core.files import write_whole

SCHEMA = 1
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "suite": str,
    "track": str,
    "method": str,
    "kind": str,  # method | baseline
    "seed": int,
    "config": dict,
    # hash of everything that decides the numbers; a record is only ever replaced by one of the same identity
    "identity": str,
    "identity_of": dict,
    "weights": dict,
    "trained_on": list,
    "judges": dict,
    "judge_overlap": dict,
    "dataset": dict,
    "prompts": dict,
    "counts": dict,
    "coverage": (int, float),
    "partial": bool,
    "failures": list,
    "images": str,  # digest of every sample's outcome and pixels
    "values": dict,
    "columns": list,  # the values that the suite puts on its board; empty: all
    "unscored": dict,
    "environment": dict,
    "code": dict,
    "cost": dict,
    "sha256": str,
}
COUNTS = ("requested", "generated", "ok", "black", "nan", "failed")
VALUE = ("value", "ci", "n", "better", "protocol", "protocol_id", "interval", "metric")
VARYING = ("environment", "code", "cost", "sha256")  # what differs between two runs of the same cell


@dataclass(frozen=True)
class Estimate:
    """One number of one metric, with everything needed to read it.

    ci: the 95 % interval, low then high. n: how many samples (or pairs, or prompts) it stands on. better: which way is
    better. protocol: whatever decides the number besides the images (extractor hash, resize, k, ddof, prompts,
    reference digest …); its hash is the protocol id, and numbers compare only under equal ids. details: further
    read-outs, JSON values. interval: how ci was made.
    """

    value: float
    ci: tuple[float, float]
    n: int
    better: Literal["higher", "lower", "none"]
    protocol: Mapping[str, Any]
    interval: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, *self.ci)):
            raise ValueError(f"an estimate must be finite, got {self.value} in {self.ci}")
        if self.ci[0] > self.ci[1] or self.n < 1 or not self.protocol:
            raise ValueError(f"an estimate needs an ordered interval, n >= 1 and a protocol, got {self}")

    def to_json(self, metric: str) -> dict[str, Any]:
        """The estimate as it stands in a record; `metric` is the plug-in that made it."""
        protocol = json.loads(canonical(dict(self.protocol)))
        return {
            **asdict(self),
            "ci": list(self.ci),
            "protocol": protocol,
            "protocol_id": digest(protocol)[:12],
            "metric": metric,
        }


def canonical(content: Any) -> str:
    """The one spelling of JSON content that hashes are taken of. Raises ValueError for NaN and infinity."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )


def digest(content: Any) -> str:
    """sha256 of the canonical JSON."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the hash of its own content, by which damage is found."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return {**json.loads(json.dumps(content, allow_nan=False, default=_plain)), "sha256": digest(content)}


def validate(record: Mapping[str, Any]) -> None:
    """Raises ValueError, saying what, for a missing field, a number that is not finite, or a value that cannot be read
    alone.
    """
    for key, kind in REQUIRED.items():
        if not isinstance(record.get(key), kind):
            raise ValueError(f"{key} is {record.get(key)!r}, expected {kind}")
    if unknown := sorted(set(record) - set(REQUIRED)):
        raise ValueError(f"unknown fields {unknown}")
    if record["schema"] != SCHEMA:
        raise ValueError(f"schema is {record['schema']}, this version reads {SCHEMA}")
    if missing := [key for key in COUNTS if not isinstance(record["counts"].get(key), int)]:
        raise ValueError(f"counts: {missing[0]} is missing")
    counts = record["counts"]
    if counts["ok"] + counts["black"] + counts["nan"] + counts["failed"] != counts["requested"]:
        raise ValueError(f"counts do not add up to the {counts['requested']} requested: {counts}")
    for name, value in record["values"].items():
        _validate_value(name, value)
    if record["sha256"] != digest({key: value for key, value in record.items() if key != "sha256"}):
        raise ValueError("the content does not match its own sha256")


def _validate_value(name: str, value: Mapping[str, Any]) -> None:
    if missing := [key for key in VALUE if value.get(key) in (None, "", {}, [])]:
        raise ValueError(f"values: {name} has no {missing[0]}")
    numbers = [value["value"], *value["ci"], value["n"]]
    if len(value["ci"]) != 2 or not all(
        isinstance(number, int | float) and math.isfinite(number) for number in numbers
    ):
        raise ValueError(f"values: {name} is not finite: {numbers}")
    if value["ci"][0] > value["ci"][1] or value["n"] < 1:
        raise ValueError(f"values: {name} has the interval {value['ci']} and n = {value['n']}")
    if value["protocol_id"] != digest(value["protocol"])[:12]:
        raise ValueError(f"values: {name} has a protocol id that is not the hash of its protocol")


def path_of(folder: Path, suite: str, track: str, method: str, seed: int) -> Path:
    """Where the record of a cell lies under an output folder."""
    return folder / "records" / suite / track / method / f"{seed}.json"


def images_of(work: Path, suite: str, track: str, method: str, seed: int, identity: Mapping[str, Any]) -> Path:
    """Where the images of a cell lie under a work folder. identity: of who makes them, a record's `config`."""
    return work / suite / track / method / f"{seed}-{digest(identity)[:8]}"


def write(record: Mapping[str, Any], path: Path, *, replace: bool = False) -> None:
    """Write a sealed record: to `.part`, to the disk, then renamed.

    Raises UserError where a record of another identity lies there already, unless `replace`, or where the folder cannot
    be written.
    """
    validate(record)
    if path.exists() and not replace and read(path)["identity"] != record["identity"]:
        raise UserError(f"{path} holds a record of other settings: use another --out, or --replace to write over it")
    write_whole(path, (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """A record, checked. Raises UserError naming the file that is damaged or is no record."""
    try:
        record = json.loads(path.read_text("utf-8"))
        validate(record)
    except (ValueError, AttributeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a sound record ({error}): remove the file and run the suite again") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the folder") from error
    return record


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """JSON that `seal` closed and that says it is of this kind.

    Raises UserError where it is missing, damaged or something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["kind"] != kind or content.pop("sha256") != digest(content):
            raise ValueError("the content does not match its own sha256")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): it should be an {kind}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a sound {kind} ({error}): make it again") from error
    return content


def load(folder: Path) -> list[dict[str, Any]]:
    """Every record under an output folder (or a `records` folder, or one file), in the order of their paths."""
    if not folder.exists():
        raise UserError(f"{folder} is missing: give a folder that `t2ibench run` wrote (its --out)")
    paths = (
        [folder]
        if folder.is_file()
        else sorted((folder / "records" if (folder / "records").is_dir() else folder).rglob("*.json"))
    )
    if not paths:
        raise UserError(f"{folder} holds no record: run a suite first, `t2ibench run --out {folder}`")
    return [read(path) for path in paths]


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without what may differ between two runs of the same cell: time, memory, machine, versions."""
    return {key: value for key, value in record.items() if key not in VARYING}


def suites(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Records by (suite, track), in their order."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["suite"], record["track"]), []).append(record)
    return groups


def _plain(value: Any) -> Any:
    """JSON content of what is not JSON: paths, tuples inside dataclasses, numpy and torch scalars."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot stand in a record: {value!r}")
