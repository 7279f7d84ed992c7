"""Condition fidelity: does a composed image keep the conditions that it was made from? Higher is better.

Each condition is extracted again from the image and compared with what was given:

    sketch      F1 of Canny's edges, matched within 2 pixels, in [0, 1]
    instances   intersection over union of the silhouettes, in [0, 1]
    depth       Spearman correlation of the proxy depth, where either image has something in front, in [-1, 1]
    palette     intersection of the smoothed Lab histograms, in [0, 1]
    intensity   PSNR of the grey images (Rec. 601), in dB
    embedding   cosine of the image embeddings in a CLIP that judges, never the one that guides, in [-1, 1]
    caption     cosine of image and text in that CLIP: the CLIP score, in [-1, 1]
    known       PSNR of the colours where the mask says that they are known, in dB

`fidelity_<condition>` is the mean over the tasks that take the condition from A. `transfer_<condition>` is the mean
over the tasks that take it from B, from the user's text, or from an edit of A. Neither counts a condition that lies
between A and B, nor known pixels that are put back (`kept`).

A condition that describes most of an image also fixes others: an intensity, for example, fixes the sketch. So the
details of each number have:

not_given: the tasks that were not given the condition, compared with A.
rise: what giving the condition adds, over the tasks that draw a new image from A alone.
nearer: of tasks with two givers, the share of images that are nearer to the giver of this condition.
another: the score of an unrelated image.

Silhouette and proxy depth are computed from pixels, so they are meaningful for one object before a plain ground.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.representations.depth import proxy
from t2ibench.data.representations.edits import edited
from t2ibench.data.representations.instances import silhouettes
from t2ibench.data.representations.intensity import REC601, WEIGHTS
from t2ibench.data.representations.palette import palettes
from t2ibench.data.representations.sketch import canny
from t2ibench.scoring.compositions import Compositions, TaskImages, compositions, detail, only_of_a
from t2ibench.scoring.edits import per_source
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.tracks.compose import said
from t2ibench.tracks.compose_tasks import NAMES
from t2ibench.tracks.contract import SOURCES

TRACKS = ("compose",)
TOLERANCE = 2  # pixels between two edges that match
ROUNDING = 1 / 12  # mean squared error of rounding to grey levels: no PSNR counts as larger than that of it, 58.9 dB
QUESTIONS = {
    "fidelity_caption": "does an image show what its text says?",
    "fidelity_embedding": "does an image look to a CLIP like the image that its embedding was taken from?",
    "fidelity_palette": "does an image have the colours of the image that its palette was taken from?",
    "fidelity_sketch": "does an image have the edges of the image that its sketch was taken from?",
    "fidelity_instances": "does an image have the silhouette of the image that its instances were taken from?",
    "fidelity_depth": "is in front what is in front in the image that the depth was taken from?",
    "fidelity_intensity": "is an image as light and dark as the image that its intensity was taken from?",
    "fidelity_known": "does an image keep the pixels that it was given?",
    "transfer_caption": "does an image show what its text says, where the rest comes from another image?",
    "transfer_embedding": "does an image look to a CLIP like a second image, whose embedding it was given?",
    "transfer_palette": "does an image have the colours of a second image, whose palette it was given?",
    "transfer_sketch": "does an image have the edges of a second image, whose sketch it was given?",
    "transfer_instances": "does an image have the silhouette of a second image, whose instances it was given?",
    "transfer_depth": "is in front what is in front in a second image, whose depth was given?",
    "transfer_intensity": "is an image as light and dark as a second image, whose intensity it was given?",
    "transfer_known": "does an image keep the pixels that it was given of a second image?",
}


@dataclass(frozen=True)
class Config:
    # the data set's CLIP, else ViT-L/14 of OpenAI; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    clip: str = AUTO


@dataclass(frozen=True, eq=False)
class Seen:
    """What was extracted from N images.

    of: for each letter of a condition an array with one row per image. M holds the colours themselves, uint8
        [N, 3, H, W].
    """

    of: Mapping[str, np.ndarray]

    def rows(self, places: Sequence[int] | np.ndarray) -> "Seen":
        return Seen({letter: values[places] for letter, values in self.of.items()})


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`fidelity_…` and `transfer_…` of every condition that a task gives.

    Raises UserError if there are too few images.
    """
    made = compositions(evidence)
    texts = None if made.captions is None else evidence.text_features(config.clip, made.captions).double().numpy()
    samples_of = {one.group: one.samples for one in made.tasks} | {SOURCES: made.sources}
    seen = extracted(
        samples_of, {group: evidence.fake_image_features(config.clip, group).double().numpy() for group in samples_of}
    )
    wanted = Seen({**seen[SOURCES].of, **({} if texts is None else {"T": texts})})
    comparisons = [row for one in made.tasks for row in compared(one, seen[one.group], wanted)]
    unrelated = wanted.rows((np.arange(len(made.sources)) + 1) % len(made.sources))
    another = {letter: float(fidelity(letter, seen[SOURCES], unrelated, None).mean()) for letter in wanted.of}
    protocol = {
        **evidence.extractor_protocol(config.clip),
        **made.protocol,
        "representations": "canny, silhouette, proxy depth, Lab palette, Rec. 601",
        "tolerance": TOLERANCE,
    }
    estimates = {}
    for letter, name in NAMES.items():
        for kind in ("fidelity", "transfer"):
            if rows := [row for row in comparisons if row.letter == letter and row.kind == kind]:
                others = [row for row in comparisons if row.letter == letter and row.kind in ("", "kept")]
                result = estimate(f"{kind}_{name}", rows, others, another[letter], made, protocol)
                words = (
                    evidence.words(config.clip, made.captions) if letter == "T" and made.captions is not None else {}
                )
                estimates[f"{kind}_{name}"] = replace(result, details={**result.details, **words})
    if not estimates:
        raise UserError(
            "none of the tasks takes a condition from A, B, a text or an edit: ask for others, such as SD or style"
        )
    return estimates


@dataclass(frozen=True, eq=False)
class Compared:
    """How well the N images of one task keep one condition.

    letter: the condition.
    kind: "fidelity", "transfer", "kept", or "" if the task was not given the condition.
    task: the task and its images.
    values: one score per image, [N].
    nearer: whether each image is nearer to the giver of this condition than to the other giver, bool [N]; None unless
        there are two givers.
    """

    letter: str
    kind: str
    task: TaskImages
    values: np.ndarray
    nearer: np.ndarray | None


def compared(one: TaskImages, made: Seen, sources: Seen) -> list[Compared]:
    """Compare every condition of the images of one task with its giver, or with A if the task was not given it.

    made: what was extracted from the task's images.
    sources: what was extracted from the sources; it has T only if all of them have captions.
    """
    comparisons = []
    ends = {"A": sources.rows(one.a), "B": sources.rows(one.b)}
    givers = {letter: said(one.task) if source == "text" else source for letter, source in one.task.given.items()}
    both = {"A", "B"} <= set(givers.values())
    for letter in sources.of if len(one.a) else ():
        giver = givers.get(letter, "")
        if giver == "between" or (letter == "M" and one.known is None):
            continue
        if giver == "edited":
            wanted = Seen({letter: edited(ends["A"].of[letter], ends["B"].of[letter], one.task.edit)})
        else:
            wanted = ends[giver or "A"]
        values, nearer = fidelity(letter, made, wanted, one.known), None
        if both and giver in ends:
            nearer = values > fidelity(letter, made, ends["B" if giver == "A" else "A"], one.known)
        kind = (
            ""
            if not giver
            else "kept"
            if letter == "M" and one.task.keep
            else "fidelity"
            if giver == "A"
            else "transfer"
        )
        comparisons.append(Compared(letter, kind, one, values, nearer))
    return comparisons


def estimate(
    name: str,
    rows: Sequence[Compared],
    others: Sequence[Compared],
    another: float,
    made: Compositions,
    protocol: Mapping[str, object],
) -> Estimate:
    """The mean over the tasks of `rows`; the other tasks stand in the details."""
    values, inputs = (np.concatenate(parts) for parts in ([row.values for row in rows], [row.task.a for row in rows]))
    if len(set(inputs.tolist())) < 2:
        raise UserError(f"{name}: images of {len(set(inputs.tolist()))} input, at least 2 are needed for an interval")
    given = {row.task.name: detail(row.values, row.task.a, name, row.task.name) for row in rows}
    absent, kept = (
        {row.task.name: detail(row.values, row.task.a, name, row.task.name) for row in others if row.kind == kind}
        for kind in ("", "kept")
    )
    nearer = {
        row.task.name: detail(row.nearer, row.task.a, name, row.task.name, "nearer")
        for row in rows
        if row.nearer is not None
    }
    details = {
        "tasks": given,
        **({"not_given": absent} if name.startswith("fidelity") and absent else {}),
        **({"nearer": nearer} if nearer else {}),
        **({"kept": kept} if kept else {}),
        **risen(name, rows, others),
        "another": another,
        "failed": made.failed,
        "per_sample": per_source(values, inputs, made.asked),
    }
    return Estimate(
        value=float(values.mean()),
        ci=cluster_mean_interval(values, inputs, derive_seed("condition_fidelity", name)),
        n=len(values),
        better="higher",
        protocol={**protocol, "of": sorted(given)},
        interval="BCa bootstrap over inputs",
        details=details,
    )


def risen(name: str, rows: Sequence[Compared], others: Sequence[Compared]) -> dict[str, object]:
    """What giving the condition adds: for each input, the mean of the tasks that give it minus the mean of the others.

    Only tasks that draw a new image from A alone count.
    """
    sides = [
        [row for row in side if only_of_a(row.task.task)] for side in (rows, [row for row in others if not row.kind])
    ]
    if not all(sides):
        return {}
    means = []
    for side in sides:
        values, inputs = (
            np.concatenate(parts) for parts in ([row.values for row in side], [row.task.a for row in side])
        )
        means.append({int(i): float(values[inputs == i].mean()) for i in np.unique(inputs)})
    both = sorted(set(means[0]) & set(means[1]))
    return (
        {"rise": {"by input": detail([means[0][i] - means[1][i] for i in both], np.array(both), name, "rise")}}
        if both
        else {}
    )


def extracted(groups: Mapping[str, Samples], features: Mapping[str, np.ndarray]) -> dict[str, Seen]:
    """The conditions of the images of every group. Each distinct image is analysed once.

    features: CLIP's image embeddings of each group, [N, D].
    Images are first resized to the size of the sources.
    """
    size = groups[SOURCES].images.shape[2:]
    places: dict[str, int] = {}
    distinct: list[torch.Tensor] = []
    for samples in groups.values():
        for row, image in zip(samples.rows, samples.images, strict=True):
            if samples.hashes[row] not in places:
                places[samples.hashes[row]] = len(distinct)
                distinct.append(resized(torch.from_numpy(image), size))
    whole = seen(torch.stack(distinct))
    return {
        group: Seen(
            {
                **whole.rows([places[samples.hashes[row]] for row in samples.rows]).of,
                "E": features[group],
                "T": features[group],
            }
        )
        for group, samples in groups.items()
    }


def resized(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """uint8 [3, H, W] at another size, antialiased."""
    if image.shape[1:] == size:
        return image
    return torch.nn.functional.interpolate(image[None], size, mode="bicubic", antialias=True)[0]


def seen(images: Tensor) -> Seen:
    """S, G, D, P, I and M of uint8 images [N, 3, H, W]. D is [N, 2, H, W]: the depth, and the silhouette."""
    shapes = silhouettes(images)
    grey = (images.double() * WEIGHTS[REC601].double()[:, None, None]).sum(1)
    return Seen(
        {
            "S": canny(images)[:, 0].numpy() > 0,
            "G": shapes.numpy() > 0,
            "D": torch.cat([proxy(shapes), shapes[:, None].float()], 1).numpy(),
            "P": palettes(images).double().numpy(),
            "I": grey.numpy(),
            "M": images.numpy(),
        }
    )


def fidelity(letter: str, made: Seen, wanted: Seen, known: np.ndarray | None) -> np.ndarray:
    """How well each image keeps one condition, float64 [N].

    known: the pixels that are compared for M, bool [H, W]; None compares all.
    """
    a, b = made.of[letter], wanted.of[letter]
    if letter in "ET":
        return cosines(a, b)
    if letter == "P":
        finite("condition_fidelity", palettes=a, wanted_palettes=b)
        return np.minimum(a, b).sum(1)
    if letter == "I":
        return psnr(a, b)
    if letter == "M":
        inside = np.ones(a.shape[2:], bool) if known is None else known
        return psnr(a[:, :, inside], b[:, :, inside])
    compare = {"S": edge_f1, "G": overlap, "D": rank_correlation}[letter]
    return np.array([compare(*pair) for pair in zip(a, b, strict=True)])


def edge_f1(made: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F1 of two edge maps, bool [H, W]; 1 if both are empty.

    An edge pixel is matched if the other map has an edge within `tolerance` pixels.
    """
    from scipy.ndimage import distance_transform_edt

    if not made.any() or not wanted.any():
        return float(made.any() == wanted.any())
    precision, recall = (
        (distance_transform_edt(~b)[a] <= tolerance).mean() for a, b in ((made, wanted), (wanted, made))
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def overlap(made: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union of two silhouettes, bool [H, W]; 1 if both are empty."""
    union = (made | wanted).sum()
    return float((made & wanted).sum() / union) if union else 1.0


def rank_correlation(made: np.ndarray, wanted: np.ndarray) -> float:
    """Spearman correlation of two depths over the pixels inside either silhouette; 0 if one of them is constant there.

    made, wanted: depth and silhouette, [2, H, W].
    """
    from scipy.stats import spearmanr

    finite("condition_fidelity", made=made, wanted=wanted)
    inside = (made[1] > 0) | (wanted[1] > 0)
    a, b = made[0][inside], wanted[0][inside]
    return 0.0 if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)


def psnr(made: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """PSNR of grey levels [N, ...] in 0 to 255, in dB: [N]. Equal images get the PSNR of the rounding error."""
    finite("condition_fidelity", made=made, wanted=wanted)
    error = ((made.astype(float) - wanted.astype(float)) ** 2).reshape(len(made), -1).mean(1)
    return 10 * np.log10(255**2 / np.maximum(error, ROUNDING))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of a with the same row of b, both [N, D] of any norm: [N].

    Raises ValueError for rows that are not finite, or are zero and so have no direction.
    """
    finite("condition_fidelity", a=a, b=b)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if (lengths == 0).any():
        row = int(np.argmin(lengths))
        raise ValueError(f"condition_fidelity needs embeddings with a direction, row {row} is zero")
    return (a * b).sum(1) / lengths
