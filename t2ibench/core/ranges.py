"""Which numbers a setting can be, said beside it: `steps: Count = 500`.

`configure` refuses other numbers in one line, `describe` and docs/suites.md show the range, and editors read it from
the JSON schema. A class that code also makes without `configure` calls `check_ranges` in its `__post_init__`.

Count, Several, Whole: whole numbers from 1, 2 and 0.
Positive, NotNegative: numbers above 0, and 0 too.
Share, SomeShare, BelowOne: numbers from 0 to 1; without 0; without 1.

Any other range: `Annotated[int, Range(1, 1000)]`.
"""

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from t2ibench.core.errors import UserError


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`. `open_at` names ends that do not belong to it: "least", "most"."""

    least: float = -math.inf
    most: float = math.inf
    open_at: tuple[str, ...] = ()

    def __contains__(self, value: float) -> bool:
        above = value > self.least if "least" in self.open_at else value >= self.least
        below = value < self.most if "most" in self.open_at else value <= self.most
        return above and below

    def __str__(self) -> str:
        """In words: "at least 1", "more than 0", "0 to 1, without 1"."""
        if math.isinf(self.most):
            return f"{'more than' if 'least' in self.open_at else 'at least'} {self.least:.16g}"
        if math.isinf(self.least):
            return f"{'less than' if 'most' in self.open_at else 'at most'} {self.most:.16g}"
        ends = [f"{getattr(self, end):.16g}" for end in ("least", "most") if end in self.open_at]
        return f"{self.least:.16g} to {self.most:.16g}" + (f", without {' and '.join(ends)}" if ends else "")

    def schema(self) -> dict[str, float]:
        """In the words of JSON Schema."""
        names = {
            "least": "exclusiveMinimum" if "least" in self.open_at else "minimum",
            "most": "exclusiveMaximum" if "most" in self.open_at else "maximum",
        }
        return {name: getattr(self, end) for end, name in names.items() if not math.isinf(getattr(self, end))}


Count = Annotated[int, Range(1)]
Several = Annotated[int, Range(2)]
Whole = Annotated[int, Range(0)]
NotNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, open_at=("least",))]
Share = Annotated[float, Range(0, 1)]
SomeShare = Annotated[float, Range(0, 1, open_at=("least",))]
BelowOne = Annotated[float, Range(0, 1, open_at=("most",))]


def range_of(hint: Any) -> Range | None:
    """The range in a type: that of an `Annotated` number, which may stand in a union, a tuple or a list."""
    if typing.get_origin(hint) is Annotated:
        return next((one for one in hint.__metadata__ if isinstance(one, Range)), None)
    return next((found for one in typing.get_args(hint) if (found := range_of(one))), None)


def ranges_of(config: type[Any]) -> Mapping[str, Range]:
    """The range of each setting that has one."""
    hints = typing.get_type_hints(config, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := range_of(hint))}


def check_ranges(config: Any, where: str) -> None:
    """Raises UserError for a setting out of its range. `where` is the beginning of the line."""
    for name, allowed in ranges_of(type(config)).items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple | list) else [value]:
            if isinstance(number, int | float) and number not in allowed:
                raise UserError(f"{where}: {name} is {number}, expected {allowed}")
