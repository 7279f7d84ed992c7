"""Draws the images that people look at: some of every judged cell 00, 01, 10, 11 of the pairs, under neutral names.

The draw depends on the images of the record alone. So nobody can draw again until they like the answers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.checks.audit import form
from t2ibench.core import records, storage
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import encode_png, pixel_hash
from t2ibench.core.seeds import derive_seed, permutation, uniform
from t2ibench.data.split import Vocabulary
from t2ibench.report.gallery import cell_folder
from t2ibench.runner.cell import evidence_of
from t2ibench.runner.generate import samples_by_group
from t2ibench.runner.journal import Store
from t2ibench.runner.plan import Plan, prepare
from t2ibench.runner.suite import Suite
from t2ibench.scoring.attribute_pairs.judge import literal_hits, pair_judge
from t2ibench.scoring.evidence import Samples
from t2ibench.stats.judge_errors import cell_index
from t2ibench.tracks import contract, pair_texts

METRIC = "compositional_accuracy"
KEY, KIND = "key.json", "audit key"
CELLS = ("00", "01", "10", "11")


@dataclass(frozen=True)
class Judged:
    """The images of attribute pairs in a record, without the pairs for which the judge is not reliable.

    record: the record of the method.
    vocabulary: the words of the data set for attributes.
    samples: all samples of the group.
    rows: the row of each image in `samples`.
    cells: the judged cell of each image, 0 to 3, as in CELLS.
    judge: the protocol of the judge.
    not_judged: the pairs that are left out.
    """

    record: Mapping[str, Any]
    vocabulary: Vocabulary
    samples: Samples
    rows: np.ndarray
    cells: np.ndarray
    judge: Mapping[str, Any]
    not_judged: Sequence[str]


def draw(wanted: Suite, method: str, count: int, out: Path, work: Path, folder: Path | None) -> Path:
    """Draw an audit; write its key, and beside it the folder for raters, with images, a page and a spreadsheet.

    wanted, method: the suite, and the method whose images are drawn.
    count: how many images to draw.
    out, work: the folders of the records and of the images.
    folder: where to write; None: a folder with the name of the audit.

    Returns that folder. Raises UserError where the record or its images are missing, or do not belong to the suite as
    it is now.
    """
    judged = judged_images(wanted, method, out, work)
    record, samples = judged.record, judged.samples
    prompts = [samples.prompts[row] for row in judged.rows]
    picked = stratified(
        judged.cells, [prompt.tags["pair"] for prompt in prompts], count, derive_seed("audit", record["images"])
    )
    images = samples.store.read(judged.rows[picked])
    names = [f"image-{place:03}" for place in range(1, len(picked) + 1)]  # a spreadsheet would read 001 as 1
    content: dict[str, Any] = {
        **{
            "schema": 1,
            "kind": KIND,
            **{name: record[name] for name in ("suite", "track", "method", "seed", "identity", "images")},
        },
        "judge": dict(judged.judge),
        "not_judged": list(judged.not_judged),
        "judged_cells": dict(zip(CELLS, np.bincount(judged.cells, minlength=4).tolist(), strict=True)),
        "drawn": {},
    }
    entries = []
    for name, place, image in zip(names, picked, images, strict=True):
        row, prompt = int(judged.rows[place]), prompts[place]
        if pixel_hash(image) != samples.hashes[row]:
            raise UserError(f"{out}: an image of {method} is not the one that was scored: run the suite again")
        what = {"pair": prompt.tags["pair"], "literals": prompt.tags["literals"], "cell": CELLS[judged.cells[place]]}
        content["drawn"][name] = {**what, "prompt": prompt.id, "k": samples.k[row], "sha256": samples.hashes[row]}
        entries.append(
            form.Entry(
                name, encode_png(image), tuple(question(judged.vocabulary, literal) for literal in what["literals"])
            )
        )
    audit = f"audit-{records.digest(content)[:10]}"
    folder = folder or Path(audit)
    if (folder / KEY).exists() and read_key(folder)["audit"] != audit:
        raise UserError(f"{folder} holds another audit: give another --folder")
    form.write(folder / "raters", audit, entries)
    storage.publish(folder / KEY, (json.dumps(records.seal({"audit": audit, **content}), indent=1) + "\n").encode())
    return folder


def read_key(folder: Path) -> dict[str, Any]:
    """The key of an audit: what `draw` knows about its images and raters must not know.

    Raises UserError where it is missing or damaged.
    """
    return records.read_sealed(folder / KEY, KIND)


def judged_images(wanted: Suite, method: str, out: Path, work: Path) -> Judged:
    """The pair images of a method under the first run seed of a suite, judged in the same way as by the metric.

    Pairs that fail the gate of the metric are left out.
    """
    plan = _plan(wanted)
    if method not in (ids := [entry.id for entry in plan.entries]):
        raise UserError(f"{wanted.name} has no method {method!r}{did_you_mean(method, ids)}")
    path, again = records.path_of(out, wanted.name, plan.track, method, wanted.seeds[0]), "run the suite again"
    if not path.exists():
        raise UserError(f"{path} is missing: run the suite first, or name its --out")
    record = records.read(path)
    value = next((v for v in record["values"].values() if v["metric"] == METRIC and "pairs" in v["details"]), None)
    if value is None:
        raise UserError(f"{path} has no value of {METRIC}: {record['unscored'].get(METRIC, 'it was not asked for')}")
    if record["identity_of"]["prompts"] != plan.prompt_facts["digest"]:
        raise UserError(f"{path}: the suite asks for other prompts now: {again}")
    folder, samples = cell_folder(work, record), plan.of_track.samples(plan.prompts, wanted.seeds[0])
    if not (folder / "journal.jsonl").exists():
        raise UserError(f"{folder} is missing, the images of {path}: name the --work of the run")
    store = Store(folder)
    held = store.outcomes()
    outcomes = [held[sample.id] for sample in samples if sample.id in held]
    if records.digest([[outcome.sample, outcome.status, outcome.sha256] for outcome in outcomes]) != record["images"]:
        raise UserError(f"{folder} holds other images than those of {path}: {again}")
    evidence = evidence_of(plan, samples_by_group(samples, outcomes, store))
    config = next(metric.config for metric in plan.metrics if metric.name == METRIC)
    named = dict.fromkeys(literal for row in value["details"]["pairs"] for literal in row["pair"].split("+"))
    judge = pair_judge(evidence, config.probe, config.groups, config.judge, tuple(named))
    pair_samples = evidence.samples(contract.PAIRS)
    if records.canonical(dict(judge.protocol)) != records.canonical(value["protocol"]["judge"]):
        raise UserError(f"{path} was judged by another judge than there is now: {again}")
    standing = {row["pair"]: row["status"] for row in value["details"]["pairs"]}
    rows = np.array(
        [
            row
            for row in pair_samples.rows
            if standing.get(pair_samples.prompts[row].tags["pair"], "not judged") != "not judged"
        ],
        int,
    )
    if not len(rows):
        raise UserError(f"{path}: the method made no image of a judged pair, so there is nothing to audit")
    literal_pairs = [pair_samples.prompts[row].tags["literals"] for row in rows]
    literals = list(dict.fromkeys(literal for names in literal_pairs for literal in names))
    hits = literal_hits(evidence, judge, contract.PAIRS, literals)
    seen = np.array(
        [[hits[row, literals.index(name)] for name in names] for row, names in zip(rows, literal_pairs, strict=True)],
        bool,
    )
    assert plan.data.train.vocabulary is not None
    not_judged = [pair for pair, status in standing.items() if status == "not judged"]
    return Judged(
        record, plan.data.train.vocabulary, pair_samples, rows, cell_index(*seen.T), judge.protocol, not_judged
    )


def _plan(wanted: Suite) -> Plan:
    for plan in prepare(wanted):
        if any(metric.name == METRIC for metric in plan.metrics):
            return plan
    raise UserError(f"{wanted.name}: metrics: {METRIC} is not among them, so there is nothing to audit")


def stratified(cells: np.ndarray, pairs: Sequence[str], count: int, seed: int) -> np.ndarray:
    """The places in `cells` of `count` drawn images, in random order.

    cells: the judged cell of each image. pairs: the pair of each image.

    Each judged cell gives equally many images, or all that it has. Within a cell the images are sorted by pair, in
    random order within a pair, and n of the N are taken at equal steps of N / n from a random start. So every pair gets
    its share of a cell, rounded up or down, and every image of a cell is drawn with the same probability n / N. The
    weights N / n undo that.
    """
    shuffled = permutation(derive_seed(seed, "images"), len(cells))
    starts, picked = uniform(derive_seed(seed, "starts"), 4), []
    for cell, n in enumerate(allotted(np.bincount(cells, minlength=4), count)):
        members = sorted((place for place in shuffled if cells[place] == cell), key=lambda place: pairs[place])
        picked += [members[int((starts[cell] + step) * len(members) / n)] for step in range(n)]
    return np.array(picked, int)[permutation(derive_seed(seed, "order"), len(picked))]


def allotted(sizes: Sequence[int] | np.ndarray, count: int) -> list[int]:
    """How many of `count` each stratum gets: numbers as equal as the sizes of the strata allow."""
    shares, left = [0] * len(sizes), count
    for served, stratum in enumerate(np.argsort(sizes, kind="stable")):
        shares[stratum] = min(int(sizes[stratum]), left // (len(sizes) - served))
        left -= shares[stratum]
    return shares


def question(vocabulary: Vocabulary, literal: str) -> str:
    """The question whether an image shows a literal, in the words of the data set."""
    verb, text = pair_texts.phrase(vocabulary, literal, 0)
    begin, rest = {"is": ("Is", text), "has": ("Does", f"have {text}"), "wears": ("Does", f"wear {text}")}[verb]
    return f"{begin} {vocabulary.subject} {rest}?"
