"""Retrieval: is an image nearer to its own text than to others? The choice of the other texts, and who comes first."""

from collections.abc import Sequence

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import permutation
from t2ibench.stats.finite import finite

TIE = 1e-6  # cosines nearer than this are equal: float32 embeddings say no more


def distractors(texts: Sequence[str], rows: np.ndarray, seeds: Sequence[int], pool: int) -> np.ndarray:
    """For each sample, `pool - 1` texts that differ from its own, drawn without replacement.

    texts: the texts, or that part of them which must differ (what they ask for).
    rows: the row in `texts` of each sample's own text, int [N].
    seeds: one a sample; row i of the result depends on `seeds[i]` alone.

    Returns rows of `texts`, int [N, pool - 1]. Raises UserError if too few texts differ.
    """
    _, label = np.unique(np.array(texts), return_inverse=True)
    chosen = np.empty((len(rows), pool - 1), dtype=np.int64)
    for i, (row, seed) in enumerate(zip(rows, seeds, strict=True)):
        order = permutation(seed, len(texts))
        others = order[label[order] != label[row]][: pool - 1]
        if len(others) < pool - 1:
            raise UserError(
                f"{len(others)} prompts differ from {texts[row]!r}, a pool of {pool} needs {pool - 1}: ask for more "
                f"captions"
            )
        chosen[i] = others
    return chosen


def first_places(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which samples score highest with their own text. own: scores [N]. others: scores with other texts [N, P - 1].

    Returns three arrays [N]: whether the own text is first alone; the probability that it is first if ties are drawn at
    random; and whether it ties for the first place.
    """
    finite("retrieval", own=own, others=others)
    gap = own[:, None] - others
    beaten, level = (gap < -TIE).any(1), (np.abs(gap) <= TIE).sum(1)
    return ~beaten & (level == 0), ~beaten / (1 + level), ~beaten & (level > 0)
