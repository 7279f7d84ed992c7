"""The attribute model of `avatars`: a Bayesian network, read from `attributes.yaml`, and the words for its values."""

import bisect
import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import yaml

from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Vocabulary

Phrase = tuple[str, str]  # ("is" | "has" | "wears", text)
Conditions = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Value:
    """One value of an attribute.

    weight: its base weight.
    draw: the options of the drawing style that draw it, with the choices for each.
    say: the phrases for it in prompts and captions; empty if it cannot be named.
    also: further phrases for it in captions.
    """

    weight: float
    draw: Mapping[str, tuple[str | int, ...]]
    say: tuple[Phrase, ...] = ()
    also: tuple[Phrase, ...] = ()


@dataclass(frozen=True)
class Attribute:
    """A node of the network.

    name: of the attribute.
    values: its values by name.
    factors: for conditions on attributes above it, the factors by which they change the weights of values.
    hidden: the values of other attributes that hide it.
    """

    name: str
    values: Mapping[str, Value]
    factors: tuple[tuple[Conditions, Mapping[str, float]], ...]
    hidden: Conditions

    def weights(self, above: Mapping[str, str]) -> np.ndarray:
        """P(value | attributes above), in the order of `values`."""
        weights = np.array([value.weight for value in self.values.values()])
        for when, by in self.factors:
            if _holds(when, above):
                weights *= [by.get(name, 1.0) for name in self.values]
        return weights / weights.sum()

    @functools.cached_property
    def parents(self) -> tuple[str, ...]:
        """The attributes that change its weights."""
        return tuple(dict.fromkeys(name for when, _ in self.factors for name in when))

    @functools.cached_property
    def _steps(self) -> dict[tuple[str, ...], list[float]]:
        """The results of `steps`, by the values of the parents."""
        return {}

    def steps(self, above: Mapping[str, str]) -> list[float]:
        """The cumulative sums of `weights`."""
        key = tuple(above[name] for name in self.parents)
        if key not in self._steps:
            self._steps[key] = np.cumsum(self.weights(above)).tolist()
        return self._steps[key]

    def is_hidden(self, drawn: Mapping[str, str]) -> bool:
        """Whether other attributes hide this one, so that its value cannot be seen in the image."""
        return any(drawn[name] in values for name, values in self.hidden.items())


@dataclass(frozen=True)
class Model:
    """The attribute model.

    attributes: all attributes, in the order in which they are drawn.
    nuisance: options of the drawing style that belong to no attribute, with the choices for each.
    """

    attributes: tuple[Attribute, ...]
    nuisance: Mapping[str, tuple[str, ...]]

    def sample(self, seed: int, *, balanced: bool = False, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """Draw the value of every attribute.

        balanced: draw uniformly and independently, instead of by the network.
        given: values that are set and not drawn.

        Each attribute has its own number of the stream, so a given value does not change the numbers of the others.
        """
        drawn: dict[str, str] = {}
        for attribute, u in zip(
            self.attributes, uniform(derive_seed("attributes", seed), len(self.attributes)).tolist(), strict=True
        ):
            names = list(attribute.values)
            steps = np.cumsum(np.full(len(names), 1 / len(names))).tolist() if balanced else attribute.steps(drawn)
            choice = names[min(bisect.bisect_right(steps, u), len(names) - 1)]
            drawn[attribute.name] = (given or {}).get(attribute.name, choice)
        return drawn

    def options(self, drawn: Mapping[str, str], seed: int) -> dict[str, str | int]:
        """Every option of the drawing style for these values, so that the style itself draws nothing at random."""
        choices = [
            item for attribute in self.attributes for item in attribute.values[drawn[attribute.name]].draw.items()
        ]
        choices += list(self.nuisance.items())
        picked = uniform(derive_seed("options", seed), len(choices))
        options = {name: values[int(u * len(values))] for (name, values), u in zip(choices, picked, strict=True)}
        return options | {"facialHairColor": options["hairColor"]}

    def visible(self, drawn: Mapping[str, str]) -> dict[str, str | None]:
        """The attributes of an image as they can be seen: None for a hidden one."""
        return {a.name: None if a.is_hidden(drawn) else drawn[a.name] for a in self.attributes}

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The values that can be named and how they are said. Pairs in which one hides the other are excluded."""
        excluded = [
            frozenset((f"{attribute.name}={value}", f"{cover}={covering}"))
            for attribute in self.attributes
            for value in attribute.values
            for cover, covered_by in attribute.hidden.items()
            for covering in covered_by
        ]
        phrases = {a.name: {name: value.say for name, value in a.values.items() if value.say} for a in self.attributes}
        also = {
            f"{a.name}={name}": value.also for a in self.attributes for name, value in a.values.items() if value.also
        }
        return Vocabulary(
            phrases, frozenset(excluded), also=also, qualifies={"hair_colour": "hair", "clothing_colour": "clothing"}
        )


@functools.cache
def read_model() -> Model:
    """The model in `attributes.yaml`.

    Raises ValueError for a factor, or a condition under `hidden`, that does not name a value of an attribute above.
    """
    sheet = yaml.safe_load(files(__package__).joinpath("attributes.yaml").read_text("utf-8"))
    attributes: list[Attribute] = []
    for name, node in sheet["attributes"].items():
        above = {attribute.name: attribute.values for attribute in attributes}
        values = {value: _value(spec) for value, spec in node["values"].items()}
        factors = tuple((_conditions(factor["when"], above, name), factor["by"]) for factor in node.get("factors", []))
        for unknown in set(itertools.chain.from_iterable(by for _, by in factors)) - set(values):
            raise ValueError(
                f"attributes.yaml: {name}: a factor names the value {unknown!r}, which {name} does not have"
            )
        attributes.append(Attribute(name, values, factors, _conditions(node.get("hidden", {}), above, name)))
    return Model(tuple(attributes), {name: tuple(options) for name, options in sheet["nuisance"].items()})


def _value(spec: Mapping) -> Value:
    say, also = (tuple((kind, text) for kind, text in spec.get(key, ())) for key in ("say", "also"))
    return Value(float(spec["weight"]), {name: tuple(options) for name, options in spec["draw"].items()}, say, also)


def _conditions(when: Mapping, above: Mapping[str, Mapping[str, Value]], name: str) -> Conditions:
    for parent, values in when.items():
        for value in values:
            if parent not in above or value not in above[parent]:
                raise ValueError(
                    f"attributes.yaml: {name} depends on {parent}={value}, which is no value of an attribute above it"
                )
    return {parent: tuple(values) for parent, values in when.items()}


def _holds(when: Conditions, drawn: Mapping[str, str]) -> bool:
    return all(drawn[name] in values for name, values in when.items())
