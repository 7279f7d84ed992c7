"""Is an image nearest to its own text among several? Which others, and who comes first."""

from collections.abc import Sequence

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import permutation

TIE = 1e-6  # cosines nearer than this are equal: float32 embeddings say no more


def distractors(texts: Sequence[str], own: np.ndarray, seeds: Sequence[int], pool: int) -> np.ndarray:
    """For each sample `pool - 1` of the texts that differ from its own, without replacement: int [N, pool - 1], rows of
    `texts`.

    texts: the texts, or whatever must differ of them (what they ask for). own: the row of each sample's text. Row i
    depends on `seeds[i]` alone. Raises UserError where too few differ.
    """
    _, label = np.unique(np.array(texts), return_inverse=True)
    found = np.empty((len(own), pool - 1), dtype=np.int64)
    for i, (mine, seed) in enumerate(zip(own, seeds, strict=True)):
        order = permutation(seed, len(texts))
        others = order[label[order] != label[mine]][: pool - 1]
        if len(others) < pool - 1:
            raise UserError(
                f"{len(others)} prompts differ from {texts[mine]!r}, a pool of {pool} needs {pool - 1}: ask for more "
                f"captions"
            )
        found[i] = others
    return found


def first_places(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of own scores [N] against the others' [N, P - 1]: who is first; the same, ties drawn at random, in expectation;
    who ties.
    """
    gap = own[:, None] - others
    beaten, level = (gap < -TIE).any(1), (np.abs(gap) <= TIE).sum(1)
    return ~beaten & (level == 0), ~beaten / (1 + level), ~beaten & (level > 0)
