"""A baseline: what was measured at some time, in which environment, and why it was written, in one JSON file."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import records, storage
from t2ibench.core.errors import UserError

SCHEMA = 1
SHIPPED = Path(__file__).parent / "shipped.json"
DTYPES = {"pixels": "|u1", "floats": "<f4", "features": "<f4", "number": "<f8", "share": "<f8"}


@dataclass(frozen=True)
class Measured:
    """The values that one probe measured, with its name, layer and kind."""

    name: str
    layer: str
    kind: str
    values: np.ndarray


@dataclass(frozen=True)
class Baseline:
    """The content of a baseline file.

    environment: everything that may change a number, see `fingerprint`.
    measured: the values of T0 and T1.
    reasons: why it was written each time, oldest first.
    suite, records: for T2, the content of a suite file and the records of its methods. Without them there is no T2.
    margins: for T2, the largest change that does not matter, by value id, as a share of the value.
    """

    environment: Mapping[str, Any]
    measured: Sequence[Measured]
    reasons: Sequence[str]
    suite: Mapping[str, Any] = field(default_factory=dict)
    records: Sequence[Mapping[str, Any]] = ()
    margins: Mapping[str, float] = field(default_factory=dict)


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline file, whole or not at all."""
    content = {
        "schema": SCHEMA,
        "reasons": list(baseline.reasons),
        "environment": baseline.environment,
        "margins": dict(baseline.margins),
        "suite": dict(baseline.suite),
        "seen": [{**asdict(one), "values": _packed(one)} for one in baseline.measured],
        "records": list(baseline.records),
    }
    storage.publish(
        path, (json.dumps(records.seal(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


def read(path: Path) -> Baseline:
    """Read a baseline and check it against its own hash.

    Raises UserError for a file that is missing, damaged or of another schema.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema is {content['schema']}, this version reads {SCHEMA}")
        if content["sha256"] != records.digest({key: value for key, value in content.items() if key != "sha256"}):
            raise ValueError("the content does not match its own sha256")
        for record in content["records"]:
            records.validate(record)
        measured = [
            Measured(e["name"], e["layer"], e["kind"], _unpacked(e["kind"], **e["values"])) for e in content["seen"]
        ]
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: `t2ibench drift {path} --write` makes it") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise UserError(f"{path}: not a sound baseline ({error}): get the file again, or write it anew") from error
    keys = ("suite", "records", "margins")
    return Baseline(content["environment"], measured, content["reasons"], **{key: content[key] for key in keys})


def _packed(measured: Measured) -> dict[str, Any]:
    array = np.ascontiguousarray(measured.values, DTYPES[measured.kind])
    if array.size <= 8 and array.dtype.kind == "f":
        return {"shape": list(array.shape), "numbers": array.reshape(-1).tolist()}
    return {"shape": list(array.shape), "base64": base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()}


def _unpacked(kind: str, shape: Sequence[int], numbers: Sequence[float] | None = None, base64: str = "") -> np.ndarray:
    if numbers is not None:
        return np.array(numbers, DTYPES[kind]).reshape(shape)
    return np.frombuffer(zlib.decompress(_decode(base64)), DTYPES[kind]).reshape(shape)


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
