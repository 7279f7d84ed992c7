"""Records: each cell of a run leaves one JSON file, written whole or not at all.

Every number in it has an interval, a count and a protocol. A number that cannot have them is left out.
"""

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2ibench.core.errors import UserError
from t2ibench.core.files import NO_FILE, is_special
from t2ibench.core.order import natural
from t2ibench.core.plain_text import is_name, plain
from t2ibench.core.storage import publish

log = logging.getLogger(__name__)
SCHEMA = 2
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
    "plugins": dict,  # "methods/gan_cls" -> its revision, the hash of its source, and whether it is settled
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
    "facts": dict,  # what later versions note besides; a key may be added without another schema
    "sha256": str,
}
EARLIER: Mapping[int, Mapping[str, Any]] = {
    1: {"plugins": {}, "facts": {}}
}  # what a record of an earlier schema lacks, and what it reads as
FULL_COVERAGE = 0.99  # a record with a smaller share of ok samples is partial, and kept off the board
COUNTS = ("requested", "generated", "ok", "black", "nan", "failed")
VALUE = ("value", "ci", "n", "better", "protocol", "protocol_id", "interval", "metric")
KINDS = ("method", "baseline")
BETTER = ("higher", "lower", "none")
CELL = ("suite", "track", "method", "seed")  # what names a cell
VARYING = ("environment", "code", "cost", "sha256")  # what differs between two runs of the same cell


@dataclass(frozen=True, repr=False)
class Estimate:
    """One number of one metric, with everything needed to read it.

    value: the number.
    ci: its 95 % interval, low then high.
    n: how many samples (or pairs, or prompts) it was computed from.
    better: whether higher or lower values are better.
    protocol: everything that decides the number besides the images (extractor hash, resize, k, ddof, prompts, reference
        digest …). Its hash is the protocol id, and only numbers with equal ids can be compared.
    interval: how ci was made.
    details: further results, as JSON values.
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

    @property
    def protocol_id(self) -> str:
        """The hash of the protocol: two numbers compare if theirs are equal."""
        return digest(json.loads(canonical(dict(self.protocol))))[:12]

    def __repr__(self) -> str:
        low, high = self.ci
        better = "" if self.better == "none" else f", {self.better} is better"
        try:
            protocol = self.protocol_id
        except TypeError:  # a metric of somebody's put no JSON into it, and an error line shows this text
            protocol = "without an id"
        return f"Estimate({self.value:.5g} [{low:.5g}, {high:.5g}], n={self.n}{better}, protocol {protocol})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        low, high = self.ci
        return (
            f"<b>{self.value:.5g}</b> <small>[{low:.5g}, {high:.5g}], n = {self.n:,}, protocol "
            f"<code>{self.protocol_id}</code></small>"
        )

    def to_json(self, metric: str) -> dict[str, Any]:
        """The estimate as it stands in a record; `metric` is the plug-in that made it."""
        protocol = json.loads(canonical(dict(self.protocol)))
        return {
            **asdict(self),
            "ci": list(self.ci),
            "protocol": protocol,
            "protocol_id": self.protocol_id,
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
    """The record with the hash of its own content, so that damage can be detected."""
    content = {key: value for key, value in record.items() if key != "sha256"}
    return {**json.loads(json.dumps(content, allow_nan=False, default=_plain)), "sha256": digest(content)}


# what every entry of a field has, because boards and pages read it
ENTRIES: dict[str, dict[str, type]] = {
    "weights": {"sha256": str},
    "judges": {"sha256": str},
    "plugins": {"source": str, "settled": bool},
}


def validate(record: Mapping[str, Any]) -> None:
    """Raise ValueError for a record that is not sound, and say what is wrong.

    That is a missing or unknown field, a number that is not finite, a value without its interval, count or protocol,
    counts that do not add up, or a content that was changed.
    """
    if record.get("schema") not in (known := (*EARLIER, SCHEMA)):
        raise ValueError(f"schema is {record.get('schema')!r}, this version reads {' and '.join(map(str, known))}")
    filled = EARLIER.get(record["schema"], {})
    record = {key: value for key, value in record.items() if key not in filled or value != filled[key]}
    fields = {key: kind for key, kind in REQUIRED.items() if key not in filled}
    for key, kind in fields.items():
        if not isinstance(record.get(key), kind):
            raise ValueError(f"{key} is {record.get(key)!r}, expected {kind}")
    if unknown := sorted(set(record) - set(fields)):
        raise ValueError(f"unknown fields {unknown}")
    if unnamed := [key for key in CELL[:3] if not is_name(record[key])]:
        raise ValueError(f"{unnamed[0]} is {record[unnamed[0]]!r:.60}, expected the name of one folder")
    if record["kind"] not in KINDS:
        raise ValueError(f"kind is {record['kind']!r:.60}, expected {' or '.join(KINDS)}")
    if record["identity"] != digest(record["identity_of"]):
        raise ValueError("identity is not the hash of what it is of")
    counts = record["counts"]
    if missing := [key for key in COUNTS if not _is_count(counts.get(key))]:
        raise ValueError(f"counts: {missing[0]} is {counts.get(missing[0])!r:.60}, expected a number from 0 on")
    if counts["ok"] + counts["black"] + counts["nan"] + counts["failed"] != counts["requested"]:
        raise ValueError(f"counts do not add up to the {counts['requested']} requested: {counts}")
    if not counts["ok"] <= counts["generated"] <= counts["requested"]:
        raise ValueError(f"counts: {counts['ok']} ok of {counts['generated']} generated of {counts['requested']}")
    if not math.isclose(record["coverage"], counts["ok"] / max(counts["requested"], 1), abs_tol=1e-9):
        raise ValueError(f"coverage is {record['coverage']}, but {counts['ok']} of {counts['requested']} are ok")
    _validate_shapes(record)
    for name, value in record["values"].items():
        _validate_value(name, value)
    if record["sha256"] != digest({key: value for key, value in record.items() if key != "sha256"}):
        raise ValueError("the content does not match its own sha256")


def _validate_shapes(record: Mapping[str, Any]) -> None:
    """Raise ValueError where the entries of a field are not of the kind that boards and pages read."""
    for key in ("seed", "coverage"):
        if isinstance(record[key], bool):
            raise ValueError(f"{key} is {record[key]}, expected a number")
    if record["partial"] != (record["coverage"] < FULL_COVERAGE):
        raise ValueError(f"partial is {record['partial']} at a coverage of {record['coverage']}")
    for key in ("columns", "trained_on"):
        if wrong := [entry for entry in record[key] if not isinstance(entry, str)]:
            raise ValueError(f"{key} holds {wrong[0]!r:.60}, expected texts")
    failed = ("prompt", "k", "status", "message")
    if wrong := [entry for entry in record["failures"] if not isinstance(entry, Mapping) or set(failed) - set(entry)]:
        raise ValueError(f"failures holds {wrong[0]!r:.60}, expected {', '.join(failed)}")
    for key in ("weights", "judges", "plugins", "values"):
        if wrong := [name for name, entry in record.get(key, {}).items() if not isinstance(entry, Mapping)]:
            raise ValueError(f"{key}: {wrong[0]:.60} is {record[key][wrong[0]]!r:.60}, expected fields")
        needed = ENTRIES.get(key, {})
        for name, entry in record.get(key, {}).items():
            if wrong := [field for field, kind in needed.items() if not isinstance(entry.get(field), kind)]:
                raise ValueError(f"{key}: {name:.60} has the {wrong[0]} {entry.get(wrong[0])!r:.60}, expected another")
    for key, kind in {"version": str, "commit": str, "dirty": bool}.items():
        if not isinstance(record["code"].get(key), kind | None):
            raise ValueError(f"code: {key} is {record['code'][key]!r:.60}, expected {kind.__name__}")
    for key, spent in record["cost"].items():
        spent = spent if isinstance(spent, Mapping) else {"": spent}
        if wrong := [entry for entry in spent.values() if not _is_amount(entry)]:
            raise ValueError(f"cost: {key:.60} is {wrong[0]!r:.60}, expected numbers from 0 on")


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _validate_value(name: str, value: Mapping[str, Any]) -> None:
    if missing := [key for key in VALUE if value.get(key) in (None, "", {}, [])]:
        raise ValueError(f"values: {name} has no {missing[0]}")
    numbers = [value["value"], *value["ci"], value["n"]]
    if len(value["ci"]) != 2 or not all(
        isinstance(number, int | float) and math.isfinite(number) for number in numbers
    ):
        raise ValueError(f"values: {name} is not finite: {numbers}")
    low, high = value["ci"]
    if low > high or value["n"] < 1:
        raise ValueError(f"values: {name} has the interval {value['ci']} and n = {value['n']}")
    width = high - low + 1e-9 * max(1.0, abs(low), abs(high))  # one that corrects a bias may leave its value beside it
    if not low - width <= value["value"] <= high + width:
        raise ValueError(f"values: {name} is {value['value']}, far outside its interval {value['ci']}")
    if value["better"] not in BETTER:
        raise ValueError(f"values: {name}: better is {value['better']!r:.60}, expected one of {', '.join(BETTER)}")
    if value["protocol_id"] != digest(value["protocol"])[:12]:
        raise ValueError(f"values: {name} has a protocol id that is not the hash of its protocol")


def path_of(folder: Path, suite: str, track: str, method: str, seed: int) -> Path:
    """The path of a cell's record in an output folder."""
    return folder / "records" / suite / track / method / f"{seed}.json"


def cell_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What names the cell of a record: its suite, track, method and seed."""
    return tuple(record[name] for name in CELL)


def images_of(
    work: Path,
    suite: str,
    track: str,
    method: str,
    seed: int,
    config: Mapping[str, Any],
    plugins: Mapping[str, Mapping[str, Any]],
) -> Path:
    """The folder of a cell's images in a work folder.

    config, plugins: those of the record, which decide the images. Code that is not settled has folders of its own.
    """
    unsettled = {
        name: plugin["source"]
        for name, plugin in plugins.items()
        if not plugin["settled"] and not name.startswith("metrics/")
    }
    identity = {**config, "code": unsettled} if unsettled else config
    return work / suite / track / method / f"{seed}-{digest(identity)[:8]}"


def write(record: Mapping[str, Any], path: Path, *, replace: bool = False) -> None:
    """Write a sealed record, whole or not at all.

    Raises UserError if the folder cannot be written, or if the path holds a record of another identity and `replace` is
    false.
    """
    validate(record)
    if path.exists() and not replace and read(path)["identity"] != record["identity"]:
        raise UserError(f"{path} holds a record of other settings: use another --out, or --replace to write over it")
    publish(path, (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """Read and check a record of this schema or of an earlier one, whose missing fields are filled.

    Raises UserError, with the path, if the file is damaged or is not a record.
    """
    if is_special(path):
        raise UserError(f"{path} is {NO_FILE}")
    try:
        record = json.loads(path.read_text("utf-8"))
        validate(record)
    except (ValueError, AttributeError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path}: not a sound record ({plain(str(error))}): remove the file and run the suite again"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the folder") from error
    return plain({**record, **EARLIER.get(record["schema"], {})})


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON file that `seal` closed and whose `kind` is this one.

    Raises UserError if it is missing, damaged or of another kind.
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
    """Every record in an output folder, in a `records` folder or in one file, in the natural order of the paths.

    Hidden files and folders are passed over. A copy of a record counts once. Raises UserError for two records of one
    cell (suite, track, method and seed) that differ: their mean would pass for one over two seeds.
    """
    if not folder.exists():
        raise UserError(f"{folder} is missing: give a folder that `t2ibench run` wrote (its --out)")
    root = folder / "records" if (folder / "records").is_dir() else folder
    names = [path.relative_to(root).as_posix() for path in root.rglob("*.json")]
    shown = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    paths = [folder] if folder.is_file() else [root / name for name in sorted(shown, key=natural)]
    if not paths:
        raise UserError(f"{folder} holds no record: run a suite first, `t2ibench run --out {folder}`")
    cells: dict[tuple[Any, ...], tuple[Path, dict[str, Any]]] = {}
    for path in paths:
        if path != folder and not _looks_like_one(path):
            log.info("%s is no record and is passed over", path)
            continue
        record = read(path)
        key = cell_of(record)
        first, other = cells.setdefault(key, (path, record))
        if other is record:
            continue
        if comparable(other) != comparable(record):
            raise UserError(
                f"{first} and {path} are two records of one cell ({', '.join(map(str, key))}): move one of them out of "
                f"the folder"
            )
        log.warning("%s is a copy of %s and counts once", path, first)
    if not cells:
        raise UserError(f"{folder} holds no record: run a suite first, `t2ibench run --out {folder}`")
    return [record for _, record in cells.values()]


def _looks_like_one(path: Path) -> bool:
    """Whether a JSON file is a record, or the damaged rest of one, and not something else that lies beside them."""
    if is_special(path):
        return True
    try:
        text = path.read_bytes()
        content = {"schema": 0} if b'"schema"' in text else json.loads(text)
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(content, dict) and ("schema" in content or "identity" in content)


def difference(old: Any, new: Any, at: str = "") -> str | None:
    """The first place where two JSON contents differ: "maker.config.psi: 0.7 there, 1.0 now". None: they are equal."""
    old, new = (json.loads(canonical(content)) for content in (old, new))
    if old == new:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if (change := difference(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))) is not None:
                return change
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return next(
            change
            for i, items in enumerate(zip(old, new, strict=True))
            if (change := difference(*items, f"{at}[{i}]")) is not None
        )
    short = [str(content) if len(str(content)) <= 24 else f"{str(content)[:12]}…" for content in (old, new)]
    return f"{at}: {short[0]} there, {short[1]} now"


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without the fields that may differ between two runs of one cell: time, memory, machine, versions."""
    return {key: value for key, value in record.items() if key not in VARYING}


def cut_lines(cut: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each network of a method that cut texts. cut: `cut_texts` of a record's facts."""
    return [
        f"{count['cut']:,} of {count['of']:,} texts were cut: {name} reads {count['context']}"
        for name, count in cut.items()
    ]


def suites(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The records of each (suite, track), in their order."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["suite"], record["track"]), []).append(record)
    return groups


def _plain(value: Any) -> Any:
    """JSON content for values that JSON does not know: paths, sets, other mappings, numpy and torch values."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot stand in a record: {value!r}")
