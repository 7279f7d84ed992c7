"""The record of a cell: how it is put together, and how an earlier record of the same cell is recognised."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from t2ibench.core import environment, records
from t2ibench.core.errors import UserError
from t2ibench.networks import zoo
from t2ibench.runner.generate import SPENT
from t2ibench.runner.journal import Outcome
from t2ibench.scoring.score import Scores, judge_overlap
from t2ibench.tracks.contract import Maker

SHOWN_FAILURES = 5


def coverage(outcomes: Sequence[Outcome]) -> float:
    """The share of the requested samples that have an image which is not black, in [0, 1]."""
    return sum(outcome.status == "ok" for outcome in outcomes) / len(outcomes)


def assemble(
    *,
    cell: Mapping[str, Any],
    identity_of: Mapping[str, Any],
    maker: Maker,
    judges: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
    columns: Sequence[str],
    outcomes: Sequence[Outcome],
    scores: Scores,
    partial: bool,
    device: str,
) -> dict[str, Any]:
    """The sealed record of a cell.

    cell: its suite, track, method, kind and seed.
    identity_of: everything that decides the numbers; its digest is the record's identity.
    maker: the method or baseline that made the images.
    judges: the networks that scored, by name, with what their cards say.
    facts: what is noted of the data set and the prompts.
    columns: the columns of the suite's board.
    outcomes: what became of every sample.
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
            "weights": {name: dict(entry) for name, entry in maker.weights.items()},
            "trained_on": list(maker.trained_on),
            "judges": {name: dict(entry) for name, entry in judges.items()},
            "judge_overlap": judge_overlap(scores.values, maker.weights, judges),
            **facts,
            "counts": counts,
            "coverage": coverage(outcomes),
            "partial": partial,
            "failures": [
                {"prompt": outcome.prompt, "k": outcome.k, "status": outcome.status, "message": outcome.message}
                for outcome in bad[:SHOWN_FAILURES]
            ],
            "images": records.digest([[outcome.sample, outcome.status, outcome.sha256] for outcome in outcomes]),
            "values": scores.values,
            "columns": list(columns),
            "unscored": scores.unscored,
            "environment": environment.fingerprint(device),
            "code": environment.code(),
            "cost": {
                "seconds_per_image": seconds / len(outcomes),
                "peak_memory_bytes": environment.peak_memory(),
                "training_minutes": training_minutes(maker.weights),
                "scoring_seconds": scores.seconds,
                **{name: float(value) for name, value in maker.cost.items() if name != SPENT},
            },
        }
    )


def training_minutes(weights: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Minutes of training of each of the zoo's weights, by name, where its card states them."""
    present = zoo.available()
    cards = {name: zoo.card(present[name]) for name in weights if name in present}
    return {name: card["minutes"] for name, card in cards.items() if "minutes" in card}


def recorded(path: Path, identity_of: Mapping[str, Any], replacing: bool) -> dict[str, Any] | None:
    """The record at `path`, if it has the identity of this cell and was scored by the judges of today.

    Returns None where no record is there, or where another one is there and `replacing` allows to write over it. Raises
    UserError, with the first setting that differs, where another one is there and is not to be replaced.
    """
    if not path.exists():
        return None
    record = records.read(path)
    present = zoo.available()
    judges_now = {name: zoo.card(present[name])["sha256"] for name in record["judges"] if name in present}
    judges_then = {name: record["judges"][name]["sha256"] for name in judges_now}
    then, now = {**record["identity_of"], "judges": judges_then}, {**identity_of, "judges": judges_now}
    if (change := difference(then, now)) is None:
        return record
    if replacing:
        return None
    raise UserError(f"{path} was made with other settings ({change}): use another --out, or --replace to write over it")


def difference(old: Any, new: Any, at: str = "") -> str | None:
    """The first place where two JSON contents differ: "maker.config.psi: 0.7 there, 1.0 now". None: they are equal."""
    old, new = (json.loads(records.canonical(content)) for content in (old, new))
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
