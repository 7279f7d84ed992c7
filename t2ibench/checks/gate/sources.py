"""What the gate compares, by what a user writes: a folder, a record with its images, or a method of a suite.

A served model is a method of a suite, too: `{name: images_api, as: served, endpoint: …}`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.checks.bundle import claim_of, where_of
from t2ibench.checks.gate.faults import Picture, Source, read
from t2ibench.core import records
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.runner import run as runner
from t2ibench.runner.journal import Images, Outcome
from t2ibench.runner.narrow import narrowed
from t2ibench.runner.run import RunOptions
from t2ibench.runner.suite import Suite
from t2ibench.stats import paired

CAPTIONS = "captions"
Record = Mapping[str, Any]


def sources(words: Sequence[str], suite: Suite | None, track: str | None, options: RunOptions) -> list[Source]:
    """The source of each word: of a folder, of the file of a record, or of a method of the suite.

    suite: whose prompts and seeds the methods get. Each is run, so its record says what the suite's metrics say of it.
    track: of the suite's; None: its only one.
    options: `out` and `work` are where records and images lie, or will.

    Raises UserError for a word that is none of them, for records of other prompts, seeds or tracks, and for images that
    follow from no seeds, since those have no partner.
    """
    methods = [word for word in words if not _is_there(word)]
    rows: dict[str, list[Record]] = {word: [records.read(Path(word))] for word in words if Path(word).is_file()}
    if methods:
        rows |= _run(methods, suite, track, options)
    _check(rows)
    return [of_records(word, rows[word], options.work) if word in rows else read(Path(word)) for word in words]


def _is_there(word: str) -> bool:
    return Path(word).is_dir() or (word.endswith(".json") and Path(word).is_file())


def _run(words: Sequence[str], suite: Suite | None, track: str | None, options: RunOptions) -> dict[str, list[Record]]:
    """Draw and score what methods of a suite are asked for; what is there is not made again."""
    if suite is None:
        raise UserError(
            f"--gate: {words[0]!r} is no folder of images and no record: if it is a method, name the suite whose "
            f"prompts and seeds it gets (--suite)"
        )
    tracks = [track] if track is not None else list(suite.tracks)
    if len(tracks) > 1:
        raise UserError(f"--gate: {suite.name} has the tracks {', '.join(tracks)}: name one with --track")
    known = [entry.id for entry in suite.methods]
    for word in words:
        if word not in known:
            raise UserError(
                f"--gate: {word!r} is no folder of images, no record and no method of {suite.name}"
                f"{did_you_mean(word, known)}"
            )
    part = narrowed(suite, list(dict.fromkeys(words)), tracks)
    rows: dict[str, list[Record]] = {word: [] for word in words}
    for cell in runner.run(part, options):
        rows[cell.record["method"]].append(cell.record)
    return rows


def _check(rows: Mapping[str, Sequence[Record]]) -> None:
    asked = {}
    for word, found in rows.items():
        if any(record["facts"].get("unseeded") for record in found):
            raise UserError(
                f"--gate: the images of {word} follow from no seeds, so none is the partner of another: ask a server "
                f"that takes seeds"
            )
        asked[word] = [(record["track"], record["seed"], record["identity_of"].get("prompts")) for record in found]
    if len({tuple(one) for one in asked.values()}) > 1:
        raise UserError(
            f"--gate: {' and '.join(asked)} were asked for other tracks, prompts or seeds: make both by one suite"
        )


def of_records(word: str, found: Sequence[Record], work: Path) -> Source:
    """The images of a method's records, one for each run seed, and what the records say of each image."""
    pictures: dict[str, Picture] = {}
    unread: dict[str, str] = {}
    columns: dict[str, list[np.ndarray]] = {}
    for record in found:
        claim = claim_of(record, work)
        if claim.folder is None or claim.problems:
            raise UserError(
                f"--gate: {where_of(record)}: its images are not in {work}: name the folder of the run with --folder"
            )
        store, start = Images(claim.folder), f"{record['seed']}/" if len(found) > 1 else ""
        for outcome in claim.outcomes:
            name = f"{start}{outcome.sample} ({outcome.text[:40]})"
            if not outcome.sha256:
                unread[name] = f"{outcome.status}: {outcome.message}"
                continue
            try:
                pictures[name] = Picture(store.decoded(outcome.sample).transpose(1, 2, 0), "PNG")
            except UserError as error:
                unread[name] = str(error)
        for id, values in per_image(record, claim.outcomes).items():
            columns.setdefault(id, []).append(values)
    whole = {id: np.concatenate(parts) for id, parts in columns.items() if len(parts) == len(found)}
    protocols = {id: str(found[0]["values"][id]["protocol_id"]) for id in whole}
    return Source(word, pictures, unread, whole, protocols)


def per_image(record: Record, outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """The values of which a record holds a number for each caption's image, [N] by id, NaN for an image that failed."""
    count = sum(outcome.group == CAPTIONS for outcome in outcomes)
    found = {}
    for id, value in record["values"].items():
        numbers = paired.per_sample(value)
        if numbers is not None and len(numbers) == count:
            found[id] = numbers
    return found
