"""Samples that start from a source: those of edits, adaptations and compositions. All samples of the same k share one
source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from t2ibench.core.seeds import derive_seed
from t2ibench.tracks.contract import SOURCES, Maker, Prompt, Sample


def samples(prompts: Sequence[Prompt], run_seed: int) -> list[Sample]:
    """Every sample of a run, prompt by prompt. Samples of the same k have the same seed.

    A seed is drawn; or it is the number of a source, counted on from run to run, where the prompts have the tag
    `numbered`.
    """

    def seed(prompt: Prompt, k: int) -> int:
        if prompt.tags.get("numbered"):
            return run_seed * prompt.images + k
        return derive_seed(run_seed, "source", k)

    return [Sample(prompt, k, seed(prompt, k)) for prompt in prompts for k in range(prompt.images)]


class Sources:
    """A baseline that answers every sample with a source of a method.

    "unedited" and "unadapted" answer with the sample's own source, "resampled" with the source of another seed.
    """

    def __init__(
        self, name: Literal["unedited", "unadapted", "resampled"], maker: Maker, prompts: Sequence[Prompt]
    ) -> None:
        self.name, self.maker, self.weights, self.trained_on = name, maker, maker.weights, maker.trained_on
        self.identity: Mapping[str, Any] = {"name": name, "of": maker.identity}
        [self.prompt] = [prompt for prompt in prompts if prompt.group == SOURCES]

    @property
    def cost(self) -> Mapping[str, float]:
        return self.maker.cost

    def _source_sample(self, sample: Sample) -> Sample:
        fresh = self.name == "resampled" and sample.prompt.group != SOURCES
        seed = derive_seed(sample.seed, "resampled", sample.prompt.id) if fresh else sample.seed
        return replace(sample, prompt=self.prompt, seed=seed)

    def source(self, sample: Sample) -> str:
        return self.maker.source(self._source_sample(sample))

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return self.maker.make([self._source_sample(sample) for sample in samples])
