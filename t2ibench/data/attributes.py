"""Literals, "attribute=value": which ones a vocabulary can name, which images of an attribute table have them, and
which cover others.

A hijab hides the colour of hair. What covers what is found in the training table, where a covered attribute has no
value.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.split import Vocabulary

FEWEST = 20  # training images with a literal, before it counts as one that always covers an attribute
Covers = Mapping[str, frozenset[str]]


def literal_set(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Every nameable literal, in the order of the vocabulary."""
    return tuple(f"{attribute}={value}" for attribute, values in vocabulary.phrases.items() for value in values)


def attribute_of(literal: str) -> str:
    """The attribute of "attribute=value"."""
    return literal.partition("=")[0]


def canonical(table: pd.DataFrame, attributes: Iterable[str]) -> pd.DataFrame:
    """The attributes' columns as strings, None where missing: True, 1 and 1.0 are all "1".

    Raises UserError as `find_pairs` does.
    """
    attributes = list(attributes)
    if len(table) == 0:
        raise UserError("pairs: the attribute table has no rows, expected one an image of the training split")
    for attribute in attributes:
        if attribute not in table:
            raise UserError(
                f"pairs: the attribute table has no column "
                f"{attribute!r}{did_you_mean(attribute, map(str, table.columns))}"
            )
    return pd.DataFrame({attribute: _strings(table[attribute]) for attribute in attributes})


def indicators(values: pd.DataFrame, literals: Sequence[str]) -> np.ndarray:
    """bool [N, L]: whether an image has a literal. A missing value has none of its attribute's literals."""
    present = np.zeros((len(values), len(literals)), bool)
    coded = {
        name: pd.factorize(values[name]) for name in dict.fromkeys(map(attribute_of, literals))
    }  # strings are compared once
    for column, literal in enumerate(literals):
        attribute, _, value = literal.partition("=")
        codes, unique = coded[attribute]
        present[:, column] = np.isin(codes, np.flatnonzero(unique == value))
    return present


def likeliest(probabilities: pd.DataFrame, attributes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The value of every attribute with the highest probability, from a column "attribute=value" for each."""
    columns, numbers, place = {}, probabilities.to_numpy(), {name: k for k, name in enumerate(probabilities)}
    for name, values in attributes.items():
        best = numbers[:, [place[f"{name}={value}"] for value in values]].argmax(1)
        columns[name] = np.array(values, dtype=object)[best]
    return pd.DataFrame(columns)


def _strings(column: pd.Series) -> pd.Series:
    def name(value: Any) -> str | None:
        if value is None or value != value:
            return None
        if isinstance(value, bool | np.bool_ | int | np.integer) or (
            isinstance(value, float | np.floating) and float(value).is_integer()
        ):
            return str(int(value))
        return str(value)

    codes, unique = pd.factorize(column, use_na_sentinel=True)  # one conversion a distinct value, not a row
    names = np.array([name(value) for value in unique] + [None], dtype=object)
    return pd.Series(names[codes], dtype=object)


def covers(table: pd.DataFrame) -> Covers:
    """For each attribute the literals "attribute=value" that cover it: at least FEWEST images have them, and none of
    those shows it.
    """
    values = canonical(table, map(str, table.columns))
    found: dict[str, set[str]] = {own: set() for own in values}
    for other in values:
        for value, rows in values.groupby(other):
            if len(rows) >= FEWEST:
                for own in rows.columns[rows.isna().all()]:
                    found[own].add(f"{other}={value}")
    return {own: frozenset(literals) for own, literals in found.items()}


def visible(values: pd.DataFrame, covered_by: Covers) -> pd.DataFrame:
    """Whether each attribute can be seen on images of these values, bool [N, A].

    An attribute without covers always can.
    """
    seen = pd.DataFrame(True, index=values.index, columns=values.columns)
    for own in values:
        for literal in covered_by.get(str(own), ()):
            other, _, value = literal.partition("=")
            if other in values:
                seen[own] &= values[other] != value
    return seen
