"""t2ibench/core/plugins.py: a plug-in is read by its contract, and what it lacks has the default that stands there."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Protocol

import pytest

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import by_contract, complete
from t2ibench.data.contract import load_dataset
from t2ibench.scoring.contract import load_metric
from t2ibench.tracks.contract import load_method


class Kettle(Protocol):
    Config: type
    colour: str = "grey"
    whistle: Callable[[str], str] | None = None

    @abstractmethod
    def boil(self, litres: float) -> str: ...

    def fill(self, litres: float) -> float:
        return 2 * litres


def module(**members):
    return SimpleNamespace(Config=dict, boil=lambda litres: f"{litres} boiled", **members)


def test_members_are_those_of_the_module_and_the_rest_are_defaults():
    bare = module()
    kettle = by_contract(Kettle, bare, "kettles: bare")
    assert (kettle.colour, kettle.whistle, kettle.fill(2.0), kettle.boil(1.0)) == ("grey", None, 4.0, "1.0 boiled")
    assert kettle.Config is dict
    assert not hasattr(bare, "colour")  # the module stays as it is
    rich = by_contract(Kettle, module(colour="red", whistle=str.upper, fill=lambda litres: litres), "kettles: rich")
    assert rich.whistle is not None
    assert (rich.colour, rich.whistle("u"), rich.fill(2.0)) == ("red", "U", 2.0)


def test_a_member_can_be_replaced():
    assert by_contract(Kettle, module(), "kettles: bare", boil=lambda litres: "cold").boil(1.0) == "cold"


@pytest.mark.parametrize("missing", ["Config", "boil"])
def test_a_missing_member_is_named_in_one_line(missing):
    members = {"Config": dict, "boil": str, missing: None}
    del members[missing]
    with pytest.raises(UserError, match=rf"^kettles: bare has no {missing}: Kettle in \S+ states what it must have$"):
        by_contract(Kettle, SimpleNamespace(**members), "kettles: bare")


class Parts(Protocol):
    cost: Mapping[str, float] = {}
    name: str | None = None


class Slotted:
    __slots__ = ("cost",)

    def __init__(self) -> None:
        self.cost = {"seconds": 1.0}


def test_an_object_keeps_what_it_has_and_gets_what_it_lacks():
    made = complete(Parts, Slotted())
    assert (made.cost, made.name) == ({"seconds": 1.0}, None)


def test_every_plugin_has_what_its_contract_asks_for():
    """Those that ship; a plug-in of tomorrow is loaded here too."""
    for kind, load in (("methods", load_method), ("metrics", load_metric), ("datasets", load_dataset)):
        for name in plugins.find(kind):
            assert load(name).Config is plugins.load(kind, name).Config
