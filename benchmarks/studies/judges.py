"""Which metric can be trusted for what? From records of the suite `judges`, beside the judge of attributes.

    t2ibench run judges --out results/judges
    python benchmarks/studies/judges.py [--records results/judges] [--out results/studies]

All metrics of a track saw the same images. Writes judges.json and .md; of each track:

- the number that every metric gives to every method;
- for every metric how it orders the methods beside a trusted value of the attribute judge: Kendall's tau, and the pairs
  of methods that the trusted value tells apart (disjoint intervals) and which the metric orders the same way, leaves
  open, or orders the other way round (disjoint again);
- whether it puts the best that there is (`real`, `exact`) above every method, and how often a method above a row that
  ignores what was asked;
- how far the rates of a judge that is asked questions lie from the attribute judge's, of the same pair and method.

Seconds.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from t2ibench.core import records, storage

TRUSTED = {"text_to_image": ("ca_control", "ca_rare"), "edit": ("edit_exact", "edit_success", "attributes_kept")}
BEST = {"text_to_image": "real", "edit": "exact"}
IGNORING = ("shuffled-", "unconditional-", "unedited-", "resampled-")  # baselines that do not do what was asked

Row = Mapping[str, Any]  # a record
Cells = Mapping[str, Row]  # by method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=Path("results/judges"))
    parser.add_argument("--out", type=Path, help="also write the tables there")
    arguments = parser.parse_args()
    study = compared(records.load(arguments.records))
    text = page(study)
    print(text)
    if arguments.out is not None:
        content = (json.dumps(study, indent=1, ensure_ascii=False) + "\n").encode()
        storage.publish(arguments.out / "judges.json", [content])
        storage.publish(arguments.out / "judges.md", [text.encode()])


def compared(rows: Sequence[Row]) -> dict[str, Any]:
    """The tables of the study, from the records of one suite and seed."""
    tracks = {}
    for track in TRUSTED:
        cells = {row["method"]: row for row in rows if row["track"] == track}
        if cells:
            tracks[track] = of_track(track, cells)
    asked = [row for row in rows if row["track"] == "text_to_image"]
    return {"suite": rows[0]["suite"], "tracks": tracks, "pairs": pairs(asked), "labels": _labels(rows)}


def of_track(track: str, cells: Cells) -> dict[str, Any]:
    """One track: the numbers of every method, the best by the first trusted value above, and what each metric says."""
    first = TRUSTED[track][0]
    order = sorted(cells, key=lambda method: (-_value(cells[method], first, -np.inf), method))
    ids = [id for id in cells[order[0]]["columns"] if any(id in row["values"] for row in cells.values())]
    shown = {method: cells[method] for method in order}
    return {
        "methods": {method: {id: _value(row, id) for id in ids} for method, row in shown.items()},
        "baselines": [method for method, row in shown.items() if row["kind"] != "method"],
        "protocols": {
            id: sorted({r["values"][id]["protocol_id"] for r in cells.values() if id in r["values"]}) for id in ids
        },
        "metrics": {id: of_metric(track, id, shown) for id in ids},
    }


def of_metric(track: str, id: str, cells: Cells) -> dict[str, Any]:
    """What one metric says of the methods of a track, beside the trusted values. Nothing, where neither direction of
    it is better.
    """
    having = {method: row for method, row in cells.items() if id in row["values"]}
    better = next(iter(having.values()))["values"][id]["better"]
    if better == "none":
        return {"better": better}
    methods = {method: row for method, row in having.items() if row["kind"] == "method"}
    best, ignoring = BEST[track], [method for method in having if method.startswith(IGNORING)]
    above = [_higher(methods[m], having[b], id) for m in methods for b in ignoring]
    return {
        "better": better,
        "first": max(methods, key=lambda method: _oriented(methods[method], id)) if methods else None,
        "beside": {trusted: beside(methods, id, trusted) for trusted in TRUSTED[track]},
        "best_above_all": all(_higher(having[best], row, id) for row in methods.values()) if best in having else None,
        "above_ignoring": [sum(above), len(above)],
    }


def beside(methods: Cells, id: str, trusted: str) -> dict[str, Any]:
    """The order of methods by a metric beside the order by a trusted value.

    Returns Kendall's tau, and of the pairs of methods that the trusted value tells apart how many the metric orders
    the same way ("agrees"), leaves open, and orders the other way round, with the names of the last.
    """
    both = {method: row for method, row in methods.items() if trusted in row["values"]}
    mine, theirs = ([_oriented(row, name) for row in both.values()] for name in (id, trusted))
    tau = float(kendalltau(mine, theirs).statistic) if len(both) > 1 else np.nan
    counts, against = {"agrees": 0, "open": 0, "contradicts": 0}, []
    for a, b in combinations(both, 2):
        told, said = apart(both[a], both[b], trusted), apart(both[a], both[b], id)
        if told == 0:
            continue
        counts["open" if said == 0 else "agrees" if said == told else "contradicts"] += 1
        if said == -told:
            against.append([a, b] if said > 0 else [b, a])
    return {"tau": None if np.isnan(tau) else round(tau, 3), "methods": len(both), **counts, "against": against}


def apart(a: Row, b: Row, id: str) -> int:
    """1: a is better and the intervals are disjoint; -1: b is; 0: the intervals overlap."""
    (low, high), (other_low, other_high) = a["values"][id]["ci"], b["values"][id]["ci"]
    if low <= other_high and other_low <= high:
        return 0
    return 1 if _higher(a, b, id) else -1


def _value(row: Row, id: str, missing: float | None = None) -> float | None:
    return row["values"][id]["value"] if id in row["values"] else missing


def _oriented(row: Row, id: str) -> float:
    """The value, negated where lower is better."""
    value = row["values"][id]
    return -float(value["value"]) if value["better"] == "lower" else float(value["value"])


def _higher(a: Row, b: Row, id: str) -> bool:
    return _oriented(a, id) > _oriented(b, id)


def _labels(rows: Iterable[Row]) -> list[str]:
    values = (row["values"][id] for row in rows for id in row["columns"] if id in row["values"])
    return sorted({label for value in values for label in value["details"].get("labels", ())})


def pairs(cells: Sequence[Row]) -> dict[str, Any]:
    """How far the rates of the two judges lie apart, of every pair and method that both may speak about."""
    differences, rates, named, refused = [], [], [], 0
    for cell in cells:
        trained, asked = (rows_of(cell, prefix) for prefix in ("ca_", "vqa_ca_"))
        for name, row in trained.items():
            other = asked[name]
            if "not judged" in (row["status"], other["status"]):
                refused += 1
                continue
            differences.append(abs(row["ca"] - other["ca"]))
            rates.append((row["ca"], other["ca"]))
            named.append([cell["method"], name])
    both = np.array(rates)
    return {
        "compared": len(rates),
        "refused_by_a_gate": refused,
        "mean_difference": round(float(np.mean(differences)), 4),
        "largest_difference": round(float(np.max(differences)), 4),
        "largest_at": named[int(np.argmax(differences))],
        "correlation": round(float(np.corrcoef(both.T)[0, 1]), 4),
        "bias": round(float((both[:, 1] - both[:, 0]).mean()), 4),
    }


def rows_of(cell: Row, prefix: str) -> dict[str, Row]:
    """The table of all pairs of a record, by the name of the pair."""
    found = next(v for id, v in cell["values"].items() if id.startswith(prefix) and "pairs" in v["details"])
    return {row["pair"]: row for row in found["details"]["pairs"]}


def page(study: Mapping[str, Any]) -> str:
    """The study as Markdown."""
    made = "Made by `python benchmarks/studies/judges.py --out results/studies`."
    lines = ["# Metrics beside the judge of attributes", "", made]
    for track, told in study["tracks"].items():
        lines += ["", f"## {track}", "", *_verdicts(track, told), "", *_values(told)]
    told = study["pairs"]
    lines += [
        "",
        "## Rates of pairs",
        "",
        f"Rates of the same pair and method by questions and by the attribute judge: {told['compared']:,} compared, "
        f"{told['refused_by_a_gate']:,} refused by a gate, mean difference {told['mean_difference']:.3f}, largest "
        f"{told['largest_difference']:.3f} ({', '.join(told['largest_at'])}), "
        f"correlation {told['correlation']:.3f}, questions minus judge {told['bias']:+.3f}.",
        "",
        *(f"- {label}" for label in study["labels"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _verdicts(track: str, told: Mapping[str, Any]) -> Iterable[str]:
    trusted = TRUSTED[track]
    named = ", ".join(f"`{id}`" for id in trusted)
    yield (
        f"Of the pairs of methods that a trusted value ({named}) tells apart by disjoint intervals, those that the "
        "metric orders the same way / leaves open / orders the other way round."
    )
    yield ""
    heads = [f"tau with `{id}` | pairs" for id in trusted]
    yield f"| metric | {' | '.join(heads)} | `{BEST[track]}` above all | methods above rows that ignore it | first |"
    yield f"|---|{'---:|---|' * len(trusted)}---|---:|---|"
    for id, said in told["metrics"].items():
        if said["better"] == "none":
            yield f"| `{id}` | {'neither is better | | ' * len(trusted)}| | |"
            continue
        cells = [_beside(said["beside"][name]) for name in trusted]
        best = {True: "yes", False: "no", None: "not scored"}[said["best_above_all"]]
        right, of = said["above_ignoring"]
        share = f"{right} of {of}" if of else "none scored"
        yield f"| `{id}` {ARROWS[said['better']]} | {' | '.join(cells)} | {best} | {share} | {said['first'] or ''} |"


ARROWS = {"higher": "↑", "lower": "↓"}


def _beside(found: Mapping[str, Any]) -> str:
    tau = "" if found["tau"] is None else f"{found['tau']:.2f}"
    return f"{tau} | {found['agrees']} / {found['open']} / {found['contradicts']}"


def _values(told: Mapping[str, Any]) -> Iterable[str]:
    ids = list(told["metrics"])
    yield f"| method | {' | '.join(f'`{id}`' for id in ids)} |"
    yield f"|---|{'---:|' * len(ids)}"
    for method, values in told["methods"].items():
        name = f"*{method}*" if method in told["baselines"] else method
        yield f"| {name} | {' | '.join('' if values[id] is None else f'{values[id]:.3f}' for id in ids)} |"


if __name__ == "__main__":
    main()
