"""What was verified: `verify` leaves a file for each cell beside the records of a board, and the board shows it.

A record is *verified* if such a file is of this very record, and its metrics are those of today; *stale* if the record
or a metric has changed since; *self-reported* if nobody scored its images again. Whoever may write into the folder can
write such a file, so only those who keep a board should.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from t2ibench.core import plugins, records
from t2ibench.core.storage import publish
from t2ibench.runner.record import changed_code, plugins_of

KIND, FOLDER = "verification", "verified"
State = Literal["verified", "stale", "self-reported"]
WORST: Sequence[State] = ("stale", "self-reported", "verified")
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """Whether somebody else scored the images of a record again. why: one sentence on it."""

    state: State
    why: str


SELF_REPORTED = Standing("self-reported", "nobody has scored its images again")


def path_of(out: Path, record: Record) -> Path:
    """Where the verification of a record lies under an output folder."""
    return out / FOLDER / record["suite"] / record["track"] / record["method"] / f"{record['seed']}.json"


def write(path: Path, record: Record, images: int, values: int, code: Mapping[str, Any], by: Mapping[str, Any]) -> Path:
    """Write the verification of a record.

    images, values: how many were hashed and computed again. code: the plug-ins of the metrics that did it. by: the
    version of this package.
    """
    content = {
        "kind": KIND,
        **{key: record[key] for key in records.CELL},
        "record": record["sha256"],
        "images": images,
        "values": values,
        "plugins": dict(code),
        "code": dict(by),
    }
    publish(path, (json.dumps(records.seal(content), indent=1, ensure_ascii=False) + "\n").encode())
    return path


def load(out: Path) -> list[dict[str, Any]]:
    """Every verification under an output folder. Raises UserError for a damaged one."""
    return [records.read_sealed(path, KIND) for path in sorted((out / FOLDER).glob("*/*/*/*.json"))]


def standings(rows: Sequence[Record], folders: Sequence[Path]) -> dict[tuple[Any, ...], Standing]:
    """The standing of records, by cell. folders: the output folders in which their verifications lie."""
    known = {records.cell_of(entry): entry for folder in folders for entry in load(folder)}
    found = {}
    for record in rows:
        cell = records.cell_of(record)
        found[cell] = _standing(record, known[cell]) if cell in known else SELF_REPORTED
    return found


def _standing(record: Record, entry: Mapping[str, Any]) -> Standing:
    """What a verification says of a record today."""
    if entry["record"] != record["sha256"]:
        return Standing("stale", "the record has changed since it was verified")
    there = plugins.find("metrics")
    names = [name.partition("/")[2] for name in entry["plugins"]]
    now = plugins_of(None, None, [name for name in names if name in there])
    changed = [key for key, plugin in now.items() if plugin["revision"] != entry["plugins"][key]["revision"]]
    if changed := sorted({*changed, *changed_code(entry["plugins"], now)}):
        return Standing("stale", f"{', '.join(changed)} changed since it was verified")
    text = f"{entry['values']:,} values were computed again from {entry['images']:,} images"
    return Standing("verified", f"{text} by t2ibench {entry['code'].get('version', '')}".rstrip())


def worst(found: Sequence[Standing]) -> Standing:
    """The standing of several records together: that of the one that is known least."""
    return min(found, key=lambda standing: WORST.index(standing.state), default=SELF_REPORTED)
