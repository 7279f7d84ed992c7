"""The texts that ask for an edit: a neutral one, "a person", and for each literal a target text that adds this literal
and nothing else. Or the target texts themselves, for images of which no attribute is known.

The first paraphrase of a literal is used: "a person with short hair", "a person wearing glasses", "a smiling person".
"""

import re
from collections.abc import Sequence

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.attributes import attribute_of, canonical, indicators, literal_set
from t2ibench.data.split import Split, Vocabulary
from t2ibench.tracks.contract import EDITS, SOURCES, Prompt

# A literal is an edit by default if at least 2 % of the training images show it, so that methods know it, and at most
# 60 %, so that most sources do not show it already.
SHARES = (0.02, 0.6)


def build(train: Split, literals: Sequence[str], neutral: str | None, images: int, where: str) -> list[Prompt]:
    """One prompt for the sources and one for each edit, whose tags are attribute, value, neutral and target.

    literals: the edits, "attribute=value" each; empty: those of `default_literals`.
    neutral: the neutral text, which ends with its noun; None: that of the vocabulary.
    images: samples of each prompt.
    where: how error lines begin.

    Raises UserError for a data set without vocabulary, and for a literal that the vocabulary cannot name.
    """
    vocabulary = train.vocabulary
    if vocabulary is None:
        raise UserError(
            f"{where}: {train.dataset} has no vocabulary, so its attributes cannot be said: use another data set"
        )
    before = neutral or neutral_text(vocabulary)
    literals = list(literals) or default_literals(train, vocabulary)
    if not literals:
        raise UserError(
            f"{where}: no literal is shown by {SHARES[0]:.0%} to {SHARES[1]:.0%} of the training images: name some "
            f"(literals)"
        )
    prompts = [Prompt("source", before, SOURCES, images, None, {"neutral": before})]
    for literal in literals:
        text = target_text(before, phrase(vocabulary, literal, where))
        attribute, _, value = literal.partition("=")
        tags = {"attribute": attribute, "value": value, "neutral": before, "target": text}
        prompts.append(Prompt(f"edits/{literal}", text, EDITS, images, None, tags))
    return prompts


def given(texts: Sequence[str], neutral: str | None, images: int, where: str) -> list[Prompt]:
    """One prompt for the sources and one for each target text, whose tags are neutral and target.

    Raises UserError without a neutral text, and for a text that is empty, says what the neutral one says, or stands
    there twice.
    """
    if neutral is None:
        raise UserError(f"{where}: texts say what images become, expected `neutral` beside them: what they are before")
    prompts = [Prompt("source", neutral, SOURCES, images, None, {"neutral": neutral})]
    for text in texts:
        name = re.sub(r"[\W_]+", "-", text.lower()).strip("-")
        if not name or text == neutral or f"edits/{name}" in [prompt.id for prompt in prompts]:
            raise UserError(f"{where}: texts: {text!r} is empty, stands there twice, or asks for no change: correct it")
        prompts.append(Prompt(f"edits/{name}", text, EDITS, images, None, {"neutral": neutral, "target": text}))
    return prompts


def neutral_text(vocabulary: Vocabulary) -> str:
    """The noun of a vocabulary with its article: "a person"."""
    return f"{_article(vocabulary.noun)} {vocabulary.noun}"


def target_text(neutral: str, paraphrase: tuple[str, str]) -> str:
    """The neutral text with one paraphrase added.

    Examples: "a smiling person", "a person who is fast asleep", "a person with short hair", "a person wearing glasses".

    neutral: a text that ends with its noun.
    paraphrase: ("is" | "has" | "wears", text).
    """
    kind, text = paraphrase
    if kind == "has":
        return f"{neutral} with {text}"
    if kind == "wears":
        return f"{neutral} wearing {text}"
    if " " in text:
        return f"{neutral} who is {text}"
    *words, noun = neutral.split()
    if words and words[-1].lower() in ("a", "an"):
        words[-1] = words[-1][0] + _article(text)[1:]
    return " ".join([*words, text, noun])


def default_literals(train: Split, vocabulary: Vocabulary) -> list[str]:
    """The literals of the vocabulary, in its order, that a share of the training images within SHARES shows."""
    literals = literal_set(vocabulary)
    if train.attributes is None or not literals:
        return []
    shown = indicators(canonical(train.attributes, dict.fromkeys(map(attribute_of, literals))), literals)
    return [
        literal for literal, share in zip(literals, shown.mean(axis=0), strict=True) if SHARES[0] <= share <= SHARES[1]
    ]


def phrase(vocabulary: Vocabulary, literal: str, where: str) -> tuple[str, str]:
    """The first paraphrase of a literal, as ("is" | "has" | "wears", text).

    Raises UserError if it has none, and names the nearest literal that has one.
    """
    attribute, equals, value = literal.partition("=")
    if not equals:
        raise UserError(
            f"{where}: literals: found {literal!r}, expected attribute=value such as {literal_set(vocabulary)[0]}"
        )
    if attribute not in vocabulary.phrases:
        raise UserError(
            f"{where}: literals: no attribute is called {attribute!r}{did_you_mean(attribute, vocabulary.phrases)}"
        )
    paraphrases = vocabulary.phrases[attribute]
    if not paraphrases.get(value):
        near = did_you_mean(value, paraphrases)
        raise UserError(
            f"{where}: literals: {literal} cannot be said{near}; {attribute} may be {', '.join(paraphrases)}"
        )
    return paraphrases[value][0]


def _article(word: str) -> str:
    return "an" if word[0].lower() in "aeiou" else "a"
