"""Adaptation: a generator of one domain is moved to others, which two texts name, and of which it is shown no image.

Every target is asked of the same latents: the seed of sample k is H(run seed, "source", k) whatever the target, so that
an image of a target stands beside what the generator drew of that latent before. The group "sources" holds those, the
group "adapted/<domain>" the images of one target, held to real ones of that domain. The baselines bracket the metrics:
`unadapted` changes nothing, and `real` returns real images of each domain, others than those that all are held to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.dataset import HELD_OUT, Dataset
from t2ibench.data.split import Split
from t2ibench.tracks.contract import ADAPTED, SOURCES, Adapt, Asked, Maker, Prompt, Sample, Track
from t2ibench.tracks.from_sources import Sources, samples


def prompts(asked: Asked) -> list[Prompt]:
    """The sources and the suite's targets, in the data set's words.

    Among the tags: `real`, the digest of what a target is held to.
    """
    where, data = asked.where, asked.data
    if asked.prompts:
        raise UserError(
            f"{where}: a metric asks for the prompt {asked.prompts[0].id!r}, but the track adapt has those of "
            f"`adapt:` alone"
        )
    if data.domain is None or len(data.domains) < 2:
        raise UserError(f"{where}: adapt: {data.facts['name']} has no other domains to adapt to: use another data set")
    plan: AdaptPlan = asked.settings
    own, *others = data.domains
    for target in plan.targets:
        if target not in others:
            raise UserError(
                f"{where}: adapt: targets: no other domain is called {target!r}{did_you_mean(target, others)}"
            )
    source = plan.source or data.domains[own]
    made = [Prompt("source", source, SOURCES, plan.images, None, {"domain": own, "neutral": source})]
    for target in plan.targets or others:
        text, real = data.domains[target], data.domain(target, plan.reference, HELD_OUT)
        tags = {"domain": target, "neutral": source, "target": text, "real": real.digest}
        made.append(Prompt(f"{ADAPTED}/{target}", text, f"{ADAPTED}/{target}", plan.images, None, tags))
    return made


def facts(asked: Asked) -> dict[str, Any]:
    """The texts, by domain, and how many real images each target is held to."""
    source, *targets = asked.prompts
    return {
        "source": source.text,
        "targets": {prompt.tags["domain"]: prompt.text for prompt in targets},
        "real_images": asked.settings.reference,
    }


def source(prompt: Prompt) -> str:
    """The texts of an adaptation; the image before it depends on none."""
    return "unadapted" if prompt.group == SOURCES else f"{prompt.tags['neutral']} -> {prompt.text}"


def make(method: Any, samples: Sequence[Sample], data: Dataset | None = None) -> Tensor:
    """Ask a method for sources or for images of a target."""
    function = method.unadapted if samples[0].prompt.group == SOURCES else method.adapt
    return function([Adapt(sample.prompt.tags["neutral"], sample.prompt.text, sample.seed) for sample in samples])


class RealImages:
    """Real images of each domain, the data set's own for the sources: the ceiling of every distance.

    No pair is of one latent.
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
    """By its name; `real` is of no method."""
    return (
        RealImages(asked.data, asked.settings.images, seed)
        if maker is None
        else Sources("unadapted", maker, asked.prompts)
    )


TRACK = Track(prompts=prompts, facts=facts, samples=samples, source=source, make=make, baseline=baseline)


@dataclass(frozen=True)
class AdaptPlan:
    """Which domains of the data set the track `adapt` asks for, of the same `images` latents each, and what they are
    held to.
    """

    images: int = 500
    targets: tuple[str, ...] = ()  # names of domains; none: all but the data set's own
    source: str | None = None  # what the method draws already; None: the text of the data set's own domain
    reference: int = 1000  # real images of each target, which no network was trained on
