"""`score`: images that somebody else made, through the same evidence, metrics and checks as a method's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text
from torch import Tensor

from t2ibench import records
from t2ibench.cells import Sample
from t2ibench.commands.console import out as stdout
from t2ibench.commands.console import print_json
from t2ibench.commands.datasets import opened
from t2ibench.data import Split
from t2ibench.errors import UserError
from t2ibench.evidence import Samples
from t2ibench.given_images import TRACK, asked_metrics, evidence_of, made_images, real_images
from t2ibench.journal import Outcome
from t2ibench.models import Models
from t2ibench.recording import assemble
from t2ibench.runner import FULL_COVERAGE, judge_of
from t2ibench.scoring import score
from t2ibench.table import decimals_of


def score_folder(
    folder: Path,
    prompts: Path | None,
    metrics: Sequence[str],
    dataset: str,
    reference: Path | None,
    extractor: str | None,
    size: int | None,
    out: Path | None,
    device: str,
    *,
    json: bool,
) -> None:
    """Score images against a reference, or the test split of a data set; prints the values, and the record with --json or --out.

    Beside a data set the images are squashed to the size of the real ones where theirs is another; the record names it.
    """
    asked = asked_metrics(metrics, extractor)
    models = Models(device)
    if reference is not None:
        real = real_images(reference, size)
        train, facts = real, {"name": real.name, "config": {"reference": reference.name, "size": size}}
    else:
        load, facts = opened(dataset)
        train, real = load("train"), load("test")
        size = size or int(real.images.read([0]).shape[-1])
    made = made_images(folder, prompts, size)
    evidence = evidence_of(made, real, models, asked, train)
    evidence.judge = judge_of(train)
    samples = evidence.samples()
    outcomes = outcomes_of(samples, made)
    partial = bool(samples.ok.mean() < FULL_COVERAGE)
    scores = score(evidence, asked, partial=partial)
    maker = Folder({"name": "folder", "size": size, "images": made.digest})
    of_data = {
        "train": {"images": len(train), "digest": train.digest},
        "reference": {"split": real.name, "images": len(real), "digest": real.digest},
    }
    texts = records.digest([prompt.text for prompt in samples.prompts])
    record = assemble(
        cell={"suite": "score", "track": TRACK, "method": folder.resolve().name, "kind": "method", "seed": 0},
        identity_of={"maker": maker.identity, "dataset": {**facts, **of_data}, "metrics": [metric.identity for metric in asked]},
        maker=maker,
        judges=models.used,
        facts={
            "dataset": {**facts, **of_data},
            "prompts": {"digest": texts, "captions": made.name, "texts": len(made), "images": {"captions": len(made)}},
        },
        columns=[],
        outcomes=outcomes,
        scores=scores,
        partial=partial,
        device=device,
    )
    if out is not None:
        records.write(record, out, replace=True)
    print_json(record) if json else _show(record)


@dataclass(frozen=True)
class Folder:
    """Who made the images: somebody else."""

    identity: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ("unknown",)
    cost: Mapping[str, float] = field(default_factory=dict)

    def source(self, sample: Sample) -> str:
        return sample.prompt.id

    def make(self, samples: Sequence[Sample]) -> Tensor:
        raise UserError("the images of a folder are there already")


def outcomes_of(samples: Samples, made: Split) -> list[Outcome]:
    """The outcomes as a run would have noted them."""
    rows = zip(samples.prompts, samples.ok, samples.hashes, strict=True)
    return [Outcome(p.id, p.id, p.group, p.text, 0, "file", "ok" if ok else "black", sha256, 0.0) for p, ok, sha256 in rows]


def _show(record: Mapping[str, Any]) -> None:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, header_style="bold", title=f"{record['method']}", title_justify="left")
    for name in ("metric", "value", "95 % interval", "n", "protocol"):
        table.add_column(name, justify="left" if name in ("metric", "protocol") else "right", no_wrap=True)
    arrows = {"higher": " ↑", "lower": " ↓"}
    for name, value in record["values"].items():
        low, high = value["ci"]
        decimals = decimals_of((high - low) / 2)
        figures = (f"{value['value']:.{decimals}f}", f"[{low:.{decimals}f}, {high:.{decimals}f}]", f"{value['n']:,}", value["protocol_id"])
        table.add_row(Text(name + arrows.get(value["better"], ""), "bold"), *figures)
    stdout().print(table)
    counts = record["counts"]
    stdout().print(f"{counts['ok']:,} of {counts['requested']:,} images; {counts['black']:,} black", style="dim")
    for name, reason in record["unscored"].items():
        stdout().print(f"{name} is not there: {reason}", style="yellow")
