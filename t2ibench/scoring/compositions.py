"""What a track of compositions made, task by task, beside the images it was made from; shared by the metrics that
compare them.

All tasks are asked of the same inputs, so what is drawn at random is an input, with its images in every task. The tasks
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
    """The images of one task. a, b: the input and its other image, as places among the sources, of each image that is
    there, [N].
    """

    name: str
    task: Task
    group: str
    known: np.ndarray | None  # bool [H, W]
    samples: Samples
    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True, eq=False)
class Compositions:
    """tasks: in the order asked for. captions: of the sources; None where one has none. asked: prompt and input of
    every sample.
    """

    tasks: Sequence[TaskImages]
    captions: Sequence[str] | None
    sources: Samples
    asked: Sequence[tuple[Prompt, int]]

    @property
    def protocol(self) -> dict[str, Any]:
        """What was asked for, which every metric's protocol names."""
        asked = [
            [prompt.id, digest(prompt.tags), prompt.images]
            for prompt in {prompt.id: prompt for prompt, _ in self.asked}.values()
        ]
        return {"tasks": digest(asked), "images": len(self.asked), "inputs": len(self.sources)}

    @property
    def failed(self) -> dict[str, int]:
        """How many images each task lacks; tasks that lack none are left out."""
        counts = {one.name: int((~one.samples.ok).sum()) for one in self.tasks}
        return {name: count for name, count in counts.items() if count}


def compositions(evidence: Evidence) -> Compositions:
    """The compositions of a cell.

    Raises UserError where a source is missing, and where no task has images of two inputs.
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
    """The images of all tasks beside the reference images, seen by one extractor; clusters are inputs.

    Raises UserError below `fewest`.
    """
    made, name = compositions(evidence), extractor_of(evidence, extractor)
    inputs = [str(i) for one in made.tasks for i in one.a]
    for side, count in (("made", len(inputs)), ("real", len(evidence.reference))):
        if count < fewest:
            raise UserError(
                f"{count:,} {side} images, at least {fewest:,} are needed: ask for more inputs, tasks and reference "
                f"images"
            )
    fake, real = (
        torch.cat([evidence.fake_features(name, one.group) for one in made.tasks]),
        evidence.real_features(name),
    )
    reference = {"reference": evidence.reference.digest, "reference_images": len(evidence.reference)}
    return FeatureSets(name, fake, real, inputs, {**evidence.extractor_protocol(name), **made.protocol, **reference})


def part(values: ArrayLike, inputs: np.ndarray, *seed: str) -> dict[str, Any]:
    """Count, mean and interval of values [N] of images, whose inputs [N] are drawn anew, as they stand in details; NaN
    is left out.
    """
    values = np.asarray(values, float)
    there = ~np.isnan(values)
    found: dict[str, Any] = {"n": int(there.sum()), "mean": float(values[there].mean())}
    if len(set(inputs[there].tolist())) > 1:
        found["ci"] = list(
            cluster_mean_interval(values[there], inputs[there], derive_seed("composed", *seed), draws=2000)
        )
    return found


def only_of_a(task: Task) -> bool:
    """Whether a task draws anew, and of A alone: what is missing between two of them is a condition and nothing
    else.
    """
    return task.mode == "sample" and set(task.c2) == {"A"} and not task.keep
