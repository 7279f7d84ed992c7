"""The samples of a cell and who makes them: a method, or a baseline that goes the same way."""

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from t2ibench.tracks import Prompt

if TYPE_CHECKING:
    from t2ibench.data.dataset import Data
    from t2ibench.plan import Plan
    from t2ibench.suite import Suite


@dataclass(frozen=True)
class Sample:
    """One image to be made: the k-th of a prompt. `seed` is all of its randomness, and follows from the run seed, prompt id and k."""

    prompt: Prompt
    k: int
    seed: int

    @cached_property
    def id(self) -> str:
        """H(prompt id, k): the same in every run."""
        return hashlib.sha256(f"{self.prompt.id}\x1f{self.k}".encode()).hexdigest()[:20]


class Maker(Protocol):
    """Who makes the images of a cell.

    identity: everything beside prompts and seeds that decides them. weights, trained_on: of the networks in it, for the record.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...

    @property
    def weights(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def trained_on(self) -> Sequence[str]: ...

    @property
    def cost(self) -> Mapping[str, float]:
        """Seconds that images are not charged with; empty where nothing is prepared or trained. A method may have it as `cost`.

        preparation_seconds: once for its weights; training_seconds_per_prompt: their mean, and prompts_trained: of how many; also where
        what they made lay in the cache. spent_seconds: what this process has spent of it so far.
        """
        ...

    def source(self, sample: Sample) -> str:
        """What this sample is made from; a sample of another source is another image."""
        ...

    def make(self, samples: Sequence[Sample]) -> Tensor:
        """The images of samples, all of one group of prompts: uint8 [B, 3, H, W]; row i depends on sample i alone (see t2ibench/tracks)."""
        ...


@dataclass(frozen=True)
class Track:
    """How a track goes from a suite to images. `t2ibench/tracks/<name>.py` has its own as TRACK; the contracts are in t2ibench/tracks.

    prompts: everything that is asked for, what metrics ask for (the third argument) included. facts: what a record says of the prompts.
    samples: of prompts, under a run seed. source: what a method makes the images of a prompt from, beside their seeds. make: asks a
    method for samples of one group, with the data set where requests hold real images. baseline: by its name, from the maker it is `of`
    (None: real images), under a run seed.
    """

    prompts: "Callable[[Suite, Data, Sequence[Prompt]], list[Prompt]]"
    facts: "Callable[[Suite, Data, Sequence[Prompt]], dict[str, Any]]"
    samples: Callable[[Sequence[Prompt], int], list[Sample]]
    source: Callable[[Prompt], str]
    make: "Callable[[Any, Sequence[Sample], Data | None], Tensor]"
    baseline: "Callable[[str, Maker | None, Plan, int], Maker]"


def load_track(name: str) -> Track:
    """A track by name."""
    return importlib.import_module(f"t2ibench.tracks.{name}").TRACK


@dataclass(frozen=True)
class Method:
    """A method's images: it is given what the track's requests hold, and nothing else of the prompt."""

    method: Any
    track: Track
    identity: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    data: "Data | None" = None

    @property
    def cost(self) -> Mapping[str, float]:
        return getattr(self.method, "cost", {})

    def source(self, sample: Sample) -> str:
        return self.track.source(sample.prompt)

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return self.track.make(self.method, samples, self.data)
