"""Editing: a text asks for one change of an existing image. The change should be made, and everything else should stay.

All edits start from the same sources: the seed of sample k is H(run seed, "source", k) for every prompt. So each edited
image can be compared with the image before the edit, and with every other edit of it.

A suite can number the sources instead.

- The group "sources" holds the images before the edit.
- The group "edits" holds one prompt for each edit. Its samples are joined with the sources by k.
- The baselines mark the ends of a metric's scale: `unedited` changes nothing, `resampled` changes everything, and
  `exact` changes only what was asked for, if the data set can draw it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count
from t2ibench.data.dataset import Dataset
from t2ibench.tracks import edit_texts
from t2ibench.tracks.contract import EDITS, SOURCES, Asked, Edit, Group, Maker, Prompt, Sample, Track
from t2ibench.tracks.from_sources import Sources, samples


def prompts(asked: Asked) -> list[Prompt]:
    """One prompt for the sources and one for each edit.

    Raises UserError for a prompt of a metric: the metrics of this track use only these prompts.
    """
    if asked.prompts:
        id = asked.prompts[0].id
        raise UserError(
            f"{asked.where}: a metric asks for the prompt {id!r}, but the track edit takes its prompts from `edits:`"
        )
    plan: EditPlan = asked.settings
    where = f"{asked.where}: edits"
    if plan.texts and plan.literals:
        raise UserError(f"{where}: found literals and texts, expected one of them: name each edit once")
    if plan.texts:
        texts = edit_texts.given(plan.texts, plan.neutral, plan.images, where)
    else:
        texts = edit_texts.build(asked.data.train, plan.literals, plan.neutral, plan.images, where)
    if plan.seeds == "numbered":
        return [replace(prompt, tags={**prompt.tags, "numbered": True}) for prompt in texts]
    return texts


def facts(asked: Asked) -> dict[str, Any]:
    """The neutral text, and the text of each edit, by its literal or by its words."""
    edits = {p.id.removeprefix("edits/"): p.text for p in asked.prompts if p.group != SOURCES}
    return {"neutral": next(prompt.text for prompt in asked.prompts if prompt.group == SOURCES), "edits": edits}


def source(prompt: Prompt) -> str:
    """The two texts of an edit. An image before the edit depends on no text."""
    return "unedited" if prompt.group == SOURCES else f"{prompt.tags['neutral']} -> {prompt.text}"


def make(method: Any, samples: Sequence[Sample], data: Dataset | None = None) -> Tensor:
    """Ask a method for images before the edit, or for edited images."""
    function = method.unedited if samples[0].prompt.group == SOURCES else method.edit
    return function([Edit(sample.prompt.tags["neutral"], sample.prompt.text, sample.seed) for sample in samples])


class Exact:
    """Images that the data set draws with exactly one attribute changed: the best that an edit can reach."""

    weights: Mapping[str, Mapping[str, Any]] = {}
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = {}

    def __init__(self, data: Dataset) -> None:
        """Raises UserError for a data set that cannot change one attribute alone."""
        if data.edited is None:
            raise UserError(
                f"baselines: exact: {data.facts['name']} cannot change one attribute of an image: take it out"
            )
        self.edited, self.identity = data.edited, {"name": "exact", "dataset": data.facts}

    def source(self, sample: Sample) -> str:
        return source(sample.prompt)

    def make(self, samples: Sequence[Sample]) -> Tensor:
        tags = [sample.prompt.tags for sample in samples]
        changes = [{tag["attribute"]: tag["value"]} if "attribute" in tag else {} for tag in tags]
        return torch.from_numpy(self.edited([sample.seed for sample in samples], changes))


def baseline(name: str, maker: Maker | None, asked: Asked, seed: int) -> Maker:
    """A baseline by its name. `exact` takes no images of a method."""
    if maker is None:
        return Exact(asked.data)
    return Sources("resampled" if name == "resampled" else "unedited", maker, asked.prompts)


@dataclass(frozen=True)
class EditPlan:
    """Settings of the track `edit`. The target text of an edit is the neutral text with one literal added.

    images: number of sources, the same ones for every edit.
    literals: the edits, "attribute=value" each; empty: every literal that the vocabulary can name and that is neither
        rare in the training images nor shown by most of them.
    texts: in place of literals, the texts of the edited images, for data whose attributes nobody knows; with neutral.
    neutral: text of the images before the edit, which ends with its noun; None: from the vocabulary, "a person".
    seeds: "numbered" gives the sources the seeds 0, 1, 2 …, and the next run seed those that follow. A method whose
        seeds are rows of a file then edits each row once.
    """

    images: Count = 50
    literals: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    neutral: str | None = None
    seeds: Literal["drawn", "numbered"] = "drawn"


TRACK = Track(
    key="edits",
    settings=EditPlan,
    functions=("edit", "unedited"),
    prompts=prompts,
    samples=samples,
    make=make,
    facts=facts,
    source=source,
    baselines={"exact": "nothing", "unedited": "method", "resampled": "method"},
    baseline=baseline,
    groups={EDITS: Group(above=SOURCES)},
)
