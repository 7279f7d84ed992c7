"""R-precision of attribute pairs: is an image nearest to the text that asked for it? In [0, 1], higher is better.

There is one number for each list of pairs and each of two pools:

    r_precision_4_<list>     the 3 other texts ask for the same pair with the first literal, the second or both replaced
                             by another value of the attribute; the other words are the same. Chance is 0.25.
    r_precision_100_<list>   the 99 other texts ask for other pairs, drawn anew for each image. Chance is 0.01.

Both need the prompts of `compositional_accuracy`. That metric asks an attribute judge; this one asks a CLIP. Park et
al. (NeurIPS 2021) rank among captions of other classes, which may differ by more than the replaced word. A tie for the
first place is a failure, and a failed image is a miss. Intervals hold the pairs fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import attribute_of, canonical, indicators, literal_set
from t2ibench.data.rare_pairs import Names, count
from t2ibench.data.split import Split, Vocabulary
from t2ibench.scoring.attribute_pairs.rates import rate_interval
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, protocol
from t2ibench.stats.retrieval import distractors, first_places
from t2ibench.tracks import contract, pair_texts

HARD = 4
QUESTIONS = {
    "r_precision_4_*": "how often does an image fit the pair that it was asked for best, of 4 texts that differ by a "
    "word or two?",
    "r_precision_*": "how often does an image fit the pair that it was asked for best, of texts that ask for any "
    "pairs?",
}


@dataclass(frozen=True)
class Config:
    # the data set's CLIP, else ViT-L/14 of OpenAI; or any by name: `model:tag` of open_clip, `model:FILE`, the zoo's
    clip: str = AUTO
    pool: Several = 100  # texts of the second number
    seed: int = 0  # of its pools

    def __post_init__(self) -> None:
        if self.pool == HARD:
            raise UserError(
                f"pair_r_precision: pool is {self.pool}, expected another number: r_precision_{HARD}_… are "
                f"the numbers of a pair's own four texts"
            )


@dataclass(frozen=True)
class Rows:
    """The samples of P attribute pairs with n images each.

    pairs: the two literals of each pair.
    rows: position of each sample among the samples of the group, [P, n].
    """

    pairs: Sequence[Names]
    rows: np.ndarray


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`r_precision_4_<list>` and `r_precision_100_<list>`; lists: rare, near_unseen, control, neutral and over.

    Raises UserError if no pair was asked for, if pairs have unequal numbers of images, and if there are too few other
    pairs for a pool.
    """
    samples = evidence.samples(contract.PAIRS)
    asked = rows_of(samples)
    if evidence.train.vocabulary is None or evidence.train.attributes is None or not asked.pairs:
        raise UserError("no attribute pair was asked for: add compositional_accuracy to the metrics")
    others = swaps(evidence.train, asked.pairs)
    hits = {
        HARD: hard_hits(evidence, config, samples, asked, others),
        config.pool: pool_hits(evidence, config, samples, asked),
    }
    words = evidence.words(config.clip, [prompt.text for prompt in samples.prompts])
    lists = [samples.prompts[row].tags["roles"] for row in asked.rows[:, 0]]
    estimates = {}
    for pool, hits_of_pool in hits.items():
        for role in dict.fromkeys(role for roles in lists for role in roles):
            members = [
                p for p, names in enumerate(asked.pairs) if role in lists[p] and (pool != HARD or names in others)
            ]
            if members:
                left = ["+".join(n) for p, n in enumerate(asked.pairs) if role in lists[p] and p not in members]
                settings = {
                    **protocol(evidence, config.clip, contract.PAIRS),
                    "list": role,
                    "pool": pool,
                    "seed": config.seed,
                }
                estimates[f"r_precision_{pool}_{role}"] = estimate(
                    hits_of_pool[members], [asked.pairs[p] for p in members], left, pool, settings, words
                )
    return estimates


def rows_of(samples: Samples) -> Rows:
    """The positions of the samples of every pair. Raises UserError unless all pairs have equally many samples."""
    places: dict[Names, list[int]] = {}
    for row, prompt in enumerate(samples.prompts):
        if len(prompt.tags["literals"]) == 2:
            i, j = prompt.tags["literals"]
            places.setdefault((i, j), []).append(row)
    sizes = {len(rows) for rows in places.values()}
    if len(sizes) > 1:
        raise UserError(f"attribute pairs have {min(sizes)} to {max(sizes)} images: every pair must have equally many")
    return Rows(list(places), np.array(list(places.values()), dtype=np.int64))


def swaps(train: Split, pairs: Sequence[Names]) -> dict[Names, Names]:
    """The replacements (i', j') of every pair (i, j) whose literals can both be replaced.

    A literal is replaced by its complement, or else by the most frequent other value of its attribute. The replacement
    must be allowed beside the partner, and j' also beside i'.
    """
    vocabulary = train.vocabulary
    assert vocabulary is not None
    assert train.attributes is not None
    literals = literal_set(vocabulary)
    counts = count(indicators(canonical(train.attributes, vocabulary.phrases), literals), literals)
    frequency = dict(zip(literals, counts.single.tolist(), strict=True))
    replacements = {}
    for i, j in pairs:
        other_i = _exchange(i, (j,), vocabulary, frequency)
        other_j = _exchange(j, (i, other_i), vocabulary, frequency) if other_i else None
        if other_i and other_j:
            replacements[i, j] = (other_i, other_j)
    return replacements


def _exchange(literal: str, beside: Sequence[str], vocabulary: Vocabulary, frequency: Mapping[str, int]) -> str | None:
    same = [other for other in frequency if attribute_of(other) == attribute_of(literal) and other != literal]
    first = vocabulary.complements.get(literal)
    ordered = sorted(same, key=lambda other: (other != first, -frequency[other]))
    return next(
        (other for other in ordered if not any(frozenset((other, b)) in vocabulary.excluded for b in beside)), None
    )


def hard_hits(
    evidence: Evidence, config: Config, samples: Samples, asked: Rows, others: Mapping[Names, Names]
) -> np.ndarray:
    """Whether each image [P, n] is nearest to its own text among four; False for a pair without replacements."""
    if not others:
        return np.zeros(asked.rows.shape, bool)
    vocabulary, texts = evidence.train.vocabulary, {}
    assert vocabulary is not None
    for i, j in others:
        other_i, other_j = others[i, j]
        four = ((i, j), (other_i, j), (i, other_j), (other_i, other_j))
        texts[i, j] = [
            [pair_texts.pair_text(vocabulary, *names, t) for names in four] for t in range(pair_texts.TEMPLATES)
        ]
    every = list(dict.fromkeys(text for templates in texts.values() for four in templates for text in four))
    place = {text: row for row, text in enumerate(every)}
    cosines, at = _cosines(evidence, config.clip, samples, every)
    hits = np.zeros(asked.rows.shape, bool)
    for p, names in enumerate(asked.pairs):
        for k, row in enumerate(asked.rows[p] if names in others else ()):
            if samples.ok[row]:
                own, *rest = (place[text] for text in texts[names][samples.prompts[row].tags["template"]])
                hits[p, k] = first_places(cosines[at[row], [own]], cosines[at[row], rest][None])[0][0]
    return hits


def pool_hits(evidence: Evidence, config: Config, samples: Samples, asked: Rows) -> np.ndarray:
    """Whether each image [P, n] is nearest to its own text among those of `pool - 1` other pairs' prompts."""
    prompts = {prompt.id: prompt for prompt in samples.prompts if len(prompt.tags["literals"]) == 2}
    place = {id: row for row, id in enumerate(prompts)}
    cosines, at = _cosines(evidence, config.clip, samples, [prompt.text for prompt in prompts.values()])
    existing = [(p, k, row) for p, rows in enumerate(asked.rows) for k, row in enumerate(rows) if samples.ok[row]]
    own = np.array([place[samples.prompts[row].id] for _, _, row in existing], dtype=np.int64)
    seeds = [
        derive_seed(config.seed, "pair_r_precision", samples.prompts[row].id, samples.k[row]) for _, _, row in existing
    ]
    others = distractors([prompt.tags["pair"] for prompt in prompts.values()], own, seeds, config.pool)
    images = np.array([at[row] for _, _, row in existing], dtype=np.int64)
    first, _, _ = first_places(cosines[images, own], cosines[images[:, None], others])
    hits = np.zeros(asked.rows.shape, bool)
    for (p, k, _), hit in zip(existing, first, strict=True):
        hits[p, k] = hit
    return hits


def _cosines(
    evidence: Evidence, clip: str, samples: Samples, texts: Sequence[str]
) -> tuple[np.ndarray, dict[int, int]]:
    """Cosines of the M existing images with texts, [M, T], and the row of each sample in them."""
    row_of = {int(row): place for place, row in enumerate(np.flatnonzero(samples.ok))}
    if not row_of:
        return np.zeros((0, len(texts))), row_of
    images = evidence.fake_image_features(clip, contract.PAIRS).double()
    return (images @ evidence.text_features(clip, texts).double().T).numpy(), row_of


def estimate(
    hits: np.ndarray,
    pairs: Sequence[Names],
    left: Sequence[str],
    pool: int,
    settings: Mapping[str, Any],
    words: Mapping[str, float],
) -> Estimate:
    """The mean over K pairs.

    hits: whether each image is nearest to its own text, bool [K, n].
    left: the pairs of the list that are left out, because their literals cannot be replaced.
    words: further entries of the details.
    """
    rates, n = hits.mean(axis=1), hits.shape[1]
    marks = "".join(str(int(hit)) for hit in hits.ravel())
    return Estimate(
        value=float(rates.mean()),
        ci=rate_interval(rates, None, n),
        n=hits.size,
        better="higher",
        protocol={**settings, "pairs": ["+".join(names) for names in pairs], "estimator": "top-1", "ties": "fail"},
        interval="score interval over the images of these pairs",
        details={"chance": 1 / pool, **words, "cannot_be_exchanged": list(left), "per_sample": marks},
    )
