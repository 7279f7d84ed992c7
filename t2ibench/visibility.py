"""Which attributes cover which: a hijab hides the colour of hair. Found in the training table, where a covered attribute has no value."""

from collections.abc import Mapping

import pandas as pd

from t2ibench.literals import canonical

FEWEST = 20  # training images with a literal, before it counts as one that always covers an attribute
Covers = Mapping[str, frozenset[str]]


def covers(table: pd.DataFrame) -> Covers:
    """For each attribute the literals "attribute=value" that cover it: at least FEWEST images have them, and none of those shows it."""
    values = canonical(table, map(str, table.columns))
    found: dict[str, set[str]] = {own: set() for own in values}
    for other in values:
        for value, rows in values.groupby(other):
            if len(rows) >= FEWEST:
                for own in rows.columns[rows.isna().all()]:
                    found[own].add(f"{other}={value}")
    return {own: frozenset(literals) for own, literals in found.items()}


def visible(values: pd.DataFrame, covered_by: Covers) -> pd.DataFrame:
    """Whether each attribute can be seen on images of these values, bool [N, A]. An attribute without covers always can."""
    seen = pd.DataFrame(True, index=values.index, columns=values.columns)
    for own in values:
        for literal in covered_by.get(str(own), ()):
            other, _, value = literal.partition("=")
            if other in values:
                seen[own] &= values[other] != value
    return seen
