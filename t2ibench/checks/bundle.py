"""Bundles: what is handed in for a board. A bundle is a folder of small files that fits into a pull request.

    bundle.json                                     what is in it, and where the images are
    suite.yaml                                      the suite, without which nothing can be scored again
    records/<suite>/<track>/<method>/<seed>.json    the records, as the run wrote them
    journals/<suite>/<track>/<method>/<seed>.jsonl  every sample of a record, in its order: prompt, outcome, hash

The images stay outside, at an address. The hashes in the journals fix every pixel of them.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from t2ibench.core import environment, records
from t2ibench.core.errors import UserError
from t2ibench.core.files import file_hash
from t2ibench.core.storage import publish
from t2ibench.report.gallery import cell_folder
from t2ibench.report.site.samples import cells_of
from t2ibench.report.site.serve import source_of
from t2ibench.runner import journal, suite
from t2ibench.runner.journal import Outcome

Record = Mapping[str, Any]
KIND, FILE, SUITE = "bundle", "bundle.json", "suite.yaml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # of a suite, a track and a method, which become names of files


@dataclass(frozen=True)
class Claim:
    """The record of one cell, and what its numbers are said to follow from.

    where: the cell, as lines name it.
    record: the record; empty where it cannot be read.
    outcomes: what became of every sample.
    folder: the folder of the images; None where there is none.
    problems: what was found wrong while the claim was read.
    in_order: whether the outcomes are said to be in the order of the record; those of a run need not be.
    """

    where: str
    record: Record
    outcomes: Sequence[Outcome]
    folder: Path | None
    problems: Sequence[str] = field(default_factory=list)
    in_order: bool = True


def write(run: Path, out: Path, images: str, results: Path | None = None, suite_file: Path | None = None) -> list[str]:
    """Write the bundle of a run into an empty folder. Returns the names of its cells.

    run: the run's folder, with its images (`runs/quick`).
    images: the address from which everybody can get the images.
    results: the folder of the records; None: the folder above the run's.
    suite_file: the file of the suite; None: it is one that ships.

    Raises UserError for a record without its images, and for images that are not those of the record.
    """
    source = source_of(run, results)
    if source.records is None or source.suite is None:
        raise UserError(f"submit: {run} is no run's folder: give one that holds its images, such as runs/quick")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"submit: {out} is not empty: give a new folder with --out")
    path = suite.file_of(source.suite) if suite_file is None else suite_file
    suite.parse(suite.read(path), source.suite, suite.title(path), path.name)
    rows = [record for record in records.load(source.records) if record["suite"] == source.suite]
    cells = []
    for cell in cells_of(rows, [source.work]):
        where = where_of(cell.record)
        if cell.why or cell.folder is None:
            raise UserError(f"submit: {where}: {cell.why}: run the suite again, it makes them anew")
        if missing := next(
            (o for row, o in enumerate(cell.outcomes) if o.sha256 and not _there(cell.image(row))), None
        ):
            raise UserError(f"submit: {where}: the image of {missing.sample} is missing: run the suite again")
        names = names_of(cell.record)
        lines = journal.spelled([asdict(outcome) for outcome in cell.outcomes])
        record = (json.dumps(cell.record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
        files = {f"records/{names}.json": record, f"journals/{names}.jsonl": lines}
        for name, content in files.items():
            publish(out / name, content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        cells.append({"cell": where, "images": cell.record["images"], "files": hashes})
    publish(out / SUITE, path.read_bytes())
    listed = {
        "kind": KIND,
        "suite": source.suite,
        "images": images,
        "suite_sha256": file_hash(out / SUITE),
        "cells": cells,
        "code": environment.code(),
    }
    publish(out / FILE, (json.dumps(records.seal(listed), indent=1, ensure_ascii=False) + "\n").encode())
    return [cell["cell"] for cell in cells]


def _there(path: Path | None) -> bool:
    return path is not None and path.exists()


def where_of(record: Record) -> str:
    """A cell in words: its track, its method and its seed."""
    return f"{record['track']}/{record['method']} seed {record['seed']}"


def names_of(record: Record) -> str:
    """The place of a cell's files below a folder. Raises UserError for names that could lead out of it."""
    parts = [str(record[key]) for key in records.CELL]
    if bad := [part for part in parts if not NAME.fullmatch(part)]:
        raise UserError(
            f"a record names {bad[0][:60]!r}, which cannot be a file name: letters, digits, '.', '_', '+', '-'"
        )
    return "/".join(parts)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read.

    suite: the name of the suite.
    suite_file: its file.
    images: the address of the images.
    claims: the cells.
    """

    suite: str
    suite_file: Path
    images: str
    claims: Sequence[Claim]


def is_bundle(path: Path) -> bool:
    return (path / FILE).is_file()


def read(folder: Path, work: Path | None) -> Bundle:
    """Read a bundle. What is wrong with a cell becomes a problem of its claim.

    work: where the images are; None: at the address in the bundle, if that is a folder.

    Raises UserError if the list of the bundle, or its suite, is missing or was changed.
    """
    content = records.read_sealed(folder / FILE, KIND)
    _check(content, folder / FILE)
    if not (folder / SUITE).is_file() or file_hash(folder / SUITE) != content["suite_sha256"]:
        raise UserError(f"{folder / SUITE}: it is missing, or was changed after the bundle was made: submit it again")
    listed = {name for cell in content["cells"] for name in cell["files"]}
    present = {
        path.relative_to(folder).as_posix()
        for top in ("records", "journals")
        for path in (folder / top).rglob("*.json*")
    }
    if present - listed:
        raise UserError(f"{folder / min(present - listed)}: the bundle does not list it: submit it again, or remove it")
    top = work if work is not None else Path(content["images"])
    return Bundle(
        content["suite"], folder / SUITE, content["images"], [_claim(folder, cell, top) for cell in content["cells"]]
    )


def _check(content: Mapping[str, Any], path: Path) -> None:
    """Raise UserError unless the list of a bundle has the form that `write` gives it."""
    cells: Any = content.get("cells")
    sound = all(isinstance(content.get(key), str) for key in ("suite", "images", "suite_sha256"))
    sound = sound and NAME.fullmatch(content["suite"]) is not None and isinstance(cells, list) and bool(cells)
    if not sound or not all(_is_cell(cell) for cell in cells):
        raise UserError(f"{path}: not a sound {KIND} (its list has another form): make it again with t2ibench submit")


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell"), str) or not isinstance(cell.get("files"), dict):
        return False
    return sorted(name.partition("/")[0] for name in cell["files"]) == ["journals", "records"]


def _claim(folder: Path, cell: Mapping[str, Any], work: Path) -> Claim:
    where, problems = str(cell["cell"]), []
    for name, sha256 in cell["files"].items():
        if ".." in Path(name).parts or Path(name).is_absolute() or not (folder / name).is_file():
            return Claim(where, {}, [], None, [f"{name} is missing"])
        if file_hash(folder / name) != sha256:
            problems.append(f"{name} was changed after the bundle was made")
    [record_name] = [name for name in cell["files"] if name.startswith("records/")]
    [journal_name] = [name for name in cell["files"] if name.startswith("journals/")]
    try:
        record = records.read(folder / record_name)
    except UserError as error:
        return Claim(where, {}, [], None, [*problems, str(error)])
    if where_of(record) != where or record_name != f"records/{names_of(record)}.json":
        problems.append(f"{record_name} is the record of another cell, {where_of(record)}")
    outcomes = []
    for number, line in enumerate(journal.lines_of(folder / journal_name), 1):
        try:
            outcome = Outcome(**journal.read_line(line))
            texts = (outcome.sample, outcome.prompt, outcome.group, outcome.text, outcome.status, outcome.sha256)
            if not all(isinstance(text, str) for text in texts) or not isinstance(outcome.k, int):
                raise TypeError("a field of another type")
            outcomes.append(outcome)
        except (ValueError, TypeError, AttributeError):
            problems.append(f"{journal_name}: line {number} is damaged")
    return Claim(where, record, outcomes, folder_of(record, work), problems)


def folder_of(record: Record, work: Path) -> Path | None:
    """The folder of a cell's images in a work folder, or in a run's folder; None where there is none."""
    tops = (work, work.parent) if work.name == record["suite"] else (work,)
    return next((path for top in tops if (path := cell_folder(top, record)).is_dir()), None)


def claim_of(record: Record, work: Path) -> Claim:
    """The claim of a record whose journal and images lie in a work folder."""
    folder = folder_of(record, work)
    outcomes = [] if folder is None else list(journal.read(folder / journal.WHOLE).values())
    problems = [] if outcomes else ["no images kept"]
    return Claim(where_of(record), record, outcomes, folder, problems, in_order=False)
