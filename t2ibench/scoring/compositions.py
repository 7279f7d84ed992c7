"""The images of the track `compose`, task by task, and the images they were made from.

All tasks use the same inputs. So the independent draws are the inputs, each with its images in every task. The tasks
are a fixed set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from t2ibench.core.errors import UserError
from t2ibench.core.records import digest
from t2ibench.core.seeds import derive_seed
from t2ibench.data.representations.masks import unpacked
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import FeatureSets, extractor_of
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.tracks.compose_tasks import Task
from t2ibench.tracks.contract import COMPOSED, SOURCES, Prompt


@dataclass(frozen=True, eq=False)
class TaskImages:
    """The N images that exist of one task.

    name, task: the task.
    group: the group of its samples.
    known: true where image A is known, bool [H, W]; None for a task without a hole.
    samples: its samples.
    a: row of image A among the sources, for each image, int [N]. This is also the number of its input.
    b: row of image B among the sources, for each image, int [N].
    """

    name: str
    task: Task
    group: str
    known: np.ndarray | None
    samples: Samples
    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True, eq=False)
class Compositions:
    """The images of a cell of the track `compose`.

    tasks: the tasks, in the order in which the suite asks for them.
    captions: the caption of each source; None if a source has none.
    sources: the samples of the sources.
    asked: prompt and number of the input of every sample.
    """

    tasks: Sequence[TaskImages]
    captions: Sequence[str] | None
    sources: Samples
    asked: Sequence[tuple[Prompt, int]]

    @property
    def protocol(self) -> dict[str, Any]:
        """What was asked for, as the protocol of every metric of compositions names it."""
        asked = [
            [prompt.id, digest(prompt.tags), prompt.images]
            for prompt in {prompt.id: prompt for prompt, _ in self.asked}.values()
        ]
        return {"tasks": digest(asked), "images": len(self.asked), "inputs": len(self.sources)}

    @property
    def failed(self) -> dict[str, int]:
        """How many images of each task are missing. Tasks without a missing image are left out."""
        counts = {one.name: int((~one.samples.ok).sum()) for one in self.tasks}
        return {name: count for name, count in counts.items() if count}


def compositions(evidence: Evidence) -> Compositions:
    """The compositions of a cell.

    Raises UserError if a source has no image, or no task has images of two inputs.
    """
    sources = evidence.samples(SOURCES)
    if not sources.ok.all():
        raise UserError(
            f"source {sources.k[int(np.flatnonzero(~sources.ok)[0])]} has no image (a black one is none): use another "
            f"split"
        )
    tasks, asked, count = [], [], len(sources)
    for prompt in evidence.prompts:
        if prompt.group.partition("/")[0] == COMPOSED:
            samples = evidence.samples(prompt.group)
            a = np.array([samples.k[row] % count for row in samples.rows], int)
            hole = prompt.tags["known"]
            known = None if hole is None else unpacked(hole)
            tasks.append(
                TaskImages(
                    prompt.tags["name"], Task(**prompt.tags["task"]), prompt.group, known, samples, a, (a + 1) % count
                )
            )
            asked += [(prompt, k % count) for k in samples.k]
    if not any(len(set(one.a.tolist())) > 1 for one in tasks):
        raise UserError(
            f"no task has images of two inputs, of {len(asked)} asked for: at least 2 are needed for an interval"
        )
    captions = next(prompt.tags["inputs"]["captions"] for prompt in evidence.prompts)
    return Compositions(tasks, None if None in captions else captions, sources, asked)


def is_compose(evidence: Evidence) -> bool:
    """Whether a cell is of the track `compose`."""
    return any(prompt.group.partition("/")[0] == COMPOSED for prompt in evidence.prompts)


def pooled(evidence: Evidence, extractor: str, fewest: int) -> FeatureSets:
    """Features of the images of all tasks together and of the reference. Clusters are inputs.

    Raises UserError for a side with fewer than `fewest` images.
    """
    composed, name = compositions(evidence), extractor_of(evidence, extractor)
    real_images = evidence.reference_for(name)
    inputs = [str(i) for one in composed.tasks for i in one.a]
    for side, count in (("made", len(inputs)), ("real", len(evidence.reference))):
        if count < fewest:
            raise UserError(
                f"{count:,} {side} images, at least {fewest:,} are needed: ask for more inputs, tasks and reference "
                f"images"
            )
    fake, real = (
        torch.cat([evidence.fake_features(name, one.group) for one in composed.tasks]),
        evidence.real_features(name, real_images),
    )
    reference = {"reference": real_images.contents, "reference_images": len(real_images)}
    return FeatureSets(
        name,
        fake,
        real,
        inputs,
        {**evidence.extractor_protocol(name), **composed.protocol, **reference},
        evidence.short(name),
    )


def detail(values: ArrayLike, inputs: np.ndarray, *seed: str) -> dict[str, Any]:
    """Count, mean and interval of the values of images, as they stand in the details of a metric.

    values: one for each image, [N]; NaN is left out.
    inputs: number of the input of each image, int [N]. The bootstrap resamples inputs; there is no interval for one.
    seed: names the seed of the bootstrap.
    """
    values = np.asarray(values, float)
    kept = ~np.isnan(values)
    summary: dict[str, Any] = {"n": int(kept.sum()), "mean": float(values[kept].mean())}
    if len(set(inputs[kept].tolist())) > 1:
        summary["ci"] = list(
            cluster_mean_interval(values[kept], inputs[kept], derive_seed("composed", *seed), draws=2000)
        )
    return summary


def only_of_a(task: Task) -> bool:
    """Whether a task draws from noise under conditions of A alone, without putting pixels back.

    Two such tasks differ only in their conditions.
    """
    return task.mode == "sample" and set(task.c2) == {"A"} and not task.keep
