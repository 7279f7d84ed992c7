"""The numbers about attribute pairs in a record: a mean for each stratum, gaps to the controls, labels that say how far
a number can be trusted, and one table of all pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.rare_pairs import Names, Pair, PairList
from t2ibench.scoring.attribute_pairs.rates import (
    Mean,
    Rates,
    above,
    gap,
    macro,
    rate_interval,
    ratio_of_means,
    read_outs,
    singles,
    worst_decile,
)
from t2ibench.stats.intervals import Interval, percentile_interval
from t2ibench.stats.judge_errors import multinomial_draws
from t2ibench.stats.paired import spell

# a mean over fewer images for each pair, or over fewer judged pairs, is labelled "smoke"
FULL_IMAGES, FULL_PAIRS = 100, 10
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Summary:
    """What a record says about attribute pairs.

    pairs: the pairs that were chosen, by stratum.
    parts: the roles of each pair ("rare", "control" …).
    rates: what was counted.
    outcomes: the cell of every image, [P, n], in the order of `rates.pairs`.
    alone: the counts of each literal that was also asked for alone.
    protocol: what decides the numbers.
    chance: hash of the captions on which chance is measured.
    """

    pairs: PairList
    parts: Mapping[Names, Sequence[str]]
    rates: Rates
    outcomes: np.ndarray
    alone: Mapping[str, Mapping[str, Any]]
    protocol: Mapping[str, Any]
    chance: str

    def estimates(self) -> dict[str, Estimate]:
        """A value for every stratum that has a judged pair. The details of the first hold the table of all pairs."""
        values: dict[str, Estimate] = {}
        for role in ("rare", "near_unseen", "control", "neutral", "over"):
            if members := self._judged(role):
                point, draws, corrected = self.rates.accuracy(members)
                mean = self._mean(role, members, macro(point, draws, self.rates.images), corrected)
                values[f"ca_{role}"] = replace(
                    mean, details={**mean.details, "per_sample": self._per_sample(members, corrected)}
                )
        for role, pairs, name in (
            ("rare", self.pairs.rare, "ca_gap"),
            ("near_unseen", self.pairs.near_unseen, "ca_gap_near_unseen"),
        ):
            if matched := self._matched(pairs):
                members, controls = (list(side) for side in zip(*matched, strict=True))
                point, draws, corrected = self.rates.accuracy(members + controls)
                of_members, of_controls = (
                    (point[side], draws[:, side]) for side in (slice(len(members)), slice(len(members), None))
                )
                lost = self._mean(
                    role, members, gap(of_controls, of_members, controls, self.rates.images), corrected, "lower"
                )
                raw = float((self.rates.raw[controls] - self.rates.raw[members]).mean())
                values[name] = replace(lost, details={**lost.details, "raw": raw})
        if rare := self._judged("rare"):
            over_chance = self._mean("rare", rare, above(*self.rates.above_chance(rare)), False)
            values["ca_above_chance"] = replace(over_chance, protocol={**over_chance.protocol, "chance": self.chance})
            point, draws, corrected = self.rates.accuracy(rare)
            ends = [rate_interval(point[[k]], draws[:, [k]], self.rates.images) for k in range(len(rare))]
            value, interval = worst_decile(point, ends)
            values["ca_worst"] = self._estimate(
                value, interval, "rare", rare, corrected, how="10th percentile of the pairs' interval ends"
            )
        first = next(iter(values))
        table = {
            "pairs": self.table(),
            "alone": self.alone,
            "under_represented": self.pairs.under,
            "unseen": self.pairs.unseen,
        }
        values[first] = replace(values[first], details={**values[first].details, **table})
        return values

    def table(self) -> list[dict[str, Any]]:
        """One row for each pair.

        A row holds the training counts, what the judge saw, the corrected accuracy, chance, the rate at which real
        images that show the pair are judged right (ceiling), and what the gate says.
        """
        chosen = {pair.name: pair for pair in (*self.pairs.rare, *self.pairs.near_unseen)}
        train = self.pairs.table.set_index(["i", "j"])
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

    def _per_sample(self, members: Sequence[int], corrected: bool) -> str:
        """What each image adds to the mean over the pairs, in order, as a record keeps it."""
        added = self.rates.contributions(self.outcomes, members, corrected).ravel()
        return spell(added, 6) if corrected else "".join(str(int(hit)) for hit in added)

    def _mean(
        self, role: str, members: Sequence[int], mean: Mean, corrected: bool, better: Better = "higher"
    ) -> Estimate:
        estimate = self._estimate(mean.value, mean.ci, role, members, corrected, better)
        return replace(estimate, details={**estimate.details, "ci_beyond_these_pairs": list(mean.ci_pairs)})

    def _estimate(
        self,
        value: float,
        ci: Interval,
        role: str,
        members: Sequence[int],
        corrected: bool,
        better: Better = "higher",
        how: str = "score interval, variance of a nested bootstrap",
    ) -> Estimate:
        listed = [k for k, names in enumerate(self.rates.pairs) if role in self.parts[names]]
        missing = {
            "+".join(self.rates.pairs[k]): self.rates.verdicts[k].failures for k in listed if not self.rates.judged[k]
        }
        details = {
            "labels": self._labels(members, corrected),
            "images_per_pair": self.rates.images,
            "pairs_judged": len(members),
            "pairs_listed": len(listed),
            "not_judged": missing,
            "raw": float(self.rates.raw[list(members)].mean()),
            **self._composition(members),
        }
        protocol = {
            **self.protocol,
            "stratum": role,
            "judged": ["+".join(self.rates.pairs[k]) for k in members],
            "corrected": corrected,
        }
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
        """The binding ratio, and how much less often a literal is drawn in a pair than alone ("drop").

        The intervals are percentile intervals. There is no drop unless every literal was also asked for alone.
        """
        frequencies, draws = (
            self.rates.cells[list(members)] / self.rates.images,
            self.rates.cell_draws[:, list(members)],
        )
        values = {"binding_ratio": (ratio_of_means(frequencies), ratio_of_means(draws))}
        literals = [self.rates.pairs[k] for k in members]
        if all(literal in self.alone for names in literals for literal in names):
            order = {literal: place for place, literal in enumerate(self.alone)}
            which = np.array([[order[literal] for literal in names] for names in literals])  # [K, 2]
            seen = np.array([[row["hits"], row["n"] - row["hits"]] for row in self.alone.values()])
            again = multinomial_draws(seen, derive_seed(self.rates.seed, "alone"), self.rates.draws)[..., 0] / seen.sum(
                1
            )
            fall = (seen[:, 0] / seen.sum(1))[which] - singles(frequencies)
            values["drop"] = (fall.mean(), (again[:, which] - singles(draws)).mean((-2, -1)))
        return {
            name: {"value": float(value), "ci": list(percentile_interval(drawn))}
            for name, (value, drawn) in values.items()
        }
