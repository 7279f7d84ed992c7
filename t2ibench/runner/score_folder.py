"""Scores images that were made elsewhere, by the same evidence, metrics and checks as those of a method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.data.dataset import opened
from t2ibench.data.folders import reading_of
from t2ibench.data.split import Networks, Split
from t2ibench.networks.models import Models
from t2ibench.runner.journal import Outcome
from t2ibench.runner.record import assemble, plugins_of
from t2ibench.runner.run import FULL_COVERAGE
from t2ibench.scoring.default_networks import settled, trained_for
from t2ibench.scoring.evidence import Samples
from t2ibench.scoring.reference_files import ReferenceFile
from t2ibench.scoring.score import score
from t2ibench.scoring.score_images import (
    TRACK,
    asked_metrics,
    check_texts,
    evidence_of,
    made_images,
    no_images,
    real_images,
)
from t2ibench.tracks.contract import Sample

WITHOUT_REFERENCE = ("clip_score", "r_precision")
WITH_REFERENCE = ("fid", "kid", "prdc", *WITHOUT_REFERENCE)


def score_folder(
    folder: Path,
    *,
    prompts: Path | None,
    metrics: Sequence[str] | None,
    dataset: str | None,
    reference: Path | None,
    extractor: str | None,
    clip: str | None,
    size: int | None,
    out: Path | None,
    device: str,
) -> tuple[dict[str, Any], list[str]]:
    """Score images against a folder of real images, or against the test split of a data set.

    folder: the images.
    prompts: the file of their texts, or None.
    metrics: their names; None: the usual ones.
    dataset: the data set with the real images. Its networks score, and the images are squashed to its size.
    reference: the real images instead: a folder, or a file of statistics. With neither of the two, only metrics that
        need no real images can run.
    extractor, clip: networks that score instead of the usual ones.
    size: pixels a side to which the images are squashed; None: the data set's, or their own.
    out: the file to which the record is written too, or None.
    device: the device on which all networks run.

    Returns the record, which names networks and sizes, and two lines for people that say the same.
    """
    if reference is not None and dataset is not None:
        raise UserError(
            f"score: --reference {reference} and --dataset {dataset} both name the real images: leave one of them out"
        )
    alone = reference is None and dataset is None
    wanted = asked_metrics(metrics or (WITHOUT_REFERENCE if alone else WITH_REFERENCE), extractor, clip)
    models, networks = Models(device), Networks()
    if dataset is not None:
        data = opened(dataset)
        train, real, facts = data.train, data.reference, {"name": data.name, "config": data.config}
        networks = trained_for(data.networks, train.dataset)
        size = size or int(real.images.read([0]).shape[-1])
    else:
        train = real = no_images() if reference is None else real_images(reference, size)
        facts = {
            "name": real.name,
            "config": {"reference": None if reference is None else reference.name, "size": size},
        }
    made = made_images(folder, prompts, size)
    check_texts(made, wanted)
    wanted = settled(wanted, networks, train.dataset if dataset is not None else made.dataset, "score")
    evidence = evidence_of(made, real, models, train, networks.judge)
    samples = evidence.samples()
    outcomes = outcomes_of(samples, made)
    partial = bool(samples.ok.mean() < FULL_COVERAGE)
    scores = score(evidence, wanted, partial=partial)
    maker = Folder({"name": "folder", **reading_of(made.images), "images": made.contents})
    of_data = {
        "train": {"images": len(train), "digest": train.described},
        "reference": {"split": real.name, "images": len(real), "digest": real.contents},
    }
    texts = records.digest([prompt.text for prompt in samples.prompts])
    record = assemble(
        cell={"suite": "score", "track": TRACK, "method": folder.resolve().name, "kind": "method", "seed": 0},
        identity_of={
            "maker": maker.identity,
            "dataset": of_data if dataset is None else {**facts, **of_data},
            "metrics": [metric.identity for metric in wanted],
        },
        code=plugins_of(None, None if dataset is None else data.name, [metric.name for metric in wanted]),
        maker=maker,
        judges=models.used,
        facts={
            "dataset": {**facts, **of_data},
            "prompts": {"digest": texts, "captions": made.name, "texts": len(made), "images": {"captions": len(made)}},
        },
        columns=[],
        outcomes=outcomes,
        cost={},
        scores=scores,
        partial=partial,
        device=device,
    )
    if out is not None:
        records.write(record, out, replace=True)
    return record, described(record, made, real, size)


@dataclass(frozen=True)
class Folder:
    """The maker of images that were made elsewhere. Nothing is known of it but the images."""

    identity: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ("unknown",)
    cost: Mapping[str, float] = field(default_factory=dict)

    def source(self, sample: Sample) -> str:
        return sample.prompt.id

    def make(self, samples: Sequence[Sample]) -> Tensor:
        raise UserError("the images of a folder are there already")


def outcomes_of(samples: Samples, made: Split) -> list[Outcome]:
    """An outcome for every image, as a run writes them down."""
    rows = zip(samples.prompts, samples.ok, samples.hashes, strict=True)
    return [
        Outcome(p.id, p.id, p.group, p.text, 0, "file", "ok" if ok else "black", sha256, 0.0) for p, ok, sha256 in rows
    ]


def described(record: Mapping[str, Any], made: Split, real: Split, size: int | None) -> list[str]:
    """Two lines that say how the numbers were made.

    The first names the networks, with their resizing. The second names the reference and the images, with their sizes.
    """
    networks: dict[str, list[str]] = {}
    for name, value in record["values"].items():
        protocol = value["protocol"]
        if "extractor" in protocol:
            network = f"{protocol['extractor']} ({protocol['resize']}, sha256 {protocol['sha256'][:12]}…)"
            networks.setdefault(network, []).append(name)
    of_networks = "; ".join(f"{network}: {', '.join(names)}" for network, names in networks.items()) or "none by name"
    sides = [f"{len(split):,} images{_side(split)}" for split in (real, made)]
    compared = (
        f"{real.name if real.dataset == real.name else f'{real.dataset} {real.name}'}, {sides[0]}"
        if len(real)
        else "none"
    )
    squashed = f", squashed to {size}x{size}" if size else ", as they are"
    return [f"networks: {of_networks}", f"reference: {compared}; scored: {sides[1]}{squashed}"]


def _side(split: Split) -> str:
    """The size of a split's images as the metrics get them, as text; empty where it has no images."""
    if not len(split) or isinstance(split.images, ReferenceFile):
        return ""
    height, width = split.images.read([0]).shape[2:]
    return f" of {width}x{height}"
