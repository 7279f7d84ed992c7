"""Composition: an image is put together from conditions that a task takes from images A and B and from texts.

All tasks use the same inputs.

- Image A of input i is the i-th real image of the group "sources". Image B is the next one; after the last comes the
  first.
- Sample k of the group "composed/<task>" uses input k modulo the number of inputs. Its noise is the same for all tasks.
- The text is the caption of B if the task takes other conditions from A, and the caption of A otherwise.
- The baselines mark the ends of a metric's scale: `source` answers with A, `other` with B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.cache import cached
from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count, Several
from t2ibench.core.records import digest
from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.data.dataset import Dataset
from t2ibench.data.representations.edits import edited
from t2ibench.data.representations.instances import silhouettes
from t2ibench.data.representations.masks import middle, packed, unpacked
from t2ibench.data.representations.sketch import canny
from t2ibench.data.split import Split
from t2ibench.tracks import compose_tasks
from t2ibench.tracks.compose_tasks import Task
from t2ibench.tracks.contract import COMPOSED, SOURCES, Asked, Compose, Group, Maker, Prompt, Sample, Source, Track
from t2ibench.tracks.from_sources import samples


def prompts(asked: Asked) -> list[Prompt]:
    """One prompt for the sources and one for each task.

    Raises UserError for a prompt of a metric, an unknown task, and a number of inputs below 2 or above the number of
    images of the split.
    """
    plan: ComposePlan = asked.settings
    data, where = asked.data, f"{asked.where}: compose"
    if asked.prompts:
        id = asked.prompts[0].id
        raise UserError(
            f"{asked.where}: a metric asks for the prompt {id!r}, but the track compose has those of `compose:` alone"
        )
    split = data.split(plan.split)
    if not 2 <= plan.inputs <= len(split):
        raise UserError(
            f"{where}: inputs is {plan.inputs:,}, expected 2 to the {len(split):,} images of {split.dataset} "
            f"{split.name}"
        )
    rows = [
        int(row)
        for row in permutation(derive_seed("inputs", data.facts["name"], split.name), len(split))[: plan.inputs]
    ]
    inputs = {
        "split": plan.split,
        "rows": rows,
        "digest": split.take(rows).contents,
        "captions": [caption(split, row) for row in rows],
    }
    side = split.images.read(rows[:1]).shape[-1]
    prompts = [Prompt("source", "the source", SOURCES, plan.inputs, None, {"inputs": inputs})]
    for name in plan.tasks:
        task = compose_tasks.find(name, f"{where}: tasks")
        hole = packed(known(task.hole, data, side)) if task.has_hole else None
        tags = {"inputs": inputs, "name": name, "task": asdict(task), "known": hole}
        prompts.append(
            Prompt(
                f"{COMPOSED}/{name}",
                f"{name}: {task.about}",
                f"{COMPOSED}/{name}",
                plan.inputs * plan.images,
                None,
                tags,
            )
        )
    return prompts


def caption(split: Split, row: int) -> str | None:
    """One of an image's captions, the same one in every run; None for an image without captions."""
    texts = split.captions[row]
    return texts[derive_seed("caption", split.ids[row]) % len(texts)] if texts else None


def known(hole: str, data: Dataset, side: int) -> np.ndarray:
    """Where an image is known, bool [side, side]: everywhere outside of the hole.

    hole: name of an attribute, for the region of its part; any other name, or a data set without regions, gives the
        middle of the image.
    """
    table = data.train.attributes
    if data.regions is not None and table is not None and hole in table:
        region = data.regions(hole, tuple(sorted(table[hole].dropna().astype(str).unique())))
        if region.shape == (side, side) and 0 < region.mean() < 1:
            return ~region
    return middle(1, side)[0, 0].numpy() > 0


def said(task: Task) -> str:
    """Which image's caption is the text of a task: B's if the task takes conditions from A, A's otherwise."""
    return "B" if any("A" in sets for sets in (task.c1, task.c2)) else "A"


def facts(asked: Asked) -> dict[str, Any]:
    """The split and the number of the inputs, and which conditions each task takes."""
    tasks = {prompt.tags["name"]: prompt.text.partition(": ")[2] for prompt in asked.prompts if prompt.group != SOURCES}
    plan: ComposePlan = asked.settings
    return {"sources": asked.data.split(plan.split).name, "inputs": plan.inputs, "tasks": tasks}


def source(prompt: Prompt) -> str:
    """The task, and a digest of everything that decides what is asked for."""
    return f"{prompt.text} ({digest(prompt.tags)[:16]})"


def make(method: Any, samples: Sequence[Sample], data: Dataset | None = None) -> Tensor:
    """The sources, which are real images, or the images that a method puts together from them."""
    assert data is not None
    inputs = Inputs(data, samples[0].prompt)
    if samples[0].prompt.group == SOURCES:
        return torch.from_numpy(inputs.images([sample.k for sample in samples]))
    return method.compose(inputs.requests(samples))


class Inputs:
    """The images that a prompt of this track names in its tag `inputs`."""

    def __init__(self, data: Dataset, prompt: Prompt) -> None:
        self.cache, self.named = data.cache, prompt.tags["inputs"]
        self.rows: list[int] = self.named["rows"]
        self.split = data.split(self.named["split"]).take(self.rows)

    def images(self, k: Sequence[int]) -> np.ndarray:
        """Image A of each input k, uint8 [N, 3, H, W]. Image B of input k is image A of input k + 1."""
        return self.split.images.read([i % len(self.rows) for i in k])

    @cached_property
    def parts(self) -> np.ndarray | None:
        """The exact parts of every input, uint8 [N, H, W]; None if the data set has none.

        They are cached, because a data set may have to draw them.
        """
        masks = self.split.masks
        if masks is None:
            return None
        key = ["parts", self.named["digest"], self.rows]
        return cached(self.cache, key, lambda: masks.read(range(len(self.rows)))).astype(np.uint8)

    def requests(self, samples: Sequence[Sample]) -> list[Compose]:
        """The requests that a method gets for samples of one task."""
        tags = samples[0].prompt.tags
        task, hole = Task(**tags["task"]), None if tags["known"] is None else unpacked(tags["known"])
        exact = bool({"G", "D"} & set("".join([*task.c1.values(), *task.c2.values()])))
        ends = {
            i: self._source(i, exact)
            for k in (sample.k for sample in samples)
            for i in (k % len(self.rows), (k + 1) % len(self.rows))
        }
        return [
            request(task, ends[s.k % len(self.rows)], ends[(s.k + 1) % len(self.rows)], s.seed, hole) for s in samples
        ]

    def _source(self, i: int, exact: bool) -> Source:
        parts = self.parts[i] if exact and self.parts is not None else None
        return Source(self.images([i])[0], parts, caption=self.named["captions"][i])


def request(
    task: Task,
    a: Source,
    b: Source | None,
    seed: int,
    hole: np.ndarray | None,
    position: float = 0.5,
    drawn: Source | None = None,
) -> Compose:
    """The request for one image of a task. If the task reads a text, it is the caption of A or B (see `said`).

    hole: true where A is known, bool [H, W]; None for a task without a hole.
    drawn: a sketch or a silhouette that replaces the task's own edit of A.
    """
    sources: dict[str, Source] = {"A": a} | ({} if b is None else {"B": b})
    if "edited" in task.c2:
        sources["edited"] = changed(a, b, task.edit, task.c2["edited"]) if drawn is None else drawn
    if "text" in task.c2:
        sources["text"] = Source(caption=(b if said(task) == "B" and b is not None else a).caption)
    return Compose(task, {name: source for name, source in sources.items() if name in task.needs}, seed, hole, position)


def changed(a: Source, b: Source | None, edit: str, letters: str) -> Source:
    """The sketch (letter S) and the instances (letter G) of A after an edit.

    The edit "other" takes those of B.
    """
    parts = silhouette = strokes = None
    if "S" in letters:
        strokes = edited(sketch_of(a), None if b is None else sketch_of(b), edit)
    if "G" in letters:
        silhouette = edited(silhouette_of(a), None if b is None else silhouette_of(b), edit)
        if a.parts is not None and (b is None or b.parts is not None):
            parts = edited(a.parts, None if b is None else b.parts, edit)
    return Source(parts=parts, silhouette=silhouette, strokes=strokes)


def sketch_of(source: Source) -> np.ndarray:
    """The strokes of a source, or else those of its image: float32 [H, W] in [0, 1]."""
    assert source.image is not None
    return canny(torch.from_numpy(source.image)[None])[0, 0].numpy() if source.strokes is None else source.strokes


def silhouette_of(source: Source) -> np.ndarray:
    """The silhouette of a source, or else that of its image: uint8 [H, W] in {0, 1}."""
    assert source.image is not None
    return (
        silhouettes(torch.from_numpy(source.image)[None])[0].numpy() if source.silhouette is None else source.silhouette
    )


class Ends:
    """A baseline that answers every sample with image A ("source") or image B ("other") of its input."""

    weights: Mapping[str, Mapping[str, Any]] = {}
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = {}

    def __init__(self, name: str, data: Dataset) -> None:
        self.name, self.data, self.identity = name, data, {"name": name, "dataset": data.facts}

    def _end(self, sample: Sample) -> int:
        return sample.k + (self.name == "other" and sample.prompt.group != SOURCES)

    def source(self, sample: Sample) -> str:
        inputs = sample.prompt.tags["inputs"]
        return f"input {inputs['rows'][self._end(sample) % len(inputs['rows'])]} of {inputs['digest'][:16]}"

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return torch.from_numpy(Inputs(self.data, samples[0].prompt).images([self._end(sample) for sample in samples]))


def baseline(name: str, maker: Maker | None, asked: Asked, seed: int) -> Maker:
    """The baseline `source` or `other`. They take no images of a method."""
    return Ends(name, asked.data)


@dataclass(frozen=True)
class ComposePlan:
    """Settings of the track `compose`: which tasks are asked for.

    inputs: number of inputs, the same ones for every task.
    images: images of each input for each task.
    tasks: names of tasks, or letters of conditions.
    split: the split that the inputs are taken from; None: the split of the reference.
    """

    inputs: Several = 64
    images: Count = 1
    tasks: tuple[str, ...] = (
        "T",
        "E",
        "P",
        "S",
        "G",
        "D",
        "I",
        "M",
        "SD",
        "PSD",
        "EPSD",
        "TEPSGDI",
        "style",
        "colorize_direct",
        "tryon",
    )
    split: str | None = None


TRACK = Track(
    key="compose",
    settings=ComposePlan,
    functions=("compose",),
    prompts=prompts,
    samples=samples,
    make=make,
    facts=facts,
    source=source,
    baselines={"source": "nothing", "other": "nothing"},
    default_baselines=("source", "other"),
    baseline=baseline,
    groups={COMPOSED: Group(above=SOURCES, shown=12)},
)
