"""The record of a cell: how it is put together, and how an earlier record of the same cell is recognised."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from t2ibench.core import environment, plugins, records
from t2ibench.core.errors import UserError
from t2ibench.core.files import without_homes
from t2ibench.core.plain_text import plain
from t2ibench.data.contract import load_dataset
from t2ibench.networks import zoo
from t2ibench.runner.journal import Outcome
from t2ibench.scoring.contract import load_metric
from t2ibench.scoring.score import Scores, judge_overlap
from t2ibench.tracks.contract import Maker, load_method

SHOWN_FAILURES = 5
log = logging.getLogger(__name__)


def coverage(outcomes: Sequence[Outcome]) -> float:
    """The share of the requested samples that have an image which is not black, in [0, 1]."""
    return sum(outcome.status == "ok" for outcome in outcomes) / len(outcomes)


def assemble(
    *,
    cell: Mapping[str, Any],
    identity_of: Mapping[str, Any],
    code: Mapping[str, Mapping[str, Any]],
    maker: Maker,
    judges: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
    columns: Sequence[str],
    outcomes: Sequence[Outcome],
    cost: Mapping[str, float],
    scores: Scores,
    partial: bool,
    device: str,
) -> dict[str, Any]:
    """The sealed record of a cell.

    cell: its suite, track, method, kind and seed.
    identity_of: everything that decides the numbers; its digest is the record's identity.
    code: the revision and the source of each plug-in that the cell uses (`plugins_of`).
    maker: the method or baseline that made the images.
    judges: the networks that scored, by name, with what their cards say.
    facts: what is noted of the data set and the prompts; further notes stand in it under `facts`.
    columns: the columns of the suite's board.
    outcomes: what became of every sample.
    cost: what the maker spent besides the images.
    scores: the values of the metrics.
    partial: whether too few samples have an image.
    device: the device on which the networks ran.
    """
    statuses = [outcome.status for outcome in outcomes]
    counts = {"requested": len(outcomes), "generated": sum(bool(outcome.sha256) for outcome in outcomes)}
    counts |= {status: statuses.count(status) for status in ("ok", "black", "nan", "failed")}
    bad = [outcome for outcome in outcomes if outcome.status != "ok"]
    seconds = sum(outcome.seconds for outcome in outcomes)
    return records.seal(
        {
            "schema": records.SCHEMA,
            **cell,
            "config": dict(maker.identity),
            "identity": records.digest(identity_of),
            "identity_of": dict(identity_of),
            "plugins": dict(code),
            **without_homes(
                {
                    "weights": {name: dict(entry) for name, entry in maker.weights.items()},
                    "trained_on": list(maker.trained_on),
                    "judges": {name: dict(entry) for name, entry in judges.items()},
                    "judge_overlap": judge_overlap(scores.values, maker.weights, judges),
                    "facts": {},
                    **facts,
                }
            ),
            "counts": counts,
            "coverage": coverage(outcomes),
            "partial": partial,
            "failures": [
                {
                    "prompt": outcome.prompt,
                    "k": outcome.k,
                    "status": outcome.status,
                    "message": plain(without_homes(outcome.message)),
                }
                for outcome in bad[:SHOWN_FAILURES]
            ],
            "images": records.digest([[outcome.sample, outcome.status, outcome.sha256] for outcome in outcomes]),
            "values": scores.values,
            "columns": list(columns),
            "unscored": plain(without_homes(scores.unscored)),
            "environment": environment.fingerprint(device),
            "code": environment.code(),
            "cost": {
                "seconds_per_image": max(0.0, seconds / len(outcomes)),  # 0: it says that it spent more than it took
                "peak_memory_bytes": environment.peak_memory(device),
                "training_minutes": training_minutes(maker.weights),
                "scoring_seconds": scores.seconds,
                **cost,
            },
        }
    )


def training_minutes(weights: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Minutes of training of each of the zoo's weights, by name, where its card states them."""
    present = zoo.available()
    cards = {name: zoo.card(present[name]) for name in weights if name in present}
    return {name: card["minutes"] for name, card in cards.items() if "minutes" in card}


def plugins_of(method: str | None, dataset: str | None, metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The plug-ins of a cell, as a record holds them: "methods/gan_cls" -> {revision, source, settled}.

    method: the plug-in that makes the images; None for a baseline of real images, and for images that are there.
    dataset: the plug-in of the data set; None without one.
    source: the hash of its code. settled: whether the code changes with the revision alone (`plugins.is_settled`).
    """
    of_kind: Mapping[str, tuple[Callable[[str], Any], Sequence[str]]] = {
        "methods": (load_method, [method] if method is not None else []),
        "datasets": (load_dataset, [dataset] if dataset is not None else []),
        "metrics": (load_metric, metrics),
    }
    return {
        f"{kind}/{name}": {
            "revision": load(name).REVISION,
            "source": plugins.source(kind, name),
            "settled": plugins.is_settled(kind, name),
        }
        for kind, (load, names) in of_kind.items()
        for name in names
    }


def changed_code(then: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The plug-ins whose code has changed without another revision since a record was made.

    Code that is settled on both sides is trusted to its revision.
    """
    return [
        name
        for name, plugin in now.items()
        if name in then
        and plugin["source"] != then[name]["source"]
        and not (plugin["settled"] and then[name]["settled"])
    ]


def recorded(
    path: Path, identity_of: Mapping[str, Any], code: Mapping[str, Mapping[str, Any]], replacing: bool
) -> dict[str, Any] | None:
    """The record at `path`, if it has the identity of this cell and was scored by the judges of today.

    Returns None where no record is there, where a plug-in's code has changed since (a line says so), or where another
    record is there and `replacing` allows to write over it. Raises UserError, with the first setting that differs,
    where another one is there and is not to be replaced.
    """
    if not path.exists():
        return None
    record = records.read(path)
    present = zoo.available()
    judges_now = {name: zoo.card(present[name])["sha256"] for name in record["judges"] if name in present}
    judges_then = {name: record["judges"][name]["sha256"] for name in judges_now}
    then, now = {**record["identity_of"], "judges": judges_then}, {**identity_of, "judges": judges_now}
    if (change := records.difference(then, now)) is None:
        if changed := changed_code(record["plugins"], code):
            log.warning("%s: the code of %s has changed since: the cell is made again", path, " and ".join(changed))
            return None
        return record
    if replacing:
        return None
    raise UserError(f"{path} was made with other settings ({change}): use another --out, or --replace to write over it")
