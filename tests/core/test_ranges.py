"""The ranges of settings: said beside each number, kept by `configure`, shown to people and editors."""

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from t2ibench.core import plugins
from t2ibench.core.documented import schema_of, settings_of_class
from t2ibench.core.errors import UserError
from t2ibench.core.ranges import (
    BelowOne,
    Count,
    NotNegative,
    Positive,
    Range,
    Several,
    Share,
    SomeShare,
    Whole,
    check_ranges,
    ranges_of,
)
from t2ibench.core.settings import configure

# settings of which no number can be refused: those that scale, or go either way, or begin a sequence
ANY = {
    *("seed", "truncation_psi", "training_psi", "guidance", "guidance_scale", "prior_scale", "edit_scale"),
    *("lora_scale", "strength", "edit_strength", "alpha", "residual", "mining_residual", "stop_at"),
}
CHECKED = {"images", "single_images", "rows"}  # multiples of the templates; rows that the generator has


@dataclass(frozen=True)
class Sampler:
    """A sampler."""

    steps: Count = 6
    size: Count | None = 64
    share: BelowOne = 0.5
    weights: tuple[NotNegative, ...] = ()
    scale: float = 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": 0}, "here: steps is 0, expected at least 1"),
        ({"size": -4}, "here: size is -4, expected at least 1"),
        ({"share": 1}, "here: share is 1.0, expected 0 to 1, without 1"),
        ({"weights": [0.5, -1]}, "here: weights is -1, expected at least 0"),
    ],
)
def test_a_number_out_of_its_range_is_one_line(given, said):
    with pytest.raises(UserError, match=said):
        configure(Sampler, given, "here")


def test_numbers_in_their_ranges_pass():
    assert configure(Sampler, {"steps": 1, "size": None, "share": 0, "weights": [0], "scale": -3}, "here") == Sampler(
        1, None, 0.0, (0,), -3.0
    )


def test_not_a_number_is_in_no_range():
    with pytest.raises(UserError, match="share is nan"):
        check_ranges(Sampler(share=math.nan), "here")


@pytest.mark.parametrize(
    ("hint", "inside", "outside", "words"),
    [
        (Count, (1, 9), (0, -1), "at least 1"),
        (Several, (2,), (1,), "at least 2"),
        (Whole, (0,), (-1,), "at least 0"),
        (Positive, (1e-9,), (0.0,), "more than 0"),
        (Share, (0.0, 1.0), (-0.1, 1.1), "0 to 1"),
        (BelowOne, (0.0,), (1.0,), "0 to 1, without 1"),
        (SomeShare, (1.0,), (0.0,), "0 to 1, without 0"),
        (Annotated[float, Range(most=5)], (-1e9, 5.0), (5.1,), "at most 5"),
        (Annotated[float, Range(most=5, open_at=("most",))], (4.9,), (5.0,), "less than 5"),
        (Annotated[float, Range(-1, 1, ("least", "most"))], (0.0,), (-1.0, 1.0), "-1 to 1, without -1 and 1"),
    ],
)
def test_a_range_holds_its_numbers_and_says_so(hint, inside, outside, words):
    [allowed] = hint.__metadata__
    assert all(number in allowed for number in inside)
    assert not any(number in allowed for number in outside)
    assert str(allowed) == words


def test_people_and_editors_are_told():
    types = {setting.name: setting.type for setting in settings_of_class(Sampler)}
    assert types["size"] == "whole number, at least 1 or null"
    assert types["weights"] == "list of number, at least 0"
    properties = schema_of(Sampler)["properties"]
    assert properties["steps"] == {"type": "integer", "minimum": 1, "default": 6}
    assert properties["share"] == {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.5}
    assert properties["weights"]["items"] == {"type": "number", "minimum": 0}
    assert properties["scale"] == {"type": "number", "default": 1.0}


def numbers(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return False
    return hint in (int, float) or any(map(numbers, typing.get_args(hint)))


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets"])
def test_every_number_that_can_be_wrong_has_a_range(kind):
    configs = {name: plugins.load(kind, name).Config for name in plugins.find(kind)}
    without = {
        f"{name}.{field}"
        for name, config in configs.items()
        for field, hint in typing.get_type_hints(config).items()
        if numbers(hint) and field not in ranges_of(config) and field not in ANY | CHECKED
    }
    assert not without


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets"])
def test_every_default_lies_in_its_range(kind):
    for name in plugins.find(kind):
        config = plugins.load(kind, name).Config
        allowed = ranges_of(config)
        for field in dataclasses.fields(config):
            if field.name in allowed and isinstance(field.default, int | float):
                assert field.default in allowed[field.name], f"{name}.{field.name}"
