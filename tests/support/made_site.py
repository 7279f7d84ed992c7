"""A small site made by hand: a board of four rows with images, whose names and captions try to leave the page."""

from pathlib import Path
from typing import Any

import numpy as np
from made_records import SOUND, record

from t2ibench.core import records
from t2ibench.core.records import Estimate
from t2ibench.report.gallery import cell_folder
from t2ibench.report.site.contents import Contents
from t2ibench.runner.journal import Outcome, Store
from t2ibench.stats.paired import spell, spell_samples

NAMES = ["plain", "<img src=x onerror=alert(1)>", "=cmd|x", "real"]  # the last is a baseline
CAPTIONS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "\u202eright to left",
    "\x1b[31mred\x07",
    "a\u0085b",
    "@SUM(1)",
    "{{ 7 * 7 }}",
    "T2I.push({});//\u2028",
]
PAIRS = ["x=1+y=1", "x=2+y=2"]
COUNT = 20  # captions


def hue(row: int, i: int) -> int:
    """Whether row `row` of the board hits caption i."""
    return int((i + row) % (row + 2) == 0)


def estimate(id: str, numbers: np.ndarray, protocol: dict[str, Any], metric: str, **details: Any) -> dict[str, Any]:
    """A value that is the mean of its samples, with an interval around it."""
    mean = float(np.nanmean(numbers))
    kept = spell_samples(numbers[~np.isnan(numbers)], ~np.isnan(numbers)) if "hits" in protocol else spell(numbers, 8)
    spread = float(np.nanstd(numbers)) / len(numbers) ** 0.5 + 0.01
    made = Estimate(
        mean, (mean - spread, mean + spread), len(numbers), "higher", {**protocol, "id": id}, "made by hand",
        {"per_sample": kept, **details},
    )  # fmt: skip
    return made.to_json(metric)


def values(row: int) -> dict[str, Any]:
    """The values of one row: hits and numbers of captions, hits of pairs, and a distance without samples."""
    hits = np.array([float(hue(row, i)) for i in range(COUNT)])
    hits[3] = np.nan  # caption 3 has no usable image
    near = np.where(np.isnan(hits), np.nan, 0.1 * row + 0.01 * np.arange(COUNT))
    of_pairs = np.array([float((i + row) % 3 == 0) for i in range(8)])
    table = [
        {"pair": name, "roles": ["rare"], "train_n": 5, "control": None, "n": 4, "hits": int(part.sum()),
         "ca": float(part.mean()), "ci": [0.0, 1.0], "corrected": None, "corrected_ci": None, "status": "uncorrected"}
        for name, part in zip(PAIRS, of_pairs.reshape(2, 4), strict=True)
    ]  # fmt: skip
    distance = Estimate(9.5 - row, (9.0 - row, 10.0 - row), COUNT, "lower", {"group": "captions"}, "made by hand")
    return {
        "hue": estimate("hue", hits, {"group": "captions", "hits": True}, "hue"),
        "near": estimate("near", near, {"group": "captions"}, "near"),
        "ca_rare": estimate("ca_rare", of_pairs, {"judged": PAIRS, "hits": True}, "pairs", pairs=table),
        "fd_x": distance.to_json("fid"),
    }


def outcomes(row: int, store: Store) -> list[Outcome]:
    """The samples of one row, each with an image of one colour; caption 3 failed, caption 4 is black but kept."""
    made = []
    for i in range(COUNT + 8):
        pair, template = divmod(i - COUNT, 4)
        group = "captions" if i < COUNT else "pairs"
        text = CAPTIONS[i % len(CAPTIONS)] + f" {i}"
        prompt = f"captions/{i}" if i < COUNT else f"pairs/{PAIRS[pair]}/{template}"
        status = {3: "failed", 4: "black"}.get(i, "ok")
        name = f"{i:020x}"
        image = np.full((3, 8, 8), (40 * row + 5 * i) % 256, np.uint8)
        sha256 = store.save(name, image) if status != "failed" else ""
        message = "ValueError: <b>\x1b[1m no" if status == "failed" else ""
        made.append(Outcome(name, prompt, group, text, 0, text, status, sha256, 0.1, message))  # type: ignore[arg-type]
    return made


def made(work: Path, images: bool = True, **changes: Any) -> Contents:
    """The contents of the site. images: whether the work folder holds the images of the cells."""
    rows = []
    for row, name in enumerate(NAMES):
        kind = "baseline" if name == "real" else "method"
        config = {"name": "painter", "config": {"strength": row}, "weights": {}}
        bare = {"config": config, "columns": ["hue", "near", "fd_x"], **SOUND, "kind": kind}
        found = outcomes(row, Store(cell_folder(work, record(name, **bare)))) if images else []
        if found:
            Store(cell_folder(work, record(name, **bare))).append(found)
        digest = records.digest([[o.sample, o.status, o.sha256] for o in found])
        bare["cost"] = {**bare["cost"], "seconds_per_image": 0.01 * 10**row}
        rows.append(record(name, values(row), images=digest, trained_on=[f"data {row % 2}"], **bare, **changes))
    return Contents(rows, work=[work])
