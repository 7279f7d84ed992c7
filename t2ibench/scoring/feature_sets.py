"""Two sets of features that a metric compares, and the protocol of such a comparison."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.records import digest
from t2ibench.data.split import AUTO, Split
from t2ibench.networks import inception
from t2ibench.scoring.evidence import NO_REAL_IMAGES, Evidence
from t2ibench.scoring.reference_files import ReferenceFile
from t2ibench.stats.paired import by_prompt, spell


@dataclass(frozen=True, eq=False)
class FeatureSets:
    """Features of made and of real images.

    extractor: name of the network that gives the features.
    fake: features of the made images, float32 [M, D].
    real: features of the real images, float32 [N, D].
    clusters: a label for each made image. Images of one label are not independent of one another.
    protocol: what decides a number that compares the two.
    short: how the id of a metric names the extractor.
    """

    extractor: str
    fake: Tensor
    real: Tensor
    clusters: list[str]
    protocol: dict[str, Any]
    short: str


def feature_sets(evidence: Evidence, extractor: str, group: str, fewest: int) -> FeatureSets:
    """Features of the made images of a group and of the reference.

    Raises UserError for a side with fewer than `fewest` images, and for a reference without images.
    """
    if not len(evidence.reference) and reference_file(evidence.reference) is None:
        raise UserError(NO_REAL_IMAGES)
    ids = made_for(evidence, group)
    name = extractor_of(evidence, extractor)
    return sets_of(evidence, name, group, evidence.reference_for(name), clusters(ids), fewest)


def extractor_of(evidence: Evidence, extractor: str) -> str:
    """The extractor that `AUTO` stands for; any other name is returned as it is.

    It is the first that exists: the extractor of a file of reference statistics, Inception if its weights are on this
    disk, or the data set's judge. Raises UserError if there is none.
    """
    if extractor != AUTO:
        return extractor
    if (file := reference_file(evidence.reference)) is not None and file.extractor is not None:
        return file.extractor
    if inception.weights() is not None:
        return "inception"
    if not evidence.has_judge:
        raise UserError(no_extractor(evidence.train.dataset))
    return evidence.judge


def no_extractor(dataset: str) -> str:
    """What to say if Inception is not on this disk and the data set brings no extractor of its own."""
    return (
        f"{inception.missing()}; or name another extractor (`extractor`, --extractor): dinov2:FILE, a CLIP as "
        f"model:FILE, or weights of the zoo; {dataset} brings none of its own"
    )


def reference_file(reference: Split) -> ReferenceFile | None:
    """The file of statistics that stands for a reference; None for a reference of images."""
    return reference.images if isinstance(reference.images, ReferenceFile) else None


def sets_of(
    evidence: Evidence, extractor: str, group: str, reference: Split, clusters: list[str], fewest: int
) -> FeatureSets:
    """Features of the made images of a group and of any real images.

    clusters: a label for each made image, as in FeatureSets.

    Raises UserError for a side with fewer than `fewest` images, and for statistics of another extractor.
    """
    if (file := reference_file(reference)) is not None:
        if file.features is None:
            raise UserError(
                f"{file.path} has no features, only their mean and covariance, to which a Fréchet distance alone "
                f"compares"
            )
        file.check(extractor, evidence.dimension(extractor, group))
    for side, count in (("made", len(clusters)), ("real", len(reference))):
        if count < fewest:
            raise UserError(
                f"{count:,} {side} images of {group!r}, at least {fewest:,} are needed: ask for more captions and "
                f"reference images"
            )
    fake, real = evidence.fake_features(extractor, group), evidence.real_features(extractor, reference)
    known, short = protocol(evidence, extractor, group, reference), evidence.short(extractor)
    return FeatureSets(extractor, fake, real, clusters, known, short)


def made_for(evidence: Evidence, group: str) -> list[str]:
    """The prompt id of every sample of a group that has an image, in the order of its features."""
    samples = evidence.samples(group)
    return [prompt.id for prompt, ok in zip(samples.prompts, samples.ok, strict=True) if ok]


def clusters(ids: list[str]) -> list[str]:
    """A label for each image of what was drawn independently: its prompt, or the image itself if there is one prompt.

    ids: the prompt id of each image.
    """
    return ids if len(set(ids)) > 1 else [f"{id} {row}" for row, id in enumerate(ids)]


def effects(evidence: Evidence, group: str, of_fake: ArrayLike, of_real: ArrayLike) -> dict[str, str]:
    """First-order effects of single images on a distance, as a record keeps them for tests that compare methods.

    of_fake: effects of the made images of a group, [M].
    of_real: effects of the reference images, [N].
    """
    samples = evidence.samples(group)
    return {
        "made": by_prompt(of_fake, clusters([prompt.id for prompt in samples.prompts]), samples.ok),
        "real": spell(of_real),
    }


def protocol(evidence: Evidence, extractor: str, group: str, reference: Split | None = None) -> dict[str, Any]:
    """What decides a number that compares the images of a group with a reference (None: that of the evidence).

    It names the extractor (name, hash, resize), the reference (digest of its contents, count) and the prompts (digest
    of their texts, images asked for). Names of images do not enter it.
    """
    samples, reference = evidence.samples(group), reference or evidence.reference
    asked = [[prompt.text, k] for prompt, k in zip(samples.prompts, samples.k, strict=True)]
    file = reference_file(reference)
    return {
        **evidence.extractor_protocol(extractor),
        "group": group,
        "prompts": digest(asked),
        "images": len(asked),
        "reference": reference.contents,
        "reference_images": "unknown" if file is not None and file.features is None else len(reference),
    }
