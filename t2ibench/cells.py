"""The samples of a cell and who makes them: a method, or a baseline that goes the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from t2ibench.tracks.contract import Sample, Track

if TYPE_CHECKING:
    from t2ibench.data.dataset import Data


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
