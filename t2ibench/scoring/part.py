"""What one of several processes makes of a cell's features, answers and distances, before one of them scores it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from t2ibench.core import cache
from t2ibench.networks import extractors
from t2ibench.scoring.answers import Answering
from t2ibench.scoring.evidence import Evidence, key_of


class NotShared(Exception):
    """A metric asked for features that are shared in another way: their parts are not all there yet."""


class Part(Evidence):
    """Evidence of which only every `of`-th batch is looked at, from number `part` on. What is made goes to `pieces`.

    What is shared comes back as zeros, so that a metric goes on to the next thing; what it returns is no value.
    """

    def __init__(self, part: int, of: int, **evidence: Any) -> None:
        super().__init__(**evidence)
        self._part, self._of = part, of
        self._answering = Answering(self.in_parts, None)

    def features_of_part(self, name: str, group: str) -> None:
        """Make this part of an extractor's features of the made images of a group, where they are missing."""
        assert self._pieces is not None
        samples, extractor = self.samples(group), self._extractor(name)
        key = key_of(extractor, samples.digest)
        if cache.is_kept(self.models.cache, key):
            return
        parts = cache.Pieces(self._pieces, key)
        extractors.extract_part(extractor.network, samples.store.read, samples.rows, parts, self._part, self._of)

    def in_parts(
        self,
        key: Sequence[Any],
        batches: Sequence[range],
        make: Callable[[range], np.ndarray],
        what: str,
        width: int = 0,
    ) -> np.ndarray:
        parts = self._parts(key)
        assert parts is not None
        for numbers in batches[self._part :: self._of]:
            span = numbers.start, numbers.stop
            if parts.read(span) is None:
                parts.write(span, np.asarray(make(numbers), np.float32))
        return np.zeros((batches[-1].stop, width)[: 2 if width else 1], np.float32)

    def _looked_at(self, name: str, store: Any, rows: Any, digest: str) -> Tensor:
        if not cache.is_kept(self.models.cache, key_of(self._extractor(name), digest)):
            raise NotShared(name)
        return super()._looked_at(name, store, rows, digest)
