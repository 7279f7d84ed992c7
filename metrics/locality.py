"""Change outside the edited part: mean absolute difference in grey levels, 0 to 255. Lower is better.

The region of an attribute holds every pixel that the attribute can cover in some real image, whatever its value. So a
perfect edit changes pixels inside the region only. Edits of an attribute without a known region, or whose region is the
whole image (a background), are left out and counted. Doing nothing scores 0, so read this beside `edit_success`.
`another_source` in the details is the difference of two neighbouring sources outside the same regions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate, digest
from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.edits import EditPairs, check_literals, edit_pairs, interval, literal, means_by, per_source
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import EDITS, SOURCES

TRACKS = ("edit",)
BATCH = 64  # pairs in memory at once
QUESTIONS = {"change_outside": "how much changes outside the part that was to be edited?"}


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`change_outside`.

    Raises UserError if no edit has a region with an outside, and if images and regions differ in size.
    """
    pairs = edit_pairs(evidence)
    check_literals(pairs, "locality")
    regions = regions_of(evidence, pairs)
    names = np.array([literal(prompt) for prompt in pairs.prompts], dtype=object)
    attributes = np.array([prompt.tags["attribute"] for prompt in pairs.prompts], dtype=object)
    rows = np.flatnonzero([attribute in regions for attribute in attributes])
    if not len(rows):
        raise UserError(
            f"{evidence.train.dataset} knows no region that is not the whole image for any of the edits: leave "
            f"locality out"
        )
    masks, which = (
        np.stack(list(regions.values())),
        np.array([list(regions).index(attribute) for attribute in attributes[rows]]),
    )
    edits, sources, before = evidence.samples(EDITS), evidence.samples(SOURCES), pairs.source[rows]
    changed, inside = changes(sources, before, edits, pairs.edited[rows], masks, which)
    other, _ = changes(sources, before, sources, (before + 1) % len(sources.rows), masks, which)
    estimate = Estimate(
        value=float(changed.mean()),
        ci=interval(changed, pairs.k[rows], derive_seed(evidence.seed, "change_outside")),
        n=len(rows),
        better="lower",
        protocol={
            **pairs.protocol,
            "estimator": "mean absolute grey-level difference outside the region of the edited attribute",
            "regions": {name: digest(np.packbits(region).tolist())[:16] for name, region in regions.items()},
            "train": evidence.train.described,
        },
        interval="BCa bootstrap over sources",
        details={
            **pairs.counts,
            "without_region": sorted(
                {literal(prompt) for prompt in pairs.prompts if prompt.tags["attribute"] not in regions}
            ),
            "change_inside": float(inside.mean()),
            "another_source": float(other.mean()),
            "region_share": {name: float(region.mean()) for name, region in regions.items()},
            "edits": {
                name: {
                    **row,
                    "inside": means_by(names[rows], inside)[name]["mean"],
                    "another_source": means_by(names[rows], other)[name]["mean"],
                }
                for name, row in means_by(names[rows], changed).items()
            },
            "per_sample": per_source(changed, pairs.k[rows], pairs.asked),
        },
    )
    return {"change_outside": estimate}


def regions_of(evidence: Evidence, pairs: EditPairs) -> Mapping[str, np.ndarray]:
    """The region of each edited attribute, bool [H, W]; only regions that have an inside and an outside."""
    regions = {
        name: evidence.region(name) for name in dict.fromkeys(prompt.tags["attribute"] for prompt in pairs.prompts)
    }
    return {
        name: region for name, region in regions.items() if region is not None and region.any() and not region.all()
    }


def changes(
    a: Samples, a_places: np.ndarray, b: Samples, b_places: np.ndarray, regions: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute difference of N pairs of images of the groups a and b, outside and inside of a region: [N] each.

    a_places, b_places: the images of each pair, counted among the images that exist in their group, [N].
    regions: bool [R, H, W].
    which: the region of each pair, an index into `regions`, [N].
    Raises UserError if images and regions differ in size.
    """
    batches = []
    for start in range(0, len(which), BATCH):
        rows = slice(start, start + BATCH)
        images = a.store.read(a.rows[a_places[rows]]), b.store.read(b.rows[b_places[rows]])
        for image in images:
            if image.shape[2:] != regions.shape[1:]:
                sizes = ["x".join(map(str, shape)) for shape in (image.shape[2:], regions.shape[1:])]
                raise UserError(
                    f"locality: images of {sizes[0]} pixels, regions of {sizes[1]}: give the data set the size of the "
                    f"images"
                )
        batches.append(difference(*images, regions[which[rows]]))
    outside, inside = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return outside, inside


def difference(a: np.ndarray, b: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean |a - b| over the pixels outside of each region, and over those inside: [N] each, in 0 to 255.

    a, b: uint8 [N, 3, H, W]. region: bool [N, H, W].
    """
    gap = np.abs(a.astype(np.int16) - b).mean(axis=1)  # over the channels: [N, H, W]
    return (gap * ~region).sum((1, 2)) / (~region).sum((1, 2)), (gap * region).sum((1, 2)) / region.sum((1, 2))
