"""Pairs of a made image and the image that it is compared with, and the values of metrics that compare the two.

Which image that is depends on the track:

    text_to_image    the real image that the caption came with
    edit, adapt      the image before the edit or the adaptation
    compose          the image A

With `of`, the name of an attribute such as DreamBench's `subject`, the image of a caption is compared with every real
image that has the same value as the one that the caption came with, but none of the same pixels.

So a high likeness says different things: a caption leaves open what its image shows beside the text, and an edit that
does nothing is the most alike. `another` in the details is the same value of two neighbouring references, which are
different images: what a method reaches that does not look at the reference at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.records import Estimate, digest
from t2ibench.core.seeds import derive_seed
from t2ibench.data.stores import ImageStore
from t2ibench.scoring.compositions import compositions, is_compose
from t2ibench.scoring.edits import edit_pairs, interval, literal, means_by, per_source
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.stats.finite import finite
from t2ibench.stats.paired import spell
from t2ibench.tracks.contract import SOURCES

TRACKS = ("text_to_image", "edit", "adapt", "compose")
CAPTIONS = "captions"


@dataclass(frozen=True, eq=False)
class ReferencePairs:
    """The pairs of which both images exist. Row i of `made` and `reference` describes pair i.

    groups: the groups of samples that hold the made images.
    made: row of the made image in the features of `groups`, concatenated, int [P].
    reference: row of its reference among the sources, or among the real images, int [P].
    real: whether the references are real images, and not the sources of the track.
    clusters: number of what was drawn independently, of each of the N images that are compared, int [N].
    labels: the edit, the domain or the task of each image; empty for captions.
    what: the key of the details that lists the labels.
    counts: how many pairs were asked for, and why some do not exist.
    protocol: what was asked for.
    spell: the values [N] as a record keeps them, for tests that compare methods.
    image: the number of the compared image of each pair, int [P]; None: each pair is one.
    """

    groups: Sequence[str]
    made: np.ndarray
    reference: np.ndarray
    real: bool
    clusters: np.ndarray
    labels: Sequence[str]
    what: str
    counts: Mapping[str, Any]
    protocol: Mapping[str, Any]
    spell: Callable[[np.ndarray], str]
    image: np.ndarray | None = None

    def __len__(self) -> int:
        """How many images are compared, N."""
        return len(self.clusters)

    def means(self, values: np.ndarray) -> np.ndarray:
        """The mean of the values [P] of an image's pairs, [N]."""
        if self.image is None:
            return values
        return np.bincount(self.image, values, len(self)) / np.bincount(self.image, minlength=len(self))

    def features(self, evidence: Evidence, extractor: str) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the made image and of the reference of each pair, [N, D] each, and of all references, [M, D]."""
        made = torch.cat([evidence.fake_features(extractor, group) for group in self.groups])
        if self.real:
            references = evidence.real_features(extractor, evidence.reference)
        else:
            references = evidence.fake_features(extractor, SOURCES)
        return made[self.made], references[self.reference], references[np.unique(self.reference)]

    def places(self, evidence: Evidence) -> list[tuple[tuple[ImageStore, int], tuple[ImageStore, int]]]:
        """Where the two images of each pair lie: a store and a row of it."""
        made = [(s.store, int(row)) for s in map(evidence.samples, self.groups) for row in s.rows]
        if self.real:
            references = [(evidence.reference.images, row) for row in range(len(evidence.reference))]
        else:
            sources = evidence.samples(SOURCES)
            references = [(sources.store, int(row)) for row in sources.rows]
        return [(made[a], references[b]) for a, b in zip(self.made, self.reference, strict=True)]


def reference_pairs(evidence: Evidence, of: str = "") -> ReferencePairs:
    """The pairs of a cell. of: an attribute whose value the references of a caption share; "": its one real image.

    Raises UserError if a caption has no real image, below two references, and for an attribute that is not there.
    """
    if of:
        return _of_attribute(evidence, of)
    if is_compose(evidence):
        return _of_compositions(evidence)
    if any(prompt.group == SOURCES for prompt in evidence.prompts):
        return _of_edits(evidence)
    return _of_captions(evidence)


def _of_edits(evidence: Evidence) -> ReferencePairs:
    pairs = edit_pairs(evidence)
    return ReferencePairs(
        groups=pairs.groups,
        made=pairs.edited,
        reference=pairs.source,
        real=False,
        clusters=pairs.k,
        labels=[literal(prompt) for prompt in pairs.prompts],
        what=pairs.what,
        counts=pairs.counts,
        protocol=pairs.protocol,
        spell=lambda values: per_source(values, pairs.k, pairs.asked),
    )


def _of_compositions(evidence: Evidence) -> ReferencePairs:
    composed = compositions(evidence)
    inputs = np.concatenate([one.a for one in composed.tasks])
    return ReferencePairs(
        groups=[one.group for one in composed.tasks if len(one.a)],
        made=np.arange(len(inputs)),
        reference=inputs,
        real=False,
        clusters=inputs,
        labels=[one.name for one in composed.tasks for _ in one.a],
        what="tasks",
        counts={"asked": len(composed.asked), "pairs": len(inputs), "failed": composed.failed},
        protocol=composed.protocol,
        spell=lambda values: per_source(values, inputs, composed.asked),
    )


def _of_attribute(evidence: Evidence, of: str) -> ReferencePairs:
    table = evidence.reference.attributes
    if table is None or of not in table:
        known = [] if table is None else list(map(str, table.columns))
        raise UserError(
            f"of: {evidence.reference.dataset} has no attribute {of!r}{did_you_mean(of, known)}: name one, or leave "
            f"it out"
        )
    whole, samples = _of_captions(evidence), evidence.samples(CAPTIONS)
    values, pixels = table[of].astype(str).to_numpy(), list(evidence.reference.images.digests())
    first: dict[tuple[str, str], int] = {}  # each picture of a value once
    for row, (value, digest_) in enumerate(zip(values, pixels, strict=True)):
        first.setdefault((value, digest_), row)
    members: dict[str, list[int]] = {}
    for (value, _), row in first.items():
        members.setdefault(value, []).append(row)
    made, reference, image = [], [], []
    for number, (row, own) in enumerate(zip(samples.rows, whole.reference, strict=True)):
        others = [other for other in members[values[own]] if pixels[other] != samples.hashes[row]]
        if not others:
            raise UserError(f"of: {of} {values[own]!r} has no real image but the one that was made: leave it out")
        made += [number] * len(others)
        image += [number] * len(others)
        reference += others
    _, clusters = np.unique(values[whole.reference], return_inverse=True)
    if len(set(clusters)) < 2:
        raise UserError(f"of: all captions have one {of}, at least 2 are needed for an interval: leave it out")
    return replace(
        whole,
        made=np.array(made),
        reference=np.array(reference),
        clusters=clusters,
        image=np.array(image),
        protocol={**whole.protocol, "of": of},
    )


def _of_captions(evidence: Evidence) -> ReferencePairs:
    samples = evidence.samples(CAPTIONS)
    row_of = {id: row for row, id in enumerate(evidence.reference.ids)}
    for prompt in samples.prompts:
        if prompt.reference not in row_of:
            raise UserError(
                f"the caption {prompt.text!r:.60} has no image among the {len(row_of):,} real ones: take the captions "
                f"from the split of the reference (prompts: {{split: …}}), without a smaller `limit`"
            )
    references = np.array([row_of[str(samples.prompts[row].reference)] for row in samples.rows], int)
    if len(np.unique(references)) < 2:
        raise UserError(f"{len(samples.rows)} made images of captions: at least 2 are needed for an interval")
    asked = [[prompt.text, k] for prompt, k in zip(samples.prompts, samples.k, strict=True)]
    return ReferencePairs(
        groups=[CAPTIONS],
        made=np.arange(len(samples.rows)),
        reference=references,
        real=True,
        clusters=references,
        labels=[],
        what="",
        counts={"asked": len(samples), "pairs": len(samples.rows)},
        protocol={
            "group": CAPTIONS,
            "prompts": digest(asked),
            "images": len(asked),
            "reference": evidence.reference.contents,
            "reference_images": len(evidence.reference),
        },
        spell=lambda values: _spelled(values, samples),
    )


def _spelled(values: np.ndarray, samples: Samples) -> str:
    """The value of each sample, and a dash for one without an image."""
    every = np.full(len(samples), np.nan)
    every[samples.rows] = values
    return spell(every, 6)


def similarity(evidence: Evidence, extractor: str, id: str, of: str = "") -> Estimate:
    """The mean cosine of the features of a made image and its reference, in [-1, 1]; `id` names the value.

    of: as of `reference_pairs`. Raises UserError as that does.
    """
    pairs = reference_pairs(evidence, of)
    made, reference, references = pairs.features(evidence, extractor)
    values = cosines(made, reference)
    return estimate(
        pairs,
        values,
        another=float(cosines(references, references.roll(1, 0)).mean()),
        protocol={**evidence.extractor_protocol(extractor), "estimator": "mean cosine"},
        better="higher",
        seed=derive_seed(evidence.seed, id),
    )


def estimate(
    pairs: ReferencePairs,
    values: np.ndarray,
    *,
    another: float,
    protocol: Mapping[str, Any],
    better: Literal["higher", "lower"],
    seed: int,
) -> Estimate:
    """The mean over images of the values [P] of pairs. another: the same value of two neighbouring references.

    protocol: what decides the values besides the pairs. seed: of the bootstrap.
    """
    values = pairs.means(values)
    return Estimate(
        value=float(values.mean()),
        ci=interval(values, pairs.clusters, seed),
        n=len(pairs),
        better=better,
        protocol={**protocol, **pairs.protocol},
        interval="BCa bootstrap over references",
        details={
            **pairs.counts,
            "another": another,
            **({pairs.what: means_by(pairs.labels, values)} if pairs.what else {}),
            "per_sample": pairs.spell(values),
        },
    )


def cosines(a: Tensor, b: Tensor) -> np.ndarray:
    """The cosine of each row of a with the same row of b, [N, D] each: float64 [N] in [-1, 1].

    Raises ValueError for features that are not finite, and for a row that is zero.
    """
    finite("the likeness of two images", made=a, reference=b)
    a, b = a.double(), b.double()
    if (zero := (a == 0).all(1) | (b == 0).all(1)).any():
        row = int(zero.nonzero()[0])
        raise ValueError(f"the likeness of two images needs features with a direction, those of pair {row} are zero")
    return F.cosine_similarity(a, b, eps=0).clamp(-1, 1).numpy()
