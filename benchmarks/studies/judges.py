"""Does a judge that is asked questions order methods as the attribute judge does? From records of the suite `judges`.

    t2ibench run judges --out results/judges
    python benchmarks/studies/judges.py [--records results/judges] [--out results/studies]

Both judges saw the same images. Writes judges.json and .md: for every value of a record its number for each method,
Kendall's tau of its order with that of the attribute judge (`ca_rare`, `ca_control`), and how far the two judges' rates
of the same attribute pair and method lie apart. Seconds.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from t2ibench.core import records, storage

TRUSTED = ("ca_control", "ca_rare", "ca_near_unseen")  # by the attribute judge
ASKED = "vqa_{}@vqa"  # the same values by questions
OTHERS = ("vqa_score", "soft_tifa_am", "soft_tifa_gm", "clip_score")


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


def compared(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tables of the study, from the records of one suite and seed."""
    ids = [*TRUSTED, *(ASKED.format(id) for id in TRUSTED), *OTHERS]
    values = {
        cell["method"]: {id: cell["values"][id]["value"] for id in ids}
        for cell in sorted(cells, key=lambda cell: -cell["values"][TRUSTED[0]]["value"])
    }
    table = {id: [row[id] for row in values.values()] for id in ids}
    taus = {
        id: {trusted: round(float(kendalltau(table[id], table[trusted]).statistic), 3) for trusted in TRUSTED[:2]}
        for id in ids
    }
    outcomes = {cell["method"]: cell["values"]["vqa_score"]["details"]["outcomes"] for cell in cells}
    return {
        "suite": cells[0]["suite"],
        "protocols": {id: cells[0]["values"][id]["protocol_id"] for id in ids},
        "methods": values,
        "kendall_tau": taus,
        "pairs": pairs(cells),
        "outcomes": outcomes,
        "labels": sorted({label for cell in cells for id in ids for label in _labels(cell["values"][id])}),
    }


def _labels(value: Mapping[str, Any]) -> Sequence[str]:
    return value["details"].get("labels", ())


def pairs(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far the rates of the two judges lie apart, of every pair and method that both may speak about."""
    differences, rates, named, refused = [], [], [], 0
    for cell in cells:
        trained, asked = (rows(cell, prefix) for prefix in ("ca_", "vqa_ca_"))
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


def rows(cell: Mapping[str, Any], prefix: str) -> dict[str, Mapping[str, Any]]:
    """The table of all pairs of a record, by the name of the pair."""
    found = next(v for id, v in cell["values"].items() if id.startswith(prefix) and "pairs" in v["details"])
    return {row["pair"]: row for row in found["details"]["pairs"]}


def page(study: Mapping[str, Any]) -> str:
    """The study as Markdown."""
    ids = list(study["kendall_tau"])
    lines = [
        "# Judges beside one another",
        "",
        "Made by `python benchmarks/studies/judges.py --out results/studies`.",
        "",
    ]
    lines += [f"| method | {' | '.join(f'`{id}`' for id in ids)} |", f"|---|{'---:|' * len(ids)}"]
    for method, values in study["methods"].items():
        lines.append(f"| {method} | {' | '.join(f'{values[id]:.3f}' for id in ids)} |")
    for trusted in TRUSTED[:2]:
        taus = [f"{study['kendall_tau'][id][trusted]:.2f}" for id in ids]
        lines.append(f"| *Kendall's tau with* `{trusted}` | {' | '.join(taus)} |")
    told = study["pairs"]
    lines += [
        "",
        f"Rates of the same pair and method by questions and by the attribute judge: {told['compared']:,} compared, "
        f"{told['refused_by_a_gate']:,} refused by a gate, mean difference {told['mean_difference']:.3f}, largest "
        f"{told['largest_difference']:.3f} ({', '.join(told['largest_at'])}), "
        f"correlation {told['correlation']:.3f}, questions minus judge {told['bias']:+.3f}.",
        "",
        *(f"- {label}" for label in study["labels"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
