"""Compositional accuracy: how often an image shows both attributes of a pair rare in training. Higher is better.

All rates lie in [0, 1]. The pairs are computed from the training table (`t2ibench.data.rare_pairs`). An image is a hit
if a judge sees both literals in it; a failed or refused image is a miss. Beside the under-represented pairs the metric
measures matched controls, neutral and over-represented pairs, and each literal alone.

If the judge's errors are known on 50 real images of every cell, the rate of a stratum is corrected by them; otherwise
it is labelled "uncorrected". Chance is how often the method's images of ordinary captions hit the pair: for a method
that ignores its prompt, this is its unconditional rate. A data set without a judge gets a cross-fitted one (`probe`);
one on which none can be trained is judged by a model that answers questions (`judge: vqa:NAME`), behind the same gate
and correction. Its values begin with `vqa_`: they are no values of a trained judge.
`t2ibench.checks.audit` measures whether people agree with the judge.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count, Whole
from t2ibench.core.records import Estimate, digest
from t2ibench.core.settings import LATER
from t2ibench.data.rare_pairs import Names, PairList, Rules, find_pairs
from t2ibench.data.split import Split
from t2ibench.scoring.attribute_pairs.judge import VQA, literal_hits, pair_judge
from t2ibench.scoring.attribute_pairs.rates import Rates
from t2ibench.scoring.attribute_pairs.summary import Summary
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.judge_gate import Gate, JudgeOnReal
from t2ibench.stats.intervals import wilson
from t2ibench.stats.judge_errors import cell_index, rogan_gladen
from t2ibench.tracks import contract, pair_texts
from t2ibench.tracks.contract import Prompt

IN_PARTS = True  # where the judge is asked questions
QUESTIONS = {
    "ca_rare": "how often does an image show both attributes of a pair that is rare in the training data?",
    "ca_near_unseen": "how often does an image show both attributes of a pair that the training data hardly ever "
    "shows?",
    "ca_control": "how often does an image show both attributes of a common pair?",
    "ca_neutral": "how often does an image show both attributes of a pair that is as frequent as chance would have it?",
    "ca_over": "how often does an image show both attributes of a pair that the training data shows far more often "
    "than chance?",
    "ca_gap": "how much more often does an image show a common pair than a rare one?",
    "ca_gap_near_unseen": "how much more often does an image show a common pair than one that the training data "
    "hardly ever shows?",
    "ca_above_chance": "how much more often does an image show a rare pair when asked for it than otherwise?",
    "ca_worst": "how often does an image show the rare pairs that the method draws least?",
    "vqa_ca_*": "the same, where a model that answers questions says whether an image shows an attribute",
}


@dataclass(frozen=True)
class Config:
    images: int = 200  # images a pair, a multiple of the four templates
    single_images: int = 40  # images of each literal asked for alone; 0 leaves the drop out
    rare_pairs: Whole = 20
    near_unseen_pairs: Whole = 10
    over_pairs: Whole = 10
    neutral_pairs: Whole = 10
    calibration_images: Whole = 200  # real images rendered for a cell that the reference leaves short; 0: none
    # an extractor on whose features a judge is cross-fitted, for data sets without one; none: the attribute judge
    probe: str = ""
    groups: str = ""  # the attribute (identity, species) whose images stay in one fold of a cross-fitted judge
    draws: Count = 2000  # of the bootstrap
    seed: int = 0  # of the bootstrap
    # vqa:NAME, a model that answers questions: of the zoo, a folder, or hub:owner/name; none: as `probe` says
    judge: str = field(default="", metadata=LATER)

    def __post_init__(self) -> None:
        if self.judge and (not self.judge.removeprefix(VQA) or not self.judge.startswith(VQA) or self.probe):
            found = f"judge {self.judge!r}" + (f" beside probe {self.probe!r}" if self.probe else "")
            raise UserError(f"compositional_accuracy: {found}, expected {VQA}NAME alone, or a probe, or neither")
        for name, count in (("images", self.images), ("single_images", self.single_images)):
            if count % pair_texts.TEMPLATES or count < 0 or (name == "images" and count == 0):
                raise UserError(
                    f"compositional_accuracy: {name} is {count}, expected a multiple of {pair_texts.TEMPLATES}: every "
                    f"template gets "
                    "equally many"
                )


def prompts(train: Split, reference: Split, config: Config) -> list[Prompt]:
    """Prompts by four templates, for every pair and for each literal alone.

    Raises UserError for a data set without attributes or rare pairs.
    """
    pairs = pair_list(train, config)
    if not pairs.rare + pairs.near_unseen:
        raise UserError(
            f"no pair is under-represented in the training table of {train.dataset}: leave compositional_accuracy out"
        )
    assert train.vocabulary is not None
    return pair_texts.build(train.vocabulary, roles(pairs), config.images, config.single_images)


def pair_list(train: Split, config: Config) -> PairList:
    """The pairs of the training split. Raises UserError if it has no attributes, or no words for them."""
    if train.attributes is None or train.vocabulary is None:
        raise UserError(f"{train.dataset} has no attributes with a vocabulary: leave compositional_accuracy out")
    sizes = {key: getattr(config, key) for key in ("rare_pairs", "near_unseen_pairs", "over_pairs", "neutral_pairs")}
    return find_pairs(train.attributes, train.vocabulary, Rules(**sizes))


def roles(found: PairList) -> dict[Names, list[str]]:
    """Every pair of the list, once, with the names of the strata that it belongs to."""
    lists = {
        "rare": found.rare,
        "near_unseen": found.near_unseen,
        "control": found.controls,
        "neutral": found.neutral,
        "over": found.over,
    }
    roles_of: dict[Names, list[str]] = {}
    for role, pairs in lists.items():
        for attribute_pair in pairs:
            roles_of.setdefault((attribute_pair.i, attribute_pair.j), []).append(role)
    return roles_of


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """The accuracies of all strata that have a judged pair, and what follows from them.

    ca_rare, ca_near_unseen, ca_control, ca_neutral, ca_over: accuracy of each stratum.
    ca_gap, ca_gap_near_unseen: gap to the matched controls.
    ca_worst: the worst decile of the rare pairs.
    ca_above_chance: accuracy of the rare pairs above chance.

    Raises UserError if pairs have unequal numbers of images, and if the judge passes its gate for no pair at all.
    """
    pairs, gate = pair_list(evidence.train, config), Gate()
    roles_of = roles(pairs)
    literals = tuple(dict.fromkeys(literal for names in roles_of for literal in names))
    asked = [tuple(prompt.tags["literals"]) for prompt in evidence.samples(contract.PAIRS).prompts]
    judge = pair_judge(evidence, config.probe, config.groups, config.judge, literals)
    hits, elsewhere = (literal_hits(evidence, judge, group, literals) for group in (contract.PAIRS, "captions"))
    real = JudgeOnReal(judge.reference, judge.real, judge.probabilities, judge.render, config.calibration_images, gate)
    verdicts, confusions = zip(*(real.pair(*names) for names in roles_of), strict=True)
    chance = np.stack([count_cells(elsewhere, literals, names) for names in roles_of])
    outcomes = pair_outcomes(hits, asked, list(roles_of), literals)
    cells = np.stack([np.bincount(row, minlength=4) for row in outcomes])
    rates = Rates(list(roles_of), cells, chance, np.stack(confusions), verdicts, gate, config.draws, config.seed)
    if not rates.judged.any():
        raise UserError(
            f"the judge passes its gate for none of {len(roles_of)} pairs ({verdicts[0].failures[0]}): train a better "
            f"judge"
        )
    alone = {
        literal: single(hits, asked, literal, literals, real.single(literal))
        for literal in literals
        if (literal,) in asked
    }
    protocol = {
        "train": evidence.train.described,
        "reference": judge.reference.contents,
        "pairs": pairs.digest,
        "rules": asdict(pairs.rules),
        "prompts": _digest(evidence.prompts, contract.PAIRS),
        "gate": asdict(gate),
        "judge": dict(judge.protocol),
        "calibration_images": config.calibration_images if judge.render else 0,
    }
    values = Summary(
        pairs, roles_of, rates, outcomes, alone, protocol, _digest(evidence.prompts, "captions")
    ).estimates()
    if not config.judge:
        return values
    asked_how = {"vqa_outcomes": judge.outcomes()}
    return {f"vqa_{id}": replace(one, details={**one.details, **asked_how}) for id, one in values.items()}


def _digest(prompts: Sequence[Prompt], group: str) -> str:
    return digest([[prompt.text, prompt.images] for prompt in prompts if prompt.group == group])


def count_cells(hits: np.ndarray, literals: Sequence[str], names: Names) -> np.ndarray:
    """How many images are in each of the cells 00, 01, 10 and 11 of a pair: int [4]."""
    i, j = (literals.index(name) for name in names)
    return np.bincount(cell_index(hits[:, i], hits[:, j]), minlength=4)


def pair_outcomes(
    hits: np.ndarray, asked: Sequence[tuple[str, ...]], pairs: Sequence[Names], literals: Sequence[str]
) -> np.ndarray:
    """The cell, 0 … 3, of every sample of each pair: int [P, n].

    hits: whether each sample shows each literal, bool [N, literals].
    asked: the literals that each sample was asked for.
    Raises UserError unless all pairs have equally many samples.
    """
    rows: dict[tuple[str, ...], list[int]] = {names: [] for names in pairs}
    for row, names in enumerate(asked):
        rows.setdefault(names, []).append(row)
    most = max(len(rows[names]) for names in pairs)
    for names in pairs:
        if len(rows[names]) != most:
            raise UserError(
                f"the pair {'+'.join(names)} has {len(rows[names])} images, others {most}: every pair must have "
                f"equally many"
            )
    places = [[literals.index(name) for name in names] for names in pairs]
    return np.stack([cell_index(*hits[rows[names]][:, place].T) for names, place in zip(pairs, places, strict=True)])


def single(
    hits: np.ndarray,
    asked: Sequence[tuple[str, ...]],
    literal: str,
    literals: Sequence[str],
    judge: tuple[float, float] | None,
) -> dict[str, Any]:
    """How often a literal is seen in the images that were asked for it alone.

    judge: the judge's sensitivity and specificity, which correct the rate; None leaves it uncorrected.
    """
    seen = hits[[row for row, names in enumerate(asked) if names == (literal,)], literals.index(literal)]
    n, count = len(seen), int(seen.sum())
    corrected = None if judge is None else rogan_gladen(count / n, *judge)
    return {"n": n, "hits": count, "rate": count / n, "ci": list(wilson(count, n)), "corrected": corrected}
