"""Editing: one change, asked for by a text, of an image that is there. The change should be made, and everything else should stay.

Every edit is asked of the same sources: the seed of sample k is H(run seed, "source", k) whatever the prompt, so that sources pair the
edits with each other and with the images before them. The group "sources" holds those, the group "edits" one prompt an edit, and the
two are joined by k. The baselines bracket the metrics: `unedited` changes nothing, `resampled` everything, and `exact`, where the data
set can draw it, just what was asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from t2ibench import edit_prompts
from t2ibench.cells import Maker, Sample, Track
from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed
from t2ibench.data.dataset import Data
from t2ibench.edit_prompts import SOURCES
from t2ibench.plan import Plan
from t2ibench.suite import Suite
from t2ibench.tracks import Edit, Prompt


def prompts(suite: Suite, data: Data, further: Sequence[Prompt]) -> list[Prompt]:
    """The sources and the suite's edits. Metrics of this track judge what is there, and ask for nothing more."""
    if further:
        raise UserError(f"{suite.name}: a metric asks for the prompt {further[0].id!r}, but the track edit takes its prompts from `edits:`")
    return edit_prompts.build(data.train, suite.edits.literals, suite.edits.neutral, suite.edits.images, f"{suite.name}: edits")


def facts(suite: Suite, data: Data, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The texts, by literal."""
    edits = {f"{p.tags['attribute']}={p.tags['value']}": p.text for p in prompts if p.group != SOURCES}
    return {"neutral": next(prompt.text for prompt in prompts if prompt.group == SOURCES), "edits": edits}


def samples(prompts: Sequence[Prompt], run_seed: int) -> list[Sample]:
    """Every sample of a run, prompt by prompt; those of one k have one seed."""
    return [Sample(prompt, k, derive_seed(run_seed, "source", k)) for prompt in prompts for k in range(prompt.images)]


def source(prompt: Prompt) -> str:
    """The texts of an edit; the image before it depends on none."""
    return "unedited" if prompt.group == SOURCES else f"{prompt.tags['neutral']} -> {prompt.text}"


def make(method: Any, samples: Sequence[Sample], data: Data | None = None) -> Tensor:
    """Ask a method for sources or for edits."""
    function = method.unedited if samples[0].prompt.group == SOURCES else method.edit
    return function([Edit(sample.prompt.tags["neutral"], sample.prompt.text, sample.seed) for sample in samples])


class Sources:
    """A method's sources in place of what it makes of them: each its own ("unedited", "unadapted"), or another seed's ("resampled")."""

    def __init__(self, name: Literal["unedited", "unadapted", "resampled"], maker: Maker, prompts: Sequence[Prompt]) -> None:
        self.name, self.maker, self.weights, self.trained_on = name, maker, maker.weights, maker.trained_on
        self.identity: Mapping[str, Any] = {"name": name, "of": maker.identity}
        [self.prompt] = [prompt for prompt in prompts if prompt.group == SOURCES]

    @property
    def cost(self) -> Mapping[str, float]:
        return self.maker.cost

    def _taken(self, sample: Sample) -> Sample:
        fresh = self.name == "resampled" and sample.prompt.group != SOURCES
        seed = derive_seed(sample.seed, "resampled", sample.prompt.id) if fresh else sample.seed
        return replace(sample, prompt=self.prompt, seed=seed)

    def source(self, sample: Sample) -> str:
        return self.maker.source(self._taken(sample))

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return self.maker.make([self._taken(sample) for sample in samples])


class Exact:
    """The data set's own images, each with the one attribute changed: the ceiling of what can be asked of an edit."""

    weights: Mapping[str, Mapping[str, Any]] = {}
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = {}

    def __init__(self, data: Data) -> None:
        """Raises UserError for a data set that cannot change one attribute alone."""
        if data.edited is None:
            raise UserError(f"baselines: exact: {data.facts['name']} cannot change one attribute of an image: take it out")
        self.edited, self.identity = data.edited, {"name": "exact", "dataset": data.facts}

    def source(self, sample: Sample) -> str:
        return source(sample.prompt)

    def make(self, samples: Sequence[Sample]) -> Tensor:
        tags = [sample.prompt.tags for sample in samples]
        changes = [{tag["attribute"]: tag["value"]} if "attribute" in tag else {} for tag in tags]
        return torch.from_numpy(self.edited([sample.seed for sample in samples], changes))


def baseline(name: str, maker: Maker | None, plan: Plan, seed: int) -> Maker:
    """By its name; `exact` is of no method."""
    if maker is None:
        return Exact(plan.data)
    return Sources("resampled" if name == "resampled" else "unedited", maker, plan.prompts)


TRACK = Track(prompts=prompts, facts=facts, samples=samples, source=source, make=make, baseline=baseline)
