"""Captions of `avatars`: each mentions three to six true attributes of an image, in varying words and order."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.datasets.avatars.model import Model, Phrase

T = TypeVar("T")
CAPTIONS = 5
# Hair and clothes may be said together with their colour, which goes where the braces are.
COLOURED = {
    ("hair", "hair_colour"): {
        "short": ("has", ("short {} hair", "a short {} haircut")),
        "long": ("has", ("long {} hair", "long straight {} hair")),
        "bob": ("has", ("a {} bob", "a {} bob haircut")),
        "bun": ("has", ("a {} hair bun", "{} hair in a bun")),
        "curly": ("has", ("curly {} hair", "big {} curls")),
        "afro": ("has", ("a {} afro", "a {} afro hairstyle")),
        "dreads": ("has", ("{} dreadlocks", "long {} dreads")),
    },
    ("clothing", "clothing_colour"): {
        "tshirt": ("wears", ("a {} t-shirt", "a plain {} t-shirt")),
        "hoodie": ("wears", ("a {} hoodie", "a {} hooded sweatshirt")),
        "blazer": ("wears", ("a {} blazer", "a {} suit jacket")),
        "overalls": ("wears", ("{} overalls", "{} dungarees")),
    },
}
OPENINGS = ("a photo of", "a portrait of", "a picture of", "an avatar of")


class Choices:
    """Successive random choices from one stream."""

    def __init__(self, seed: int) -> None:
        self._numbers = iter(uniform(seed, 64).tolist())

    def one(self, options: Sequence[T]) -> T:
        return options[int(next(self._numbers) * len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        keys = [next(self._numbers) for _ in items]
        return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


def captions(model: Model, visible: Mapping[str, str | None], seed: int) -> tuple[list[str], list[list[str]]]:
    """Five captions of an image with these attributes, and for each the literals `attribute=value` that it mentions."""
    pairs = [caption(model, visible, Choices(derive_seed("caption", seed, k))) for k in range(CAPTIONS)]
    return [text for text, _ in pairs], [mentions for _, mentions in pairs]


def caption(model: Model, visible: Mapping[str, str | None], choices: Choices) -> tuple[str, list[str]]:
    """One caption and the literals that it mentions."""
    values = {attribute.name: attribute.values for attribute in model.attributes}
    nameable = [name for name, value in visible.items() if value is not None and values[name][value].say]
    mentioned = choices.shuffled(nameable)[: choices.one((3, 4, 5, 6))]
    phrases = _phrases(model, {name: visible[name] for name in mentioned}, choices)  # type: ignore[misc]
    text = choices.one((_noun_phrase, _sentence))(phrases, choices)
    return text, sorted(f"{name}={visible[name]}" for name in mentioned)


def _phrases(model: Model, mentioned: Mapping[str, str], choices: Choices) -> dict[str, Phrase]:
    """The phrase for each mentioned attribute. A thing and its colour become one phrase, by the name of the thing."""
    values = {attribute.name: attribute.values for attribute in model.attributes}
    phrases = {
        name: choices.one(values[name][value].say + values[name][value].also) for name, value in mentioned.items()
    }
    for (thing, colour), forms in COLOURED.items():
        if thing in mentioned and colour in mentioned:
            kind, patterns = forms[mentioned[thing]]
            phrases[thing] = (kind, choices.one(patterns).format(mentioned[colour]))
            del phrases[colour]
    return phrases


def _noun_phrase(phrases: Mapping[str, Phrase], choices: Choices) -> str:
    """A noun phrase: `a photo of a smiling person with long hair, wearing a red hoodie, on a blue background`."""
    others = dict(phrases)
    background = others.pop("background", None)
    adjectives, has, wears = (_texts(others, kind) for kind in ("is", "has", "wears"))
    text = " ".join(["a", *adjectives, "person"])
    if choices.one((True, False)):
        text += f" with {_listed(has)}" if has else ""
        text += f"{',' if has else ''} wearing {_listed(wears)}" if wears else ""
    elif has or wears:
        text += f" with {_listed([*wears, *has])}"
    if background is not None and choices.one((True, False, False)):
        return f"{choices.one(('on', 'against'))} {background[1]}, {text}"
    if background is not None:
        text += f"{',' if has or wears else ''} {choices.one(('on', 'against', 'in front of'))} {background[1]}"
    return f"{choices.one(OPENINGS)} {text}" if choices.one((True, False)) else text


def _sentence(phrases: Mapping[str, Phrase], choices: Choices) -> str:
    """A sentence: `this person wears a red hoodie, is smiling and has long hair`."""
    grouped = {kind: _texts(phrases, kind) for kind in choices.shuffled(("is", "has", "wears"))}
    clauses = [f"{kind} {_listed(texts)}" for kind, texts in grouped.items() if texts]
    return (
        f"{choices.one(('this person', 'the person', 'this avatar'))} "
        f"{_listed(clauses, ', and ' if len(clauses) > 2 else ' and ')}"
    )


def _texts(phrases: Mapping[str, Phrase], kind: str) -> list[str]:
    return [text for kind_of_phrase, text in phrases.values() if kind_of_phrase == kind]


def _listed(items: Sequence[str], last: str = " and ") -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + last + items[-1]
