"""Verifies records: their images are hashed, scored again by the suite, and every number is compared.

A cell is verified if its record is of the protocol that the suite states, its samples are those that the suite asks
for, each image has the pixels that its journal names, and the metrics give the same values, intervals and details
again.
Features are computed anew from the images; nothing that was kept about them is believed.
"""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.checks.bundle import Claim, names_of
from t2ibench.core import environment, records
from t2ibench.core.errors import UserError
from t2ibench.core.images import BLACK, pixel_hash
from t2ibench.core.progress import track
from t2ibench.core.records import FULL_COVERAGE
from t2ibench.networks.models import Models
from t2ibench.report import verdicts
from t2ibench.runner import record as cell_record
from t2ibench.runner.cell import evidence_of
from t2ibench.runner.generate import samples_by_group
from t2ibench.runner.journal import Images, Outcome
from t2ibench.runner.plan import Plan, prepare
from t2ibench.runner.suite import Suite
from t2ibench.scoring.score import score
from t2ibench.stats import paired
from t2ibench.tracks.contract import Sample

READERS = 4
SHOWN = 5  # problems of one kind that are named
TOLERANCE = 1e-4  # the relative error of features and sums on another processor
TINY = 1e-9
ROUNDED = 1e-3  # of the largest number: how far the spelled numbers of samples may differ, whose digits were cut
ARRAYS = ("per_sample", "fake", "real")  # keys of a value's details that hold a number for each sample


@dataclass(frozen=True)
class Verdict:
    """What was found about one cell.

    where: the cell.
    record: its record; empty where it could not be read.
    images: how many images were hashed and scored.
    values: how many values were computed again.
    problems: why it is not verified; empty if it is.
    """

    where: str
    record: Mapping[str, Any]
    images: int
    values: int
    problems: Sequence[str]

    @property
    def verified(self) -> bool:
        return not self.problems


def verify(claims: Sequence[Claim], suite: Suite, device: str, tolerance: float = TOLERANCE) -> Iterator[Verdict]:
    """Score the cells of one suite again, and say of each whether its record holds.

    suite: as it is parsed, with or without its methods.
    tolerance: the relative error up to which two numbers are equal.

    Raises UserError where the suite cannot be scored on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="t2ibench-verify-") as folder:
        plans = {plan.track: replace(plan, models=Models(device, Path(folder))) for plan in prepare(suite, device)}
        for claim in claims:
            plan = plans.get(claim.record.get("track", ""))
            if plan is None:
                problems = claim.problems or ["its track is not in the suite"]
                yield Verdict(claim.where, claim.record, 0, 0, problems)
            else:
                yield verdict_of(plan, claim, tolerance)


def verdict_of(plan: Plan, claim: Claim, tolerance: float = TOLERANCE) -> Verdict:
    """Check one cell. A later check is left out where an earlier one found something."""
    record = claim.record
    samples = plan.of_track.samples(plan.prompts, record["seed"])
    if not claim.in_order:
        place = {sample.id: row for row, sample in enumerate(samples)}
        claim = replace(claim, outcomes=sorted(claim.outcomes, key=lambda outcome: place.get(outcome.sample, -1)))
    images = sum(bool(outcome.sha256) for outcome in claim.outcomes)
    problems = list(claim.problems) or [
        *against_protocol(plan, record),
        *against_samples(record, claim.outcomes, samples),
    ]
    if problems or claim.folder is None:
        return Verdict(claim.where, record, 0, 0, problems or ["no images were found"])
    store = Images(claim.folder)
    if problems := against_images(claim.outcomes, store, claim.where):
        return Verdict(claim.where, record, images, 0, problems)
    problems, values = against_scores(plan, record, samples, claim.outcomes, store, tolerance)
    return Verdict(claim.where, record, images, values, problems)


def against_protocol(plan: Plan, record: Mapping[str, Any]) -> list[str]:
    """Whether a record is of what the suite states, and names itself truly."""
    stated = {
        "track": plan.track,
        "seed": record["seed"],
        "dataset": plan.data.facts,
        "prompts": plan.prompt_facts["digest"],
        "metrics": [metric.identity for metric in plan.metrics],
    }
    claimed = record["identity_of"]
    problems = []
    if change := records.difference({key: claimed.get(key) for key in stated}, stated):
        problems.append(f"another protocol than that of the suite: {change}")
    if record["seed"] not in plan.suite.seeds:
        problems.append(f"seed {record['seed']} is not in the suite")
    if record["identity"] != records.digest(claimed) or claimed.get("maker") != record["config"]:
        problems.append("its identity is not the hash of what decides its numbers")
    return problems


def against_samples(record: Mapping[str, Any], outcomes: Sequence[Outcome], samples: Sequence[Sample]) -> list[str]:
    """Whether the journal holds each sample that the suite asks for, once and in order, and the record agrees."""
    asked = {sample.id: sample for sample in samples}
    times = Counter(outcome.sample for outcome in outcomes)
    problems = named("stands twice in the journal", [id for id, count in times.items() if count > 1])
    problems += named("is missing from the journal", [id for id in asked if id not in times])
    problems += named("was not asked for by the suite", [id for id in times if id not in asked])
    if problems:
        return problems
    if [outcome.sample for outcome in outcomes] != list(asked):
        problems.append("the journal has its samples in another order than the suite")
    other = [
        outcome.sample
        for outcome in outcomes
        if (sample := asked[outcome.sample])
        and (outcome.prompt, outcome.group, outcome.text, outcome.k)
        != (sample.prompt.id, sample.prompt.group, sample.prompt.text, sample.k)
    ]
    problems += named("has another prompt than the suite asks for", other)
    if record["images"] != records.digest([[o.sample, o.status, o.sha256] for o in outcomes]):
        problems.append("the images of the journal are not those of the record")
    statuses = Counter(outcome.status for outcome in outcomes)
    counts = {"requested": len(outcomes), "generated": sum(bool(outcome.sha256) for outcome in outcomes)}
    counts |= {status: statuses[status] for status in ("ok", "black", "nan", "failed")}  # type: ignore[index]
    if change := records.difference(record["counts"], counts):
        problems.append(f"the counts of the record are not those of the journal: {change}")
    covered = statuses["ok"] / len(outcomes)
    if record["partial"] != (covered < FULL_COVERAGE) or not math.isclose(record["coverage"], covered):
        problems.append(f"coverage is {record['coverage']:.6g}, but {covered:.6g} of the samples have an image")
    return problems


def against_images(outcomes: Sequence[Outcome], store: Images, where: str) -> list[str]:
    """Whether every image has the pixels and the state that its journal says."""

    def check(outcome: Outcome) -> str:
        try:
            image = store.decoded(outcome.sample)
        except UserError as error:
            return str(error)
        if pixel_hash(image) != outcome.sha256:
            return f"{outcome.sample}: the image has other pixels than when it was scored"
        black = bool(image.max() <= BLACK)
        return f"{outcome.sample}: is {outcome.status!r}, but black is {black}" * (black != (outcome.status == "black"))

    kept = [outcome for outcome in outcomes if outcome.sha256]
    with ThreadPoolExecutor(READERS) as pool:
        found = list(track(pool.map(check, kept), f"hash the images of {where}", len(kept)))
    problems = [f"{o.sample}: is {o.status!r}, but has no image" for o in outcomes if o.status == "ok" and not o.sha256]
    return shortened([*problems, *(text for text in found if text)])


def against_scores(
    plan: Plan,
    record: Mapping[str, Any],
    samples: Sequence[Sample],
    outcomes: Sequence[Outcome],
    store: Images,
    tolerance: float,
) -> tuple[list[str], int]:
    """Whether the metrics give the values of the record again; and how many values were compared."""
    evidence = evidence_of(plan, samples_by_group(samples, outcomes, store))
    try:
        again = score(evidence, plan.metrics, partial=record["partial"])
    except UserError as error:
        return [f"the images cannot be scored: {error}"], 0
    made = json.loads(records.canonical(again.values))  # as a record holds them
    problems = [f"{id}: is not in the record, but the suite asks for it" for id in made.keys() - record["values"]]
    problems += [
        f"{id}: is in the record, but no metric of the suite makes it" for id in record["values"].keys() - made
    ]
    if record["unscored"].keys() != again.unscored.keys():
        problems.append(f"unscored is {sorted(record['unscored'])}, scoring again leaves {sorted(again.unscored)}")
    shared = [id for id in made if id in record["values"]]
    for id in shared:
        then, now = record["values"][id], made[id]
        if change := records.difference(then["protocol"], now["protocol"]):
            problems.append(f"{id}: another protocol: {change}")
        elif place := differing(then, now, tolerance):
            problems.append(f"{id}: {place}")
    return sorted(problems), len(shared)


def differing(then: Any, now: Any, tolerance: float, at: str = "") -> str:
    """The first place where two JSON contents differ by more than the tolerance; empty where they agree."""
    key = at.rpartition(".")[2]
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in [*then, *(name for name in now if name not in then)]:
            if name not in then or name not in now:
                return (
                    f"{at}.{name}".lstrip(".") + f": {'is only there' if name in then else 'is missing'} in the record"
                )
            if place := differing(then[name], now[name], tolerance, f"{at}.{name}".lstrip(".")):
                return place
        return ""
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        places = (differing(*pair, tolerance, f"{at}[{i}]") for i, pair in enumerate(zip(then, now, strict=True)))
        return next((place for place in places if place), "")
    if key in ARRAYS and isinstance(then, str) and isinstance(now, str):
        return _differing_arrays(then, now, tolerance, at)
    if _number(then) and _number(now):
        same = abs(then - now) <= tolerance * max(abs(then), abs(now)) + TINY
        return "" if same else f"{at}: {then:.6g} in the record, {now:.6g} when scored again"
    return "" if then == now else f"{at}: {str(then)[:40]} in the record, {str(now)[:40]} when scored again"


def _differing_arrays(then: str, now: str, tolerance: float, at: str) -> str:
    try:
        one, other = paired.read(then), paired.read(now)
    except ValueError as error:
        return f"{at}: {error}"
    if one is None or other is None or one.shape != other.shape:
        return "" if then == now else f"{at}: not as many numbers as when scored again"
    scale = float(np.nanmax(np.abs(other), initial=0.0))
    bad = ~np.isclose(one, other, rtol=tolerance, atol=max(tolerance, ROUNDED) * scale + TINY, equal_nan=True)
    return f"{at}: {int(bad.sum()):,} of {len(bad):,} numbers differ" if bad.any() else ""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def named(what: str, samples: Sequence[str]) -> list[str]:
    return shortened([f"{sample}: {what}" for sample in samples])


def shortened(problems: Sequence[str]) -> list[str]:
    """The first problems of one kind, and how many more there are."""
    more = len(problems) - SHOWN
    return [*problems[:SHOWN], *([f"and {more:,} more"] if more > 0 else [])]


def note(verdict: Verdict, out: Path) -> Path:
    """Write down beside the records of a board that a cell was verified, and return the file."""
    record = verdict.record
    names_of(record)  # no name leads out of the folder
    path = verdicts.path_of(out, record)
    code = cell_record.plugins_of(None, None, metrics_of(record))
    return verdicts.write(path, record, verdict.images, verdict.values, code, environment.code())


def metrics_of(record: Mapping[str, Any]) -> list[str]:
    """The plug-ins of the metrics of a record."""
    return sorted({name.partition("/")[2] for name in record["plugins"] if name.startswith("metrics/")})
