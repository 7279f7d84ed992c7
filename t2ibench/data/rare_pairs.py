"""Find the attribute pairs that a training table holds more rarely, more often, or as often as chance predicts.

A literal is "attribute=value". Only literals that the vocabulary can name without a negation take part. For two
literals of different attributes in a table of N images: expected = n_i n_j / N, lift = n_ij / expected,
PMI = ln((n_ij + 0.5) / (expected + 0.5)), q = n_ij / N. Nothing is random, and nothing is tuned on a model's output:
one table gives one list.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from t2ibench.core.errors import UserError
from t2ibench.data.attributes import attribute_of, canonical, indicators, literal_set
from t2ibench.data.split import Vocabulary

Names = tuple[str, str]  # the literals of a pair, i first
Stratum = Literal["rare", "near_unseen", "over", "neutral", "other"]


@dataclass(frozen=True)
class Rules:
    """The thresholds of the strata. Shares are of the N images of the table.

    A pair is under-represented if it meets all of the first four conditions and the test at `significance`.
    """

    under_lift: float = 0.5  # it occurs at most half as often as independence predicts
    under_share: float = 0.02  # it is rare in absolute terms
    expected_share: float = 0.004  # it is expected so often that the deficit means something
    support_share: float = 0.02  # each of its literals is common
    near_unseen: int = 10  # under-represented pairs with fewer images than this are a stratum of their own
    over_lift: float = 1.25
    neutral_lift: float = 0.8  # neutral: lift in [neutral_lift, over_lift]
    common_share: float = 0.02  # over-represented, neutral and control pairs are at least this common
    control_lift: float = 1.0
    significance: float = 0.01  # Bonferroni over the admissible pairs, one-sided Poisson
    rare_pairs: int = 20
    near_unseen_pairs: int = 10
    over_pairs: int = 10
    neutral_pairs: int = 10
    per_literal: int = 3  # one literal appears at most this often in one stratum


@dataclass(frozen=True)
class Pair:
    """Two literals with their counts.

    i, j: the literals; i stands before j in the literal set.
    n, n_i, n_j: the number of images with both, with i, and with j.
    expected, lift, pmi: as in the docstring of the module.
    stratum: the list that the pair belongs to.
    control: the common pair to compare it with, which shares a literal with it; None without one.
    """

    i: str
    j: str
    n: int
    n_i: int
    n_j: int
    expected: float
    lift: float
    pmi: float
    stratum: Stratum
    control: "Pair | None" = None

    @property
    def name(self) -> str:
        return f"{self.i}+{self.j}"


@dataclass(frozen=True)
class Counts:
    """The counts of a table. The rules use nothing else of it.

    literals: the L literals.
    total: the number of images.
    single: the number of images with each literal, [L].
    joint: the number of images with both of two literals, [L, L].
    """

    literals: tuple[str, ...]
    total: int
    single: np.ndarray
    joint: np.ndarray

    @property
    def digest(self) -> str:
        """sha256 of the counts. Tables with equal digests have the same pairs, whatever the order of their rows."""
        numbers = [np.asarray(array).astype(int).tolist() for array in (self.single, self.joint)]
        return hashlib.sha256(json.dumps([self.literals, int(self.total), *numbers]).encode()).hexdigest()


@dataclass(frozen=True)
class PairList:
    """The chosen pairs of each stratum, and what they were chosen from.

    rare, near_unseen, over, neutral: the pairs of each stratum, in the order in which they were chosen.
    rules: the thresholds.
    digest: that of the counts.
    under: how many pairs are under-represented, by stratum, before their number is limited.
    unseen: how many of these have no image at all.
    table: every admissible pair, one row each, in the order of the literal set.
    """

    rare: tuple[Pair, ...]
    near_unseen: tuple[Pair, ...]
    over: tuple[Pair, ...]
    neutral: tuple[Pair, ...]
    rules: Rules
    digest: str
    under: Mapping[str, int]
    unseen: int
    table: pd.DataFrame = field(compare=False, repr=False)

    @property
    def controls(self) -> tuple[Pair, ...]:
        """The controls of the under-represented pairs, each once."""
        return tuple(
            {pair.control.name: pair.control for pair in self.rare + self.near_unseen if pair.control}.values()
        )


def find_pairs(table: pd.DataFrame, vocabulary: Vocabulary, rules: Rules | None = None) -> PairList:
    """The pair lists of a training table.

    table: one row an image, one categorical or binary column an attribute, None for a value that cannot be seen.

    The lists do not depend on the order of rows or columns, nor on whether binary values are bool, int or float. Raises
    UserError for an empty table, for an attribute of the vocabulary that has no column, and for a listed pair that no
    image could show because one attribute is never visible beside the other's literal (such pairs belong into
    `Vocabulary.excluded`).
    """
    literals = literal_set(vocabulary)
    values = canonical(table, vocabulary.phrases)
    present = indicators(values, literals)
    lists = choose(count(present, literals), vocabulary, rules or Rules())
    columns = {literal: present[:, index] for index, literal in enumerate(literals)}
    for pair in (pair for pair in lists.near_unseen if pair.n == 0):
        for literal, other in ((pair.i, pair.j), (pair.j, pair.i)):
            hidden = attribute_of(other)
            if values[hidden].isna().to_numpy()[columns[literal]].all():
                raise UserError(
                    f"pairs: {hidden} is missing in all images with {literal}, so {pair.name} cannot exist: exclude "
                    f"the pair, [{pair.i}, {pair.j}] (`excluded` of the vocabulary; vocabulary.yaml beside own images)"
                )
    return lists


def count(present: np.ndarray, literals: Sequence[str]) -> Counts:
    """The counts of an indicator matrix. present: which of N images have which literals, bool [N, L]."""
    ones = present.astype(np.float64)  # exact up to 2**53, and much faster than an integer product
    joint = (ones.T @ ones).astype(np.int64)
    return Counts(tuple(literals), len(present), np.diag(joint).copy(), joint)


def choose(counts: Counts, vocabulary: Vocabulary, rules: Rules) -> PairList:
    """Apply the rules to counts.

    Under-represented pairs are visited in the order of (lift, n, the name of i, the name of j), over-represented ones
    from the largest lift, neutral ones from the lift nearest to 1. A pair is chosen unless one of its literals already
    occurs `per_literal` times in the stratum.
    """
    table = pair_table(counts, vocabulary.excluded, rules)
    by_name = {frozenset((row["i"], row["j"])): row for row in table.to_dict("records")}
    over = table[table["stratum"] == "over"]
    orders = {
        "rare": (table["lift"], rules.rare_pairs),
        "near_unseen": (table["lift"], rules.near_unseen_pairs),
        "over": (-table["lift"], rules.over_pairs),
        "neutral": (np.log(table["lift"].where(table["lift"] > 0, 1.0)).abs(), rules.neutral_pairs),
    }
    chosen: dict[str, tuple[Pair, ...]] = {}
    for stratum, (key, size) in orders.items():
        members = table.assign(key=key)[table["stratum"] == stratum].sort_values(["key", "n", "i", "j"])
        taken = capped(zip(members["i"], members["j"], strict=True), size, rules.per_literal)
        chosen[stratum] = tuple(_pair(by_name[frozenset(names)]) for names in taken)
    for stratum in ("rare", "near_unseen"):
        controls = [matched_control(pair.i, pair.j, by_name, over, vocabulary, rules) for pair in chosen[stratum]]
        chosen[stratum] = tuple(
            replace(pair, control=control) for pair, control in zip(chosen[stratum], controls, strict=True)
        )
    sizes = table["stratum"].value_counts()
    unseen = int((table["stratum"].isin(["rare", "near_unseen"]) & (table["n"] == 0)).sum())
    under = {stratum: int(sizes.get(stratum, 0)) for stratum in ("rare", "near_unseen")}
    return PairList(**chosen, rules=rules, digest=counts.digest, under=under, unseen=unseen, table=table)


def pair_table(counts: Counts, excluded: frozenset[frozenset[str]], rules: Rules) -> pd.DataFrame:
    """Every admissible pair with its counts, lift, PMI, Poisson p-value and stratum, in the order of the literal set.

    The deficit of an under-represented pair must also be significant in a one-sided Poisson test. In a table of some
    ten thousand images the threshold on the expected count makes sure of that. In a small table the test keeps pairs
    that are rare by chance out of the list.
    """
    names = counts.literals
    first, second = np.triu_indices(len(names), k=1)
    admissible = [
        attribute_of(names[a]) != attribute_of(names[b]) and frozenset((names[a], names[b])) not in excluded
        for a, b in zip(first, second, strict=True)
    ]
    first, second = first[admissible], second[admissible]
    single, total = np.asarray(counts.single, np.float64), float(counts.total)
    n, n_i, n_j = np.asarray(counts.joint)[first, second], single[first], single[second]
    expected = n_i * n_j / total
    # A literal that no image has tells nothing: lift 1.
    lift = np.divide(n, expected, out=np.ones_like(expected), where=expected > 0)
    q, p = n / total, special.pdtr(n, expected)
    supported = (np.minimum(n_i, n_j) >= rules.support_share * total) & (expected >= rules.expected_share * total)
    under = (
        (lift <= rules.under_lift) & (q <= rules.under_share) & supported & (p <= rules.significance / max(len(n), 1))
    )
    common = q >= rules.common_share
    stratum = np.select(
        [
            under & (n >= rules.near_unseen),
            under,
            common & (lift >= rules.over_lift),
            common & (lift >= rules.neutral_lift),
        ],
        ["rare", "near_unseen", "over", "neutral"],
        "other",
    )
    columns = {
        "i": np.array(names, object)[first],
        "j": np.array(names, object)[second],
        "n": n.astype(np.int64),
        "n_i": n_i.astype(np.int64),
        "n_j": n_j.astype(np.int64),
        "expected": expected,
        "lift": lift,
        "pmi": np.log((n + 0.5) / (expected + 0.5)),
        "q": q,
        "poisson_p": p,
        "stratum": stratum,
    }
    return pd.DataFrame(columns)


def capped(pairs: Iterable[tuple[str, str]], size: int, per_literal: int) -> list[tuple[str, str]]:
    """The first `size` pairs such that no literal occurs in more than `per_literal` of them."""
    used: Counter[str] = Counter()
    kept: list[tuple[str, str]] = []
    for i, j in pairs:
        if len(kept) < size and used[i] < per_literal and used[j] < per_literal:
            kept.append((i, j))
            used.update((i, j))
    return kept


def matched_control(
    i: str,
    j: str,
    by_name: Mapping[frozenset[str], Mapping[str, Any]],
    over: pd.DataFrame,
    vocabulary: Vocabulary,
    rules: Rules,
) -> Pair | None:
    """The common pair to compare (i, j) with, or None if there is none.

    It is the first of these that exists: j with the complement of i, if that pair is common; j with its most frequent
    over-represented partner; i with its most frequent over-represented partner.
    """
    opposite = by_name.get(frozenset((vocabulary.complements.get(i, ""), j)))
    if opposite is not None and opposite["lift"] >= rules.control_lift and opposite["q"] >= rules.common_share:
        return _pair(opposite)
    for kept in (j, i):
        partners = over[(over["i"] == kept) | (over["j"] == kept)].sort_values(
            ["n", "i", "j"], ascending=[False, True, True]
        )
        if len(partners):
            return _pair(partners.iloc[0].to_dict())
    return None


def _pair(row: Mapping[str, Any]) -> Pair:
    expected, lift, pmi = (float(row[key]) for key in ("expected", "lift", "pmi"))
    return Pair(
        row["i"], row["j"], int(row["n"]), int(row["n_i"]), int(row["n_j"]), expected, lift, pmi, row["stratum"]
    )
