"""Editing: one change, asked for by a text, of an image that is there. The change should be made, and everything else
should stay.

Every edit is asked of the same sources: the seed of sample k is H(run seed, "source", k) whatever the prompt, so that
sources pair the edits with each other and with the images before them. The group "sources" holds those, the group
"edits" one prompt an edit, and the two are joined by k. The baselines bracket the metrics: `unedited` changes nothing,
`resampled` everything, and `exact`, where the data set can draw it, just what was asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.data.dataset import Dataset
from t2ibench.tracks import edit_texts
from t2ibench.tracks.contract import SOURCES, Asked, Edit, Maker, Prompt, Sample, Track
from t2ibench.tracks.from_sources import Sources, samples


def prompts(asked: Asked) -> list[Prompt]:
    """The sources and the suite's edits. Metrics of this track judge what is there, and ask for nothing more."""
    if asked.prompts:
        id = asked.prompts[0].id
        raise UserError(
            f"{asked.where}: a metric asks for the prompt {id!r}, but the track edit takes its prompts from `edits:`"
        )
    plan: EditPlan = asked.settings
    return edit_texts.build(asked.data.train, plan.literals, plan.neutral, plan.images, f"{asked.where}: edits")


def facts(asked: Asked) -> dict[str, Any]:
    """The texts, by literal."""
    edits = {f"{p.tags['attribute']}={p.tags['value']}": p.text for p in asked.prompts if p.group != SOURCES}
    return {"neutral": next(prompt.text for prompt in asked.prompts if prompt.group == SOURCES), "edits": edits}


def source(prompt: Prompt) -> str:
    """The texts of an edit; the image before it depends on none."""
    return "unedited" if prompt.group == SOURCES else f"{prompt.tags['neutral']} -> {prompt.text}"


def make(method: Any, samples: Sequence[Sample], data: Dataset | None = None) -> Tensor:
    """Ask a method for sources or for edits."""
    function = method.unedited if samples[0].prompt.group == SOURCES else method.edit
    return function([Edit(sample.prompt.tags["neutral"], sample.prompt.text, sample.seed) for sample in samples])


class Exact:
    """The data set's own images, each with the one attribute changed: the ceiling of what can be asked of an edit."""

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
    """By its name; `exact` is of no method."""
    if maker is None:
        return Exact(asked.data)
    return Sources("resampled" if name == "resampled" else "unedited", maker, asked.prompts)


TRACK = Track(prompts=prompts, facts=facts, samples=samples, source=source, make=make, baseline=baseline)


@dataclass(frozen=True)
class EditPlan:
    """Which edits the track `edit` asks for, of the same `images` sources each.

    An edit goes from `neutral` to the same text with one literal "attribute=value" of the data set in it.
    """

    images: int = 50
    literals: tuple[
        str, ...
    ] = ()  # none: all that can be said, are not rare in training and not in most images already
    neutral: str | None = None  # must end with its noun; None: from the data set's vocabulary, "a person"
