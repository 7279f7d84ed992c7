"""Scores images that were made elsewhere, by the same evidence, metrics and checks as those of a method."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from t2ibench.core import records
from t2ibench.core.decode import PEERS, REFUSE, Decoding
from t2ibench.core.errors import UserError
from t2ibench.core.plain_text import plain
from t2ibench.core.records import FULL_COVERAGE
from t2ibench.data.dataset import opened
from t2ibench.data.folders import ANOTHER_SIZE, reading_of
from t2ibench.data.given_images import GivenImages, lines_on_reading, made_images, rules_of
from t2ibench.data.split import Networks, Split
from t2ibench.data.stores import each
from t2ibench.networks.models import Models
from t2ibench.runner.journal import Outcome
from t2ibench.runner.record import assemble, plugins_of
from t2ibench.scoring.default_networks import settled, trained_for
from t2ibench.scoring.evidence import Samples
from t2ibench.scoring.reference_files import ReferenceFile
from t2ibench.scoring.score import score
from t2ibench.scoring.score_images import (
    TRACK,
    asked_metrics,
    check_texts,
    evidence_of,
    no_images,
    real_images,
)
from t2ibench.tracks.contract import Sample

WITHOUT_REFERENCE = ("clip_score", "r_precision")
SHOWN_TEXT = 60  # characters of a text in the line that shows pairs
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
    vqa: str | None = None,
    people: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    size: int | None,
    exif: Literal["turn", "ignore"] = PEERS.exif,
    alpha: str = REFUSE,
    out: Path | None,
    device: str,
) -> tuple[dict[str, Any], list[str]]:
    """Score images against a folder of real images, or against the test split of a data set.

    folder: the images.
    prompts: the file or folder of their texts; None: those that lie in the folder, if any.
    metrics: their names; None: the usual ones.
    dataset: the data set with the real images. Its networks score, and the images are squashed to its size.
    reference: the real images instead: a folder, or a file of statistics. With neither of the two, only metrics that
        need no real images can run.
    extractor, clip, vqa: networks that score instead of the usual ones.
    people: a file of labels that people gave the images, or None.
    settings: other settings of metrics, by `metric.setting`.
    size: pixels a side to which the images are squashed; None: the data set's, or their own.
    exif, alpha: how files are read (`t2ibench.core.decode.Decoding`).
    out: the file to which the record is written too, or None.
    device: the device on which all networks run.

    Returns the record, and lines for people that say how its numbers were made.
    """
    if reference is not None and dataset is not None:
        raise UserError(
            f"score: --reference {reference} and --dataset {dataset} both name the real images: leave one of them out"
        )
    alone, decoding = reference is None and dataset is None, Decoding(exif, alpha)
    named = metrics or (WITHOUT_REFERENCE if alone else WITH_REFERENCE)
    wanted = asked_metrics(named, extractor, clip, vqa, None if people is None else str(people), settings)
    models, networks = Models(device), Networks()
    if dataset is not None:
        data = opened(dataset)
        train, real, facts = data.train, data.reference, {"name": data.name, "config": data.config}
        networks = trained_for(data.networks, train.dataset)
        size = size or int(real.images.read([0]).shape[-1])
    else:
        train = real = no_images() if reference is None else real_images(reference, size, decoding)
        facts = {
            "name": real.name,
            "config": {"reference": None if reference is None else reference.name, "size": size, **asdict(decoding)},
        }
    made = made_images(folder, prompts, size, decoding)
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
        cell={"suite": "score", "track": TRACK, "method": plain(folder.resolve().name), "kind": "method", "seed": 0},
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
            "prompts": {
                "digest": texts,
                "captions": made.name,
                "texts": len(made),
                "images": {"captions": len(made)},
            },
            "facts": {
                "pairs": pairs_of(made),
                "reading": {"made": rules_of(made), "reference": rules_of(real)},
            },
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


def pairs_of(made: GivenImages) -> dict[str, Any]:
    """Which text belongs to which image, as a record says it: where the texts stand, the first pair and the last."""
    if not made.texts_from:
        return {}
    return {
        "from": Path(made.texts_from).name,
        **{place: [made.ids[row], made.captions[row][0]] for place, row in (("first", 0), ("last", -1))},
    }


def described(record: Mapping[str, Any], made: GivenImages, real: Split, size: int | None) -> list[str]:
    """Lines that say how the numbers were made.

    They name the networks, with their resizing; the reference and the images, with their sizes; the texts, with the
    first and the last pair of an image and its text; what was noticed when files were read; and remarks of the metrics.
    """
    networks: dict[str, list[str]] = {}
    for name, value in record["values"].items():
        protocol = value["protocol"]
        if "extractor" in protocol:
            network = f"{protocol['extractor']} ({protocol['resize']}, sha256 {protocol['sha256'][:12]}…)"
            networks.setdefault(network, []).append(name)
        elif "vqa" in protocol:
            network = f"{protocol['vqa']} ({protocol['backend']}, sha256 {protocol['sha256'][:12]}…)"
            networks.setdefault(network, []).append(name)
    of_networks = "; ".join(f"{network}: {', '.join(names)}" for network, names in networks.items()) or "none by name"
    sides = [f"{len(split):,} images{_side(split)}" for split in (real, made)]
    compared = (
        f"{real.name if real.dataset == real.name else f'{real.dataset} {real.name}'}, {sides[0]}"
        if len(real)
        else "none"
    )
    squashed = f", squashed to {size}x{size}" if size else ", as they are"
    lines = [f"networks: {of_networks}", f"reference: {compared}; scored: {sides[1]}{squashed}"]
    if made.texts_from:
        first, last = (f"{made.ids[row]} ← {_short(made.captions[row][0])}" for row in (0, -1))
        lines.append(f"texts: {made.texts_from}; first: {first}; last: {last}")
    lines += [*lines_on_reading(made, all_kinds=True), *lines_on_reading(real, all_kinds=True)]
    remarks = {label: name for name, value in record["values"].items() for label in value["details"].get("labels", ())}
    return [*lines, *(f"{name}: {label}" for label, name in remarks.items())]


def _short(text: str) -> str:
    return f'"{text if len(text) <= SHOWN_TEXT else text[: SHOWN_TEXT - 1] + "…"}"'


def _side(split: Split) -> str:
    """The size of a split's images as the metrics get them, as text; empty where it has no images."""
    if not len(split) or isinstance(split.images, ReferenceFile):
        return ""
    [image] = each(split.images, [0])
    height, width = image.shape[1:]
    return f" of {width}x{height}" + (" and other sizes" if ANOTHER_SIZE in rules_of(split) else "")
