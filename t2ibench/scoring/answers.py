"""Answers of models to questions about images, each computed once and kept like features."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core import cache
from t2ibench.core.errors import UserError
from t2ibench.core.records import digest
from t2ibench.data.stores import ImageStore, each
from t2ibench.networks.vqa.contract import FAILED, VQA, Answers, Sets

IMAGES_ASKED = 64  # images that are in memory at once while a model answers questions about them
# as `Evidence.in_parts`
InParts = Callable[[Sequence[Any], Sequence[range], Callable[[range], np.ndarray], str, int], np.ndarray]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answering:
    """Asks models.

    in_parts: shares the images among processes.
    folder: of the cache; None: nothing is kept.
    """

    in_parts: InParts
    folder: Path | None
    _held: dict[str, np.ndarray] = field(default_factory=dict)

    def ask(
        self, model: VQA, store: ImageStore, hashes: Sequence[str], asked: Sequence[tuple[int, str]], sets: Sets
    ) -> Answers:
        """The answers of a model to N questions, as of `VQA.answers`.

        hashes: of the pixels of every image in the store.
        asked: the row of an image, and the question.
        `free` and `reasons` are empty: they are not kept, but logged. Raises UserError if there is no question.
        """
        if not asked:
            raise UserError(f"{model.name}: there is no question to ask")
        protocol = {key: value for key, value in model.protocol(sets).items() if key != "vqa"}
        key = ("answers", digest([[[hashes[row], question] for row, question in asked], protocol]))
        if key[1] not in self._held:
            self._held[key[1]] = self._answered(key, model, store, asked, sets)
        answered = self._held[key[1]]
        return Answers(answered[:, :-1].copy(), answered[:, -1].astype(np.int64), [])

    def _answered(
        self, key: Sequence[str], model: VQA, store: ImageStore, asked: Sequence[tuple[int, str]], sets: Sets
    ) -> np.ndarray:
        """P(answer) of each set, and the number of the chosen one: float32 [N, A + 1]."""
        if self.folder is not None and cache.is_kept(self.folder, key):
            return cache.cached(self.folder, key, lambda: self._made(key, model, store, asked, sets))
        made = self._made(key, model, store, asked, sets)
        if self.folder is not None and not (made[:, -1] == FAILED).any():  # what failed may succeed the next time
            cache.cached(self.folder, key, lambda: made)
        return made

    def _made(
        self, key: Sequence[str], model: VQA, store: ImageStore, asked: Sequence[tuple[int, str]], sets: Sets
    ) -> np.ndarray:
        of_row: dict[int, list[int]] = {}
        for number, (row, _) in enumerate(asked):
            of_row.setdefault(row, []).append(number)
        rows, broken = list(of_row), dict[str, None]()
        by_image = [number for row in rows for number in of_row[row]]
        ends = np.cumsum([0, *(len(of_row[row]) for row in rows)])[[*range(0, len(rows), IMAGES_ASKED), len(rows)]]

        def make(numbers: range) -> np.ndarray:
            about, questions = zip(*(asked[by_image[number]] for number in numbers), strict=True)
            block = list(dict.fromkeys(about))
            place = {row: k for k, row in enumerate(block)}
            given = model.answers(each(store, block), [place[row] for row in about], questions, sets)
            broken.update(dict.fromkeys(given.reasons))
            return np.concatenate([given.probabilities, given.chosen[:, None]], 1)

        batches = [range(int(start), int(end)) for start, end in pairwise(ends)]
        what = f"{model.name}: {len(asked):,} questions about {len(rows):,} images"
        answered = np.empty((len(asked), len(sets) + 1), np.float32)
        answered[by_image] = self.in_parts(key, batches, make, what, len(sets) + 1)
        if broken:
            log.warning("%s: questions failed: %s", model.name, "; ".join(list(broken)[:3]))
        return answered
