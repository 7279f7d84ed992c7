"""The texts that ask for an edit: a neutral one, "a person", and for each literal one that differs from it by that
literal alone.

A literal is said by the first of its paraphrases: "a person with short hair", "a person wearing glasses", "a smiling
person".
"""

from collections.abc import Sequence

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.attributes import attribute_of, canonical, indicators, literal_set
from t2ibench.data.split import Split, Vocabulary
from t2ibench.tracks.contract import EDITS, SOURCES, Prompt

SHARES = (
    0.02,
    0.6,
)  # of the training images that show a literal, for those that are edits by default: known, and not already there


def build(train: Split, literals: Sequence[str], neutral: str | None, images: int, where: str) -> list[Prompt]:
    """One prompt of the sources and one of each edit, `images` samples each; `where` begins error lines.

    literals: "attribute=value" each; none: every literal that can be said and that a share of the training images
    within SHARES shows. Tags: attribute, value, neutral and target. Raises UserError for a data set without words, and
    for literals it cannot say.
    """
    vocabulary = train.vocabulary
    if vocabulary is None:
        raise UserError(
            f"{where}: {train.dataset} has no vocabulary, so its attributes cannot be said: use another data set"
        )
    before = neutral or neutral_text(vocabulary)
    asked = list(literals) or default_literals(train, vocabulary)
    if not asked:
        raise UserError(
            f"{where}: no literal is shown by {SHARES[0]:.0%} to {SHARES[1]:.0%} of the training images: name some "
            f"(literals)"
        )
    prompts = [Prompt("source", before, SOURCES, images, None, {"neutral": before})]
    for literal in asked:
        text = target_text(before, phrase(vocabulary, literal, where))
        attribute, _, value = literal.partition("=")
        tags = {"attribute": attribute, "value": value, "neutral": before, "target": text}
        prompts.append(Prompt(f"edits/{literal}", text, EDITS, images, None, tags))
    return prompts


def neutral_text(vocabulary: Vocabulary) -> str:
    """ "a person"."""
    return f"{_article(vocabulary.noun)} {vocabulary.noun}"


def target_text(neutral: str, said: tuple[str, str]) -> str:
    """The neutral text, which ends with its noun, with one thing more: "a smiling person", "a person who is fast
    asleep", "a person with short hair", "a person wearing glasses".
    """
    kind, text = said
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
    """The literals that can be said and that a share of the images within SHARES shows, in the order of the
    vocabulary.
    """
    literals = literal_set(vocabulary)
    if train.attributes is None or not literals:
        return []
    shown = indicators(canonical(train.attributes, dict.fromkeys(map(attribute_of, literals))), literals)
    return [
        literal for literal, share in zip(literals, shown.mean(axis=0), strict=True) if SHARES[0] <= share <= SHARES[1]
    ]


def phrase(vocabulary: Vocabulary, literal: str, where: str) -> tuple[str, str]:
    """The first paraphrase of a literal, ("is" | "has" | "wears", text).

    Raises UserError where it has none, with the nearest that has.
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
    said = vocabulary.phrases[attribute]
    if not said.get(value):
        near = did_you_mean(value, said)
        raise UserError(f"{where}: literals: {literal} cannot be said{near}; {attribute} may be {', '.join(said)}")
    return said[value][0]


def _article(word: str) -> str:
    return "an" if word[0].lower() in "aeiou" else "a"
