"""Adaptation: a generator of one domain is moved to other domains. Two texts name the move; no image of a target is
shown.

All targets use the same latents: the seed of sample k is H(run seed, "source", k) for every target. So each image of a
target can be compared with the image that the generator drew from that latent before the adaptation.

- The group "sources" holds the images before the adaptation.
- The group "adapted/<domain>" holds the images of one target. Metrics compare them with real images of that domain.
- The baselines mark the two ends of a metric's scale: `unadapted` changes nothing, and `real` returns real images of
  each domain. These are not the real images that metrics compare with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.data.dataset import HELD_OUT, LESSONS, Dataset
from t2ibench.data.split import Split
from t2ibench.tracks.contract import ADAPTED, SOURCES, Adapt, Asked, Group, Maker, Prompt, Sample, Target, Track
from t2ibench.tracks.from_sources import Sources, samples


def prompts(asked: Asked) -> list[Prompt]:
    """One prompt for the sources and one for each target, with the texts of the data set or of the suite.

    The tag `real` of a target is the digest of the contents of the real images that it is compared with.

    A target of the suite's own `texts` has no real images, and no such tag.

    Raises UserError for a prompt of a metric, a data set without other domains, or an unknown target.
    """
    where, data = asked.where, asked.data
    if asked.prompts:
        raise UserError(
            f"{where}: a metric asks for the prompt {asked.prompts[0].id!r}, but the track adapt has those of "
            f"`adapt:` alone"
        )
    plan: AdaptPlan = asked.settings
    if plan.texts:
        return _given(plan, f"{where}: adapt")
    if data.domain is None or len(data.domains) < 2:
        raise UserError(f"{where}: adapt: {data.facts['name']} has no other domains to adapt to: use another data set")
    source_domain, *others = data.domains
    for target in plan.targets:
        if target not in others:
            raise UserError(
                f"{where}: adapt: targets: no other domain is called {target!r}{did_you_mean(target, others)}"
            )
    source = plan.source or data.domains[source_domain]
    prompts = [Prompt("source", source, SOURCES, plan.images, None, {"domain": source_domain, "neutral": source})]
    for target in plan.targets or others:
        text, real = data.domains[target], data.domain(target, plan.reference, HELD_OUT)
        tags = {"domain": target, "neutral": source, "target": text, "real": real.contents}
        prompts.append(Prompt(f"{ADAPTED}/{target}", text, f"{ADAPTED}/{target}", plan.images, None, tags))
    return prompts


def _given(plan: "AdaptPlan", where: str) -> list[Prompt]:
    """The prompts of targets that are texts alone."""
    if plan.targets:
        raise UserError(f"{where}: found targets and texts, expected one of them: name each target once")
    if plan.source is None:
        raise UserError(f"{where}: texts say what images become, expected `source` beside them: what they are before")
    source = plan.source
    prompts = [Prompt("source", source, SOURCES, plan.images, None, {"neutral": source})]
    for name, text in plan.texts.items():
        if not isinstance(text, str) or not text or text == source:
            raise UserError(f"{where}: texts: {name} is {text!r}, expected the text of a target that is not the source")
        tags = {"domain": name, "neutral": source, "target": text}
        prompts.append(Prompt(f"{ADAPTED}/{name}", text, f"{ADAPTED}/{name}", plan.images, None, tags))
    return prompts


def facts(asked: Asked) -> dict[str, Any]:
    """The texts, by domain, and the number of real images that each target is compared with."""
    source, *targets = asked.prompts
    return {
        "source": source.text,
        "targets": {prompt.tags["domain"]: prompt.text for prompt in targets},
        "real_images": 0 if asked.settings.texts else asked.settings.reference,
    }


def targets(asked: Asked) -> dict[str, Target]:
    """The group of each target, with the real images of its domain."""
    count = asked.settings.reference

    draw = None if asked.settings.texts else asked.data.domain
    return {
        domain: Target(
            group=prompt.group,
            real=draw and (lambda domain=domain: draw(domain, count, HELD_OUT)),  # type: ignore[misc]
            lessons=draw and (lambda count, domain=domain: draw(domain, count, LESSONS)),  # type: ignore[misc]
        )
        for prompt in asked.prompts
        if prompt.group != SOURCES
        for domain in [prompt.tags["domain"]]
    }


def source(prompt: Prompt) -> str:
    """The two texts of an adaptation. An image before the adaptation depends on no text."""
    return "unadapted" if prompt.group == SOURCES else f"{prompt.tags['neutral']} -> {prompt.text}"


def make(method: Any, samples: Sequence[Sample], data: Dataset | None = None) -> Tensor:
    """Ask a method for images before the adaptation, or for images of a target."""
    function = method.unadapted if samples[0].prompt.group == SOURCES else method.adapt
    return function([Adapt(sample.prompt.tags["neutral"], sample.prompt.text, sample.seed) for sample in samples])


class RealImages:
    """Real images of each domain, which show the best value that a distance can reach.

    For the sources they are of the data set's own domain. Images with the same k have no latent in common.
    """

    weights: Mapping[str, Mapping[str, Any]] = {}
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = {}

    def __init__(self, data: Dataset, images: int, seed: int) -> None:
        assert data.domain is not None
        self.draw, self.images, self.seed = data.domain, images, HELD_OUT + 1 + seed
        self.identity: Mapping[str, Any] = {"name": "real", "dataset": data.facts, "drawn": self.seed}

    def source(self, sample: Sample) -> str:
        return f"real {sample.prompt.tags['domain']} {sample.k}"

    def make(self, samples: Sequence[Sample]) -> Tensor:
        split: Split = self.draw(samples[0].prompt.tags["domain"], self.images, self.seed)
        return torch.from_numpy(split.images.read([sample.k for sample in samples]))


def baseline(name: str, maker: Maker | None, asked: Asked, seed: int) -> Maker:
    """A baseline by its name. `real` takes no images of a method."""
    return (
        RealImages(asked.data, asked.settings.images, seed)
        if maker is None
        else Sources("unadapted", maker, asked.prompts)
    )


@dataclass(frozen=True)
class AdaptPlan:
    """Settings of the track `adapt`: which domains are asked for, and what their images are compared with.

    images: number of latents, the same ones for every target.
    targets: names of domains; empty: all domains but the data set's own.
    texts: in place of targets, a text for each name: targets of which there are no real images; with source.
    source: text for what the method draws before the adaptation; None: the text of the data set's own domain.
    reference: number of real images of each target, none of which a network was trained on.
    """

    images: Count = 500
    targets: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    reference: Count = 1000


TRACK = Track(
    key="adapt",
    settings=AdaptPlan,
    functions=("adapt", "unadapted"),
    prompts=prompts,
    samples=samples,
    make=make,
    facts=facts,
    source=source,
    baselines={"real": "nothing", "unadapted": "method"},
    default_baselines=("real",),
    baseline=baseline,
    groups={ADAPTED: Group(above=SOURCES, shown=12)},
    targets=targets,
)
