"""Records made by hand."""

from typing import Any, Literal

import numpy as np

from t2ibench.core import records
from t2ibench.core.records import Estimate
from t2ibench.stats.paired import (
    spell,
)


def value(
    number: float = 0.5, half: float = 0.1, better: Literal["higher", "lower", "none"] = "higher", protocol: str = "p"
) -> dict:
    estimate = Estimate(number, (number - half, number + half), 10, better, {"k": protocol}, "Wilson")
    return estimate.to_json("hue")


def record(method: str = "painter", values: dict | None = None, **changes) -> dict:
    """A sound record, made by hand."""
    ok = changes.pop("ok", 4)
    content = {
        "schema": records.SCHEMA,
        "suite": "s",
        "track": "text_to_image",
        "method": method,
        "kind": "method",
        "seed": 0,
        "config": {},
        "identity_of": {"a": 1},
        "plugins": {},
        "weights": {},
        "trained_on": [],
        "judges": {},
        "judge_overlap": {},
        "dataset": {},
        "prompts": {},
        "counts": {"requested": 4, "generated": ok, "ok": ok, "black": 0, "nan": 4 - ok, "failed": 0},
        "coverage": ok / 4,
        "partial": ok < 4,
        "failures": [],
        "images": "d",
        "values": {"hue": value()} if values is None else values,
        "columns": [],
        "unscored": {},
        "environment": {},
        "code": {},
        "cost": {"seconds_per_image": 0.25},
        "facts": {},
    }
    content |= changes
    return records.seal({"identity": records.digest(content["identity_of"]), **content})


def kept(values, better="higher", protocol="p") -> dict:
    """A value that keeps its samples."""
    values = np.asarray(values, float)
    estimate = Estimate(
        float(values.mean()), (-9.0, 9.0), len(values), better, {"k": protocol}, "x", {"per_sample": spell(values, 8)}
    )
    return estimate.to_json("m")


SOUND: dict[str, Any] = {
    "dataset": {"name": "d", "reference": {"split": "test", "images": 4}},
    "prompts": {"images": {"captions": 4}},
    "code": {"version": "0", "commit": None, "dirty": None},
    "cost": {"seconds_per_image": 0.1, "peak_memory_bytes": 1, "training_minutes": {}},
}
