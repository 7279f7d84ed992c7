"""The human audit of compositional accuracy: what blind raters see in a method's images, beside what the judge saw.

The judge's errors are counted on real images; whether they are the same on made ones only people can say (docs/compositional_accuracy.md).
`sheet` draws images of one cell and hides where they come from, `reading` holds the answers of raters to the judge's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CELLS = ("00", "01", "10", "11")  # whether an image shows the first and the second literal of its pair
ANSWERS = ("yes", "no", "unsure")
COLUMNS = ("audit", "rater", "image", "first", "second")  # of a rater's CSV file
KEY, FORM, TEMPLATE, VERDICT = "key.json", "audit.html", "answers.csv", "audit.json"


@dataclass(frozen=True)
class Item:
    """One image of an audit. cell: 0 to 3, what the judge saw of the pair; prompt and k: whose image it is, which no rater is told."""

    image: str
    pair: tuple[str, str]
    said: tuple[str, str]
    cell: int
    prompt: str
    k: int


@dataclass(frozen=True)
class Audit:
    """What is asked about, and of how many: population[c] images of the cell were judged c, of which the items of that cell were drawn."""

    id: str
    suite: str
    method: str
    seed: int
    judge: Mapping[str, object]
    population: tuple[int, ...]
    items: Sequence[Item]
