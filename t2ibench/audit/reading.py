"""What an audit comes to: how often judge and raters agree, and how far two raters would agree by chance.

Images were drawn by judged cell, so each stands for its cell's share of all images: agreement is sum_c W_c p_c with W_c = N_c / N, and its
interval combines the cells' Wilson intervals (Zou & Donner, Statistics in Medicine 2008). Kappa (Cohen 1960) is of the four cells with the
same weights, its interval a bootstrap within cells. An image that a rater cannot tell counts for that rater nowhere.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench import records
from t2ibench.audit import ANSWERS, COLUMNS, KEY, Audit, Item
from t2ibench.errors import UserError, did_you_mean
from t2ibench.seeds import derive_seed
from t2ibench.statistics import Interval, wilson

ENOUGH = 0.85  # below it what the judge says of a pair, or of a method, is withheld
FEWEST = 10  # rated images of a pair before anything is said of it
DRAWS = 2000
UNSURE = -1


@dataclass(frozen=True)
class Rater:
    """cells: what a rater saw in each image of an audit, 0 to 3, or UNSURE."""

    name: str
    cells: np.ndarray


def read_audit(folder: Path) -> Audit:
    """The key of an audit. Raises UserError where there is none, or it is not as it was written."""
    path = folder / KEY
    try:
        content = json.loads(path.read_text("utf-8"))
        if records.seal(content)["sha256"] != content.pop("sha256"):
            raise ValueError("the content does not match its own sha256")
        items = [Item(**{**item, "pair": tuple(item["pair"]), "said": tuple(item["said"])}) for item in content.pop("items")]
        return Audit(**{**content, "population": tuple(content["population"])}, items=items)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: `t2ibench audit SUITE METHOD --out {folder}` makes an audit") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a sound key of an audit ({error}): make the audit again") from error


def read_rater(audit: Audit, path: Path) -> Rater:
    """A rater's answers. Raises UserError, with the line, for a file that is not one answer to both questions of every image."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise UserError(f"{path}: the columns {', '.join(COLUMNS)} are expected: take the file of the form, or fill in answers.csv")
    places, found = {item.image: place for place, item in enumerate(audit.items)}, {}
    for line, row in enumerate(rows, 2):
        where = f"{path}, line {line}"
        if row["audit"] != audit.id:
            raise UserError(f"{where}: audit {row['audit']!r}, expected {audit.id!r}: these are answers to another audit")
        image = (row["image"] or "").strip().zfill(3)  # a spreadsheet drops zeros
        if image not in places:
            raise UserError(f"{where}: no image of this audit is called {row['image']!r}{did_you_mean(image, places)}")
        if image in found:
            raise UserError(f"{where}: image {image} is answered twice: leave one of the lines")
        answers = [(row[side] or "").strip().lower() for side in ("first", "second")]
        for side, answer in zip(("first", "second"), answers, strict=True):
            if answer not in ANSWERS:
                raise UserError(f"{where}: {side} is {answer!r}, expected {', '.join(ANSWERS)}")
        found[image] = UNSURE if "unsure" in answers else 2 * (answers[0] == "yes") + (answers[1] == "yes")
    names = {(row["rater"] or "").strip() for row in rows}
    if len(names) != 1 or "" in names:
        raise UserError(f"{path}: the column rater has {sorted(names)}, expected one name in every line")
    if missing := [image for image in places if image not in found]:
        raise UserError(f"{path}: {len(missing)} of {len(places)} images have no answer, the first {missing[0]}: answer all of them")
    return Rater(names.pop(), np.array([found[image] for image in places]))


def verdict(audit: Audit, raters: Sequence[Rater]) -> dict[str, Any]:
    """Agreement and kappa of the judge with every rater and of the raters with each other, and the pairs that are withheld.

    Raises UserError for two raters of one name, and for one who can tell nothing.
    """
    names = [rater.name for rater in raters]
    if len(set(names)) != len(names):
        raise UserError(f"audit: two files are of the rater {max(names, key=names.count)!r}: raters are different people")
    judged = np.array([item.cell for item in audit.items])
    weights = np.array(audit.population, float)[judged] / np.bincount(judged, minlength=4)[judged]
    beside = [(rater.name, judged, rater.cells) for rater in raters]
    between = [(f"{a.name}, {b.name}", a.cells, b.cells) for i, a in enumerate(raters) for b in raters[i + 1 :]]
    return {
        "audit": audit.id,
        "suite": audit.suite,
        "method": audit.method,
        "seed": audit.seed,
        "judge": dict(audit.judge),
        "images": len(audit.items),
        "of": sum(audit.population),
        "with_judge": {name: compared(a, b, judged, weights, audit.id) for name, a, b in beside},
        "between_raters": {name: compared(a, b, judged, weights, audit.id) for name, a, b in between},
        "pairs": by_pair(audit, judged, raters),
        "blind_raters": len(raters),
    }


def compared(a: np.ndarray, b: np.ndarray, strata: np.ndarray, weights: np.ndarray, seed: str) -> dict[str, Any]:
    """Agreement and kappa of two readings of the images that both could tell, weighed up to all images."""
    told = (a != UNSURE) & (b != UNSURE)
    if not told.any():
        raise UserError("audit: a rater can tell nothing of any image: nothing can be said")
    a, b, strata, weights = a[told], b[told], strata[told], weights[told]
    agreement, ends = combined(a == b, strata, weights)
    generator, rows = np.random.default_rng(derive_seed("audit", seed)), [np.flatnonzero(strata == cell) for cell in np.unique(strata)]
    draws = []
    for _ in range(DRAWS):
        again = np.concatenate([generator.choice(own, len(own)) for own in rows])
        draws.append(kappa(a[again], b[again], weights[again]))
    there = [draw for draw in draws if draw is not None]
    low, high = (float(end) for end in np.percentile(there, [2.5, 97.5])) if there else (None, None)
    found = kappa(a, b, weights)
    return {
        "agreement": agreement,
        "agreement_ci": list(ends),
        "kappa": found,
        "kappa_ci": None if found is None else [low, high],
        "n": int(told.sum()),
        "unsure": int((~told).sum()),
    }


def combined(hits: np.ndarray, strata: np.ndarray, weights: np.ndarray) -> tuple[float, Interval]:
    """A rate over strata, and an interval of it out of Wilson's intervals of the strata."""
    value, below, above = 0.0, 0.0, 0.0
    for cell in np.unique(strata):
        own = strata == cell
        share, n, seen = weights[own].sum() / weights.sum(), int(own.sum()), int(hits[own].sum())
        low, high = wilson(seen, n)
        value, below, above = value + share * seen / n, below + (share * (seen / n - low)) ** 2, above + (share * (high - seen / n)) ** 2
    return float(value), (max(float(value - below**0.5), 0.0), min(float(value + above**0.5), 1.0))


def kappa(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float | None:
    """Cohen's kappa of two readings [n] of four cells; None where both always say the same one cell."""
    share = weights / weights.sum()
    chance = float(np.bincount(a, share, 4) @ np.bincount(b, share, 4))
    return None if chance > 1 - 1e-12 else (float(share[a == b].sum()) - chance) / (1 - chance)


def by_pair(audit: Audit, judged: np.ndarray, raters: Sequence[Rater]) -> dict[str, Any]:
    """Agreement of each pair, over raters and images as they were drawn, and whether the pair is withheld; None: too few to say."""
    found: dict[str, Any] = {}
    pairs: Mapping[tuple[str, str], list[int]] = {}
    pairs = {
        pair: [row for row, item in enumerate(audit.items) if item.pair == pair] for pair in dict.fromkeys(i.pair for i in audit.items)
    }
    for pair, rows in pairs.items():
        seen = np.array([rater.cells[rows] for rater in raters])
        told = seen != UNSURE
        n = int(told.all(axis=0).sum())
        rate = float((seen == judged[rows])[told].mean()) if told.any() else None
        found["+".join(pair)] = {"agreement": rate, "n": n, "withheld": None if n < FEWEST or rate is None else rate < ENOUGH}
    return found


def path_of(results: Path, suite: str, method: str) -> Path:
    """Where the boards of a folder of records look for verdicts."""
    return results / "audits" / suite / f"{method}.json"


def sentences(results: Path, suite: str) -> list[str]:
    """Every verdict on a method of a suite in a line. Raises UserError for a file that is not as it was written."""
    found = []
    for path in sorted(path_of(results, suite, "x").parent.glob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
            if records.seal(content)["sha256"] != content["sha256"]:
                raise ValueError("the content does not match its own sha256")
            found.append(sentence(content))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not a sound verdict of an audit ({error}): read the answers again") from error
    return found


def sentence(found: Mapping[str, Any]) -> str:
    """A verdict in a line, as boards show it."""
    lowest = min(row["agreement"] for row in found["with_judge"].values())
    kappas = [row["kappa"] for row in found["with_judge"].values() if row["kappa"] is not None]
    withheld = [pair for pair, row in found["pairs"].items() if row["withheld"]]
    few = sum(row["withheld"] is None for row in found["pairs"].values())
    parts = [f"every rater agrees with the judge on {lowest:.0%} or more", *([f"kappa {min(kappas):.2f} or more"] if kappas else [])]
    raters = f"{found['blind_raters']} raters" if found["blind_raters"] > 1 else "one rater, where two are the protocol"
    parts.append(f"{found['images']} of {found['of']:,} images, {raters}")
    if lowest < ENOUGH:
        parts.append(f"below {ENOUGH:.0%}, so its compositional accuracy cannot be believed")
    if withheld:
        parts.append(f"not to be believed of {', '.join(withheld)}")
    if few:
        parts.append(f"{few} of {len(found['pairs'])} pairs have fewer than {FEWEST} rated images")
    return f"human audit of {found['method']}: " + "; ".join(parts)
