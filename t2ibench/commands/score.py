"""`score`: images that somebody else made, through the same evidence, metrics and checks as a method's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text
from torch import Tensor

from t2ibench import plugins, records
from t2ibench.cells import Sample
from t2ibench.commands.console import out as stdout
from t2ibench.commands.console import print_json
from t2ibench.commands.datasets import opened
from t2ibench.data import Split
from t2ibench.errors import UserError, did_you_mean
from t2ibench.evidence import Evidence, Samples
from t2ibench.journal import BLACK, Outcome
from t2ibench.models import Models
from t2ibench.progress import track
from t2ibench.recording import assemble
from t2ibench.runner import FULL_COVERAGE, judge_of
from t2ibench.scoring import metrics_of, score
from t2ibench.suite import Entry
from t2ibench.table import decimals_of
from t2ibench.tracks import Prompt

TRACK = "text_to_image"


def score_folder(
    folder: Path, prompts: Path | None, metrics: Sequence[str], dataset: str, out: Path | None, device: str, *, json: bool
) -> None:
    """Score a folder of images against the test split of a data set; prints the values, and the record with --json or --out.

    The images are squashed to the size of the real ones where theirs is another; the record names it.
    """
    asked = metrics_of([Entry(name, name, {}, "metric") for name in known(metrics)], "score")
    for metric in asked:
        if TRACK not in metric.tracks:
            raise UserError(f"--metrics: {metric.name} scores the track {' and '.join(metric.tracks)}, a folder holds images of texts")
    load, facts = opened(dataset)
    train, reference = load("train"), load("test")
    side = int(reference.images.read([0]).shape[-1])
    made = images_of(folder, prompts, side)
    samples = samples_of(made)
    models = Models(device)
    evidence = Evidence(
        train=train, reference=reference, prompts=samples.prompts, samples={"captions": samples}, models=models, judge=judge_of(train)
    )
    outcomes = outcomes_of(samples, made)
    partial = bool(samples.ok.mean() < FULL_COVERAGE)
    scores = score(evidence, asked, partial=partial)
    maker = Folder({"name": "folder", "size": side, "images": made.digest})
    of_data = {
        "train": {"images": len(train), "digest": train.digest},
        "reference": {"split": reference.name, "images": len(reference), "digest": reference.digest},
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


def known(metrics: Sequence[str]) -> list[str]:
    """The names of metrics, checked."""
    there = plugins.sources("metrics")
    for name in metrics:
        if name not in there:
            raise UserError(f"--metrics: no metric is called {name!r}{did_you_mean(name, there)}")
    return list(metrics)


def images_of(folder: Path, prompts: Path | None, side: int) -> Split:
    """The images with their texts: of metadata.jsonl and its like, or of a text file with one line an image, in the order of the names."""
    images = plugins.load("datasets", "image_folder")
    if prompts is None or prompts.name.startswith("metadata."):
        return images.load(images.Config(root=folder if prompts is None else prompts.parent, size=side), "test")
    try:
        texts = prompts.read_text("utf-8").splitlines()
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in images.SUFFIXES)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{prompts} cannot be read ({error})") from error
    if len(texts) != len(paths) or not texts:
        raise UserError(f"{prompts} has {len(texts):,} lines, {folder} has {len(paths):,} images: expected one line an image, by file name")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise UserError(f"{prompts}:{number} is empty, expected the text of {paths[number - 1]}")
    names = [path.relative_to(folder).as_posix() for path in paths]
    return Split(folder.name, "folder", names, images.Files(paths, side), [(text.strip(),) for text in texts])


def samples_of(made: Split) -> Samples:
    """One sample an image, asked for by the first of its texts; black images do not count as ok."""
    prompts = [Prompt(f"captions/{id}", texts[0]) for id, texts in zip(made.ids, made.captions, strict=True)]
    blocks = [range(start, min(start + 256, len(made))) for start in range(0, len(made), 256)]
    bright = [made.images.read(block).reshape(len(block), -1).max(1) > BLACK for block in track(blocks, "read images")]
    return Samples(prompts, [0] * len(made), np.concatenate(bright), made.images.digests(), made.images)


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
