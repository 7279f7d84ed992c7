"""Whether the values of records follow from the samples and counts that the records keep.

A value that keeps its samples (`per_sample`) is their mean; of a rate that was cut at 0 or 1, the mean may lie beyond.
An entry of a table that keeps `hits` and `n` has their quotient right before its interval. Distances between sets keep
no samples: only scoring the images again can check them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.report.site.contents import Recomputed
from t2ibench.stats.paired import per_sample

Record = Mapping[str, Any]
EXACT = 1e-9  # the relative error of sums in another order


def recompute(records: Sequence[Record]) -> Recomputed:
    """Compute again what can be, and count it. Raises UserError that names the first value which disagrees."""
    means = rates = left = 0
    for record in records:
        where = f"{record['suite']}/{record['track']}/{record['method']}/{record['seed']}"
        for id, value in record["values"].items():
            numbers = per_sample(value)
            if numbers is None or np.isnan(numbers).all():
                left += 1
            else:
                check_mean(f"{where}: {id}", value, numbers)
                means += 1
            for path, entry in counted(value["details"]):
                check_rate(f"{where}: {id}: {path}", entry)
                rates += 1
    return Recomputed(means, rates, left)


def check_mean(where: str, value: Mapping[str, Any], numbers: np.ndarray) -> None:
    """Raise UserError unless a value is the mean of its samples [N], up to the digits in which these are kept."""
    mean, stated = float(np.nanmean(numbers)), float(value["value"])
    allowed = rounding(value["details"]["per_sample"]) + EXACT * max(1.0, abs(mean))
    if abs(mean - stated) <= allowed or (stated == 0 and mean < 0) or (stated == 1 and mean > 1):
        return
    raise UserError(
        f"{where} is {stated:.6g}, but the samples in its record have the mean {mean:.6g}: the record was changed; "
        f"make it again, or leave it out"
    )


def rounding(text: str) -> float:
    """How far the mean of spelled numbers may lie from that of the numbers, because their digits were cut.

    Numbers that all have as many decimals were cut there; others behind as many digits as the longest of them has.
    """
    words = [word for word in (text.split() if " " in text else text) if word != "-"]
    numbers = [Decimal(word) for word in words]
    decimals = {len(word.partition(".")[2]) if "e" not in word.lower() else None for word in words}
    if decimals == {0}:
        return 0.0
    if len(decimals) == 1 and (places := decimals.pop()) is not None:
        return 0.5 * 10.0**-places
    digits = max(len(number.normalize().as_tuple().digits) for number in numbers)
    halves = [0.5 * 10.0 ** (number.adjusted() - digits + 1) for number in numbers if number]
    return math.fsum(halves) / len(numbers)


def counted(content: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every entry of a value's details that keeps `hits`, `n` and an interval behind a number, with its place."""
    if isinstance(content, Mapping):
        keys = list(content)
        if {"hits", "n", "ci"} <= content.keys() and keys.index("ci") > 0:
            yield path, content
        for key, inner in content.items():
            yield from counted(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(content, list):
        for place, inner in enumerate(content):
            name = (
                next((text for text in inner.values() if isinstance(text, str)), place)
                if isinstance(inner, dict)
                else place
            )
            yield from counted(inner, f"{path}[{name}]")


def check_rate(where: str, entry: Mapping[str, Any]) -> None:
    """Raise UserError unless the number before an entry's interval is its share of hits, within the interval."""
    keys = list(entry)
    name = keys[keys.index("ci") - 1]
    share, stated = entry["hits"] / entry["n"] if entry["n"] else 0.0, entry[name]
    low, high = entry["ci"]
    if not isinstance(stated, int | float) or abs(share - stated) > EXACT or not low - EXACT <= stated <= high + EXACT:
        raise UserError(
            f"{where}: {name} is {stated} in [{low}, {high}], but {entry['hits']} of {entry['n']} are {share:.6g}: the "
            f"record was changed; make it again, or leave it out"
        )
