"""Compositional accuracy: how often both attributes of a pair that training hardly showed are in the image. In [0, 1], higher is better.

The pairs are computed from the training table (`t2ibench.pairs`). An image hits where a judge sees both literals; a failed or refused one
is a miss. Beside the under-represented pairs stand matched controls, neutral and over-represented pairs, and each literal alone.
Where the judge's errors are known on 50 real images of every cell, a stratum is corrected by them, otherwise it is labelled "uncorrected".
Chance is how often the same method's images of ordinary captions hit the pair: for a method that ignores its prompt, its unconditional
rate. Cross-fitted judges and human audits are not here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from t2ibench import pair_prompts
from t2ibench.correction import cell_index, multinomial_draws, rogan_gladen
from t2ibench.data import Split
from t2ibench.errors import UserError
from t2ibench.evidence import Evidence
from t2ibench.judge_gate import Gate, RealCells
from t2ibench.pair_rates import Rates, binding_ratio, macro, read_outs, singles, worst_decile
from t2ibench.pairs import Pair, PairList, Rules, attribute_of, canonical, find_pairs, indicators
from t2ibench.records import Estimate, digest
from t2ibench.seeds import derive_seed
from t2ibench.statistics import Interval, percentile_interval, wilson
from t2ibench.tracks import Prompt

FULL_IMAGES, FULL_PAIRS = 100, 10  # a headline on fewer images a pair, or fewer judged pairs, is labelled "smoke"
Names = tuple[str, str]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Config:
    images: int = 200  # images a pair, a multiple of the four templates
    single_images: int = 40  # images of each literal asked for alone; 0 leaves the drop out
    rare_pairs: int = 20
    near_unseen_pairs: int = 10
    over_pairs: int = 10
    neutral_pairs: int = 10
    calibration_images: int = 100  # real images rendered for a cell that the reference leaves short; 0: none
    draws: int = 2000  # of the bootstrap
    seed: int = 0  # of the bootstrap


def prompts(train: Split, reference: Split, config: Config) -> list[Prompt]:
    """Four templates of every pair, and of the literals alone. Raises UserError for a data set without attributes or rare pairs."""
    found = pair_list(train, config)
    if not found.rare + found.near_unseen:
        raise UserError(f"no pair is under-represented in the training table of {train.dataset}: leave compositional_accuracy out")
    assert train.vocabulary is not None
    return pair_prompts.build(train.vocabulary, roles(found), config.images, config.single_images)


def pair_list(train: Split, config: Config) -> PairList:
    """The pairs of the training split. Raises UserError where it has no attributes, or no words for them."""
    if train.attributes is None or train.vocabulary is None:
        raise UserError(f"{train.dataset} has no attributes with a vocabulary: leave compositional_accuracy out")
    sizes = {key: getattr(config, key) for key in ("rare_pairs", "near_unseen_pairs", "over_pairs", "neutral_pairs")}
    return find_pairs(train.attributes, train.vocabulary, Rules(**sizes))


def roles(found: PairList) -> dict[Names, list[str]]:
    """Every pair that is drawn, once, with the lists it is in."""
    lists = {"rare": found.rare, "near_unseen": found.near_unseen, "control": found.controls, "neutral": found.neutral, "over": found.over}
    parts: dict[Names, list[str]] = {}
    for role, pairs in lists.items():
        for pair in pairs:
            parts.setdefault((pair.i, pair.j), []).append(role)
    return parts


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """Accuracy of each stratum that has a judged pair (`ca_rare`, `ca_near_unseen`, `ca_control`, `ca_neutral`, `ca_over`), the gap to the
    matched controls (`ca_gap`, `ca_gap_near_unseen`), and of the rare pairs the worst decile (`ca_worst`) and `ca_above_chance`.

    Raises UserError where pairs have unequal numbers of images, or the judge passes its gate for no pair at all.
    """
    found, gate = pair_list(evidence.train, config), Gate()
    parts = roles(found)
    literals = tuple(dict.fromkeys(literal for names in parts for literal in names))
    asked = [tuple(prompt.tags["literals"]) for prompt in evidence.samples(pair_prompts.GROUP).prompts]
    hits, elsewhere = (literal_hits(evidence, group, literals) for group in (pair_prompts.GROUP, "captions"))
    render = evidence.pair_images if evidence.can_render else None
    real = RealCells(evidence.reference, evidence.real_attributes, evidence.real_probabilities, render, config.calibration_images, gate)
    verdicts, confusions = zip(*(real.pair(*names) for names in parts), strict=True)
    chance = np.stack([count_cells(elsewhere, literals, names) for names in parts])
    rates = Rates(
        list(parts), pair_cells(hits, asked, list(parts), literals), chance, np.stack(confusions), verdicts, gate, config.draws, config.seed
    )
    if not rates.judged.any():
        raise UserError(f"the judge passes its gate for none of {len(parts)} pairs ({verdicts[0].failures[0]}): train a better judge")
    alone = {literal: single(hits, asked, literal, literals, real.single(literal)) for literal in literals if (literal,) in asked}
    protocol = {
        "train": evidence.train.digest,
        "reference": evidence.reference.digest,
        "pairs": found.digest,
        "rules": asdict(found.rules),
        "prompts": digest([[p.id, p.text, p.images] for p in evidence.prompts if p.group == pair_prompts.GROUP]),
        "gate": asdict(gate),
        "judge": evidence.extractor_protocol(evidence.judge),
        "calibration_images": config.calibration_images if render else 0,
    }
    return Summary(found, parts, rates, alone, protocol).estimates()


def literal_hits(evidence: Evidence, group: str, literals: Sequence[str]) -> np.ndarray:
    """Whether the judge sees each literal in each sample, bool [N, L]; a sample without an image has none, nor has an unknown attribute."""
    samples = evidence.samples(group)
    hits = np.zeros((len(samples.prompts), len(literals)), bool)
    if samples.ok.any():
        judged = evidence.fake_attributes(group)
        known = [index for index, literal in enumerate(literals) if attribute_of(literal) in judged]
        values = canonical(judged, dict.fromkeys(attribute_of(literals[index]) for index in known))
        hits[np.flatnonzero(samples.ok)[:, None], known] = indicators(values, [literals[index] for index in known])
    return hits


def count_cells(hits: np.ndarray, literals: Sequence[str], names: Names) -> np.ndarray:
    """How many images fall into the cells 00, 01, 10, 11 of a pair: int [4]."""
    i, j = (literals.index(name) for name in names)
    return np.bincount(cell_index(hits[:, i], hits[:, j]), minlength=4)


def pair_cells(hits: np.ndarray, asked: Sequence[tuple[str, ...]], pairs: Sequence[Names], literals: Sequence[str]) -> np.ndarray:
    """The cells of every pair among the samples that were asked for it, int [P, 4]. Raises UserError unless all have equally many."""
    rows: dict[tuple[str, ...], list[int]] = {names: [] for names in pairs}
    for row, names in enumerate(asked):
        rows.setdefault(names, []).append(row)
    most = max(len(rows[names]) for names in pairs)
    for names in pairs:
        if len(rows[names]) != most:
            raise UserError(f"the pair {'+'.join(names)} has {len(rows[names])} images, others {most}: every pair must have equally many")
    return np.stack([count_cells(hits[rows[names]], literals, names) for names in pairs])


def single(
    hits: np.ndarray, asked: Sequence[tuple[str, ...]], literal: str, literals: Sequence[str], judge: tuple[float, float] | None
) -> dict[str, Any]:
    """How often a literal that was asked for alone is seen, and that rate corrected by the judge's sensitivity and specificity."""
    seen = hits[[row for row, names in enumerate(asked) if names == (literal,)], literals.index(literal)]
    n, count = len(seen), int(seen.sum())
    corrected = None if judge is None else rogan_gladen(count / n, *judge)
    return {"n": n, "hits": count, "rate": count / n, "ci": list(wilson(count, n)), "corrected": corrected}


@dataclass(frozen=True)
class Summary:
    """The numbers of a record, from what was counted. alone: of each literal that was also asked for alone."""

    found: PairList
    parts: Mapping[Names, Sequence[str]]
    rates: Rates
    alone: Mapping[str, Mapping[str, Any]]
    protocol: Mapping[str, Any]

    def estimates(self) -> dict[str, Estimate]:
        """A value for every stratum with a judged pair; the first of them carries the table of all pairs."""
        values: dict[str, Estimate] = {}
        for role in ("rare", "near_unseen", "control", "neutral", "over"):
            if members := self._judged(role):
                point, draws, corrected = self.rates.accuracy(members)
                values[f"ca_{role}"] = self._mean(role, members, point, draws, corrected)
        for role, pairs, name in (("rare", self.found.rare, "ca_gap"), ("near_unseen", self.found.near_unseen, "ca_gap_near_unseen")):
            if matched := self._matched(pairs):
                point, draws, corrected = self.rates.accuracy([k for both in matched for k in both])
                gaps = point[1::2] - point[::2], draws[:, 1::2] - draws[:, ::2]
                values[name] = self._mean(role, [k for k, _ in matched], *gaps, corrected, better="lower", rates=2)
        if rare := self._judged("rare"):
            values["ca_above_chance"] = self._mean("rare", rare, *self.rates.above_chance(rare), False, rates=2)
            point, draws, corrected = self.rates.accuracy(rare)
            value, interval = worst_decile(point, draws)
            values["ca_worst"] = self._estimate(value, interval, "rare", rare, corrected)
        first = next(iter(values))
        table = {"pairs": self.table(), "alone": self.alone, "under_represented": self.found.under, "unseen": self.found.unseen}
        values[first] = replace(values[first], details={**values[first].details, **table})
        return values

    def table(self) -> list[dict[str, Any]]:
        """One row a pair: training counts, what the judge saw, the correction, chance, the real ceiling, and its standing at the gate."""
        chosen = {pair.name: pair for pair in (*self.found.rare, *self.found.near_unseen)}
        train = self.found.table.set_index(["i", "j"])
        rows = []
        for k, (names, verdict) in enumerate(zip(self.rates.pairs, self.rates.verdicts, strict=True)):
            name, truly = "+".join(names), self.rates.confusions[k][:, 3]
            control = chosen[name].control if name in chosen else None
            rows.append(
                {
                    "pair": name,
                    "roles": list(self.parts[names]),
                    "train_n": int(train.loc[names, "n"]),
                    "train_lift": float(train.loc[names, "lift"]),
                    "control": control.name if control else None,
                    **read_outs(self.rates.cells[k]),
                    "corrected": float(self.rates.corrected[k]) if self.rates.correctable[k] else None,
                    "corrected_ci": self.rates.corrected_interval(k),
                    "chance": float(self.rates.chance[k, 3] / self.rates.chance[k].sum()),
                    "ceiling": float(truly[3] / truly.sum()) if truly.sum() else None,
                    "ceiling_n": int(truly.sum()),
                    "status": self._status(k),
                    "gate": {"failures": verdict.failures, "untested": verdict.untested_strata, **verdict.numbers},
                }
            )
        return rows

    def _judged(self, role: str) -> list[int]:
        return [k for k, names in enumerate(self.rates.pairs) if role in self.parts[names] and self.rates.judged[k]]

    def _matched(self, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
        place = {names: k for k, names in enumerate(self.rates.pairs) if self.rates.judged[k]}
        both = [(place.get((p.i, p.j)), place.get((p.control.i, p.control.j))) for p in pairs if p.control]
        return [(k, c) for k, c in both if k is not None and c is not None]

    def _status(self, k: int) -> str:
        verdict = self.rates.verdicts[k]
        if verdict.failures:
            return "not judged"
        if verdict.untested_strata:
            return "uncorrected, stratum untested"
        return "corrected" if self.rates.correctable[k] else "uncorrected"

    def _mean(
        self,
        role: str,
        members: Sequence[int],
        point: np.ndarray,
        draws: np.ndarray,
        corrected: bool,
        better: Better = "higher",
        rates: int = 1,
    ) -> Estimate:
        low, images = (-1.0 if rates == 2 else 0.0), len(members) * self.rates.images
        mean = macro(point, draws, images, self.rates.seed, rates=rates, low=low)
        estimate = self._estimate(mean.value, mean.ci, role, members, corrected, better)
        return replace(estimate, details={**estimate.details, "ci_pairs_resampled": list(mean.ci_pairs)})

    def _estimate(
        self, value: float, ci: Interval, role: str, members: Sequence[int], corrected: bool, better: Better = "higher"
    ) -> Estimate:
        listed = [k for k, names in enumerate(self.rates.pairs) if role in self.parts[names]]
        missing = {"+".join(self.rates.pairs[k]): self.rates.verdicts[k].failures for k in listed if not self.rates.judged[k]}
        details = {
            "labels": self._labels(members, corrected),
            "images_per_pair": self.rates.images,
            "pairs_judged": len(members),
            "pairs_listed": len(listed),
            "not_judged": missing,
            "raw": float(self.rates.raw[list(members)].mean()),
            **self._composition(members),
        }
        protocol = {**self.protocol, "stratum": role, "judged": ["+".join(self.rates.pairs[k]) for k in members], "corrected": corrected}
        how = "nested bootstrap, percentile; Wilson's limit where no image differs"
        return Estimate(value, ci, len(members) * self.rates.images, better, protocol, how, details)

    def _labels(self, members: Sequence[int], corrected: bool) -> list[str]:
        labels = []
        if self.rates.images < FULL_IMAGES:
            labels.append(f"smoke: {self.rates.images} images a pair, a headline needs {FULL_IMAGES}")
        if len(members) < FULL_PAIRS:
            labels.append(f"smoke: {len(members)} judged pairs, a headline needs {FULL_PAIRS}")
        if not corrected:
            labels.append("uncorrected")
        if untested := sum(bool(self.rates.verdicts[k].untested_strata) for k in members):
            labels.append(f"stratum untested: {untested} pairs")
        return labels

    def _composition(self, members: Sequence[int]) -> dict[str, Any]:
        """Binding ratio, and how much less often a literal is drawn in the pair than alone (drop): means over pairs with intervals."""
        frequencies, draws = self.rates.cells[list(members)] / self.rates.images, self.rates.cell_draws[:, list(members)]
        found = {"binding_ratio": (binding_ratio(frequencies).mean(), binding_ratio(draws).mean(-1))}
        literals = [self.rates.pairs[k] for k in members]
        if all(literal in self.alone for names in literals for literal in names):
            order = {literal: place for place, literal in enumerate(self.alone)}
            which = np.array([[order[literal] for literal in names] for names in literals])  # [K, 2]
            seen = np.array([[row["hits"], row["n"] - row["hits"]] for row in self.alone.values()])
            again = multinomial_draws(seen, derive_seed(self.rates.seed, "alone"), self.rates.draws)[..., 0] / seen.sum(1)
            fall = (seen[:, 0] / seen.sum(1))[which] - singles(frequencies)
            found["drop"] = (fall.mean(), (again[:, which] - singles(draws)).mean((-2, -1)))
        return {name: {"value": float(value), "ci": list(percentile_interval(drawn))} for name, (value, drawn) in found.items()}
