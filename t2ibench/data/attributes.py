"""Literals, written "attribute=value": which ones can be named, which images have them, and which cover others.

A hijab covers the colour of the hair, for example. The training table shows what covers what, because a covered
attribute has no value there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.split import Vocabulary

FEWEST = 20  # a literal covers an attribute only if at least this many training images have the literal
Covers = Mapping[str, frozenset[str]]


def literal_set(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Every literal that the vocabulary can name, in its order."""
    return tuple(f"{attribute}={value}" for attribute, values in vocabulary.phrases.items() for value in values)


def attribute_of(literal: str) -> str:
    """The attribute of "attribute=value"."""
    return literal.partition("=")[0]


def canonical(table: pd.DataFrame, attributes: Iterable[str]) -> pd.DataFrame:
    """The columns of these attributes as strings, with None for a missing value. True, 1 and 1.0 all become "1".

    Raises UserError for an empty table, and for an attribute that has no column.
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
    """Which images have which literals, bool [N, L]. An image without a value has no literal of that attribute."""
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
    """The most probable value of every attribute, one row an image.

    probabilities: a column "attribute=value" for each literal.
    attributes: the values of each attribute.
    """
    columns, numbers, place = {}, probabilities.to_numpy(), {name: k for k, name in enumerate(probabilities)}
    for name, values in attributes.items():
        best = numbers[:, [place[f"{name}={value}"] for value in values]].argmax(1)
        columns[name] = np.array(values, dtype=object)[best]
    return pd.DataFrame(columns)


def _strings(column: pd.Series) -> pd.Series:
    """The values of a column as strings, whole numbers without a point; None for a missing value."""

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
    """For each attribute, the literals that cover it.

    A literal covers an attribute if at least FEWEST images have the literal and the attribute has no value in any of
    them.
    """
    values = canonical(table, map(str, table.columns))
    covered_by: dict[str, set[str]] = {attribute: set() for attribute in values}
    for other in values:
        for value, rows in values.groupby(other):
            if len(rows) >= FEWEST:
                for attribute in rows.columns[rows.isna().all()]:
                    covered_by[attribute].add(f"{other}={value}")
    return {attribute: frozenset(literals) for attribute, literals in covered_by.items()}


def visible(values: pd.DataFrame, covered_by: Covers) -> pd.DataFrame:
    """Whether each attribute can be seen on images with these values, bool [N, A].

    An attribute that nothing covers can always be seen.
    """
    seen = pd.DataFrame(True, index=values.index, columns=values.columns)
    for attribute in values:
        for literal in covered_by.get(str(attribute), ()):
            other, _, value = literal.partition("=")
            if other in values:
                seen[attribute] &= values[other] != value
    return seen
