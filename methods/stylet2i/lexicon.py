"""Which attributes a sentence names: a dictionary, made from a data set's vocabulary, and a small grammar around it.

The longest phrase is matched first, and its words are used up. There are two rules of grammar:
- A value may stand before the word that it qualifies: "long blond hair", "a blond bob".
- A negation removes the phrases that it reaches: "not wearing a hat or glasses". It reaches over three content words,
  and from a phrase that it removed across "or" to the next.
Neither rule reaches across a comma or a full stop. A vocabulary may have a phrase for an absence ("no beard"). The sign
of a direction is never turned, because a network of directions is not an odd function.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.data.split import Vocabulary

ARTICLES = {"a", "an", "the", "any"}
NEGATIONS = {"no", "not", "without", "never", "cannot"}  # and words that end in n't
STOP = "."  # stands for every mark between clauses
OR, ENDS = {"or", "nor"}, {"and", "but", "with", STOP}  # words that carry a negation on, and words that end it
REACH = 3  # content words that a negation reaches over
Phrase = tuple[str, ...]


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; hyphens and apostrophes stay inside words."""
    return [token for token in _tokens(text) if token != STOP]


@dataclass(frozen=True)
class Match:
    """A literal `attribute=value` and the positions of the words that name it."""

    literal: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class Lexicon:
    """The words by which a data set's attributes are named. A literal is `attribute=value`.

    phrases: of each literal, as words without articles.
    between: of each attribute, the words that may stand between the words of a phrase.
    qualifiers: of each attribute, the qualifying words that may stand before it, each with the literal that it names.
    said: of each literal, its wordings (kind, text), where kind is "is", "has" or "wears".
    subject: who a sentence is about.
    """

    phrases: Mapping[str, Sequence[Phrase]]
    between: Mapping[str, frozenset[str]]
    qualifiers: Mapping[str, Mapping[str, str]]
    said: Mapping[str, Sequence[tuple[str, str]]]
    subject: str

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Lexicon":
        wordings = {
            f"{name}={value}": list(texts)
            for name, values in vocabulary.phrases.items()
            for value, texts in values.items()
        }
        forms = {literal: [*texts, *vocabulary.also.get(literal, ())] for literal, texts in wordings.items()}
        phrases = {literal: sorted({_phrase(text) for _, text in texts}) for literal, texts in forms.items()}
        before = {name: _before(phrases, name) for name in vocabulary.phrases}
        between, qualifiers = dict.fromkeys(before, frozenset[str]()), dict[str, dict[str, str]]()
        for name, thing in vocabulary.qualifies.items():
            if name in before and thing in before:
                between[name], between[thing] = between[name] | before[thing], between[thing] | before[name]
                qualifiers.setdefault(thing, {}).update(_qualifiers(phrases, name))
        return cls(phrases, between, qualifiers, wordings, vocabulary.subject)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Lexicon":
        """A lexicon from what `facts` returned."""
        vocabulary = Vocabulary(
            {
                name: {v: [(k, t) for k, t in texts] for v, texts in values.items()}
                for name, values in config["phrases"].items()
            },
            subject=config["subject"],
            also={literal: [(k, t) for k, t in texts] for literal, texts in config["also"].items()},
            qualifies=config["qualifies"],
        )
        return cls.of(vocabulary)

    def matches(self, text: str) -> list[Match]:
        """Every literal that a text names and does not deny, each once, in the order of the text."""
        tokens = _tokens(text)
        taken: set[int] = set()
        matches: list[Match] = []
        candidates = [(phrase, literal) for literal, phrases in self.phrases.items() for phrase in phrases]
        for phrase, literal in sorted(candidates, key=lambda pair: (-len(pair[0]), pair)):
            between = self.between[literal.partition("=")[0]]
            for places in _occurrences(tokens, phrase, between):
                if not taken.issuperset(places):
                    taken |= set(places)
                    matches.append(Match(literal, places))
        matches += self._qualified(tokens, matches, taken)
        matches = _affirmed(tokens, sorted(matches, key=lambda match: match.places))
        return [match for i, match in enumerate(matches) if match.literal not in {m.literal for m in matches[:i]}]

    def literals(self, text: str) -> list[str]:
        """The literals that a text names, each once, in the order of the text."""
        return [match.literal for match in self.matches(text)]

    def residue(self, text: str, closed: Iterable[str]) -> list[str]:
        """The words that neither a phrase nor the closed set explains; negated phrases count as unexplained."""
        used, known = {place for match in self.matches(text) for place in match.places}, {STOP, *closed}
        return [word for i, word in enumerate(_tokens(text)) if i not in used and word not in known]

    def _qualified(self, tokens: Sequence[str], matches: Sequence[Match], taken: set[int]) -> list[Match]:
        """Values before the words of another attribute, as "blond" in "a blond bob" or "red" in "a plain red t-shirt".

        tokens: the words of the text. matches: those found so far. taken: positions that are used up; more are added.
        """
        added = []
        for match in matches:
            values = self.qualifiers.get(match.literal.partition("=")[0], {})
            near = range(match.places[0] - 1, match.places[-1])
            places = [i for i in near if i >= 0 and i not in taken and tokens[i] in values]
            added += [Match(values[tokens[i]], (i,)) for i in places]
            taken |= set(places)
        return added


def facts(vocabulary: Vocabulary) -> dict[str, Any]:
    """What `Lexicon.from_config` needs, for the config of weights."""
    phrases = {
        name: {value: [list(pair) for pair in texts] for value, texts in v.items()}
        for name, v in vocabulary.phrases.items()
    }
    also = {literal: [list(pair) for pair in texts] for literal, texts in vocabulary.also.items()}
    return {"phrases": phrases, "also": also, "qualifies": dict(vocabulary.qualifies), "subject": vocabulary.subject}


def _tokens(text: str) -> list[str]:
    """Words, and STOP for each comma, semicolon, colon, full stop, exclamation and question mark."""
    tokens = re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*|[,;:.!?]", text.lower().replace("\u2019", "'"))
    return [token if token[0].isalnum() else STOP for token in tokens]


def _phrase(text: str) -> Phrase:
    return tuple(word for word in words(text) if word not in ARTICLES)


def _of(phrases: Mapping[str, Sequence[Phrase]], name: str) -> dict[str, Sequence[Phrase]]:
    return {literal: texts for literal, texts in phrases.items() if literal.partition("=")[0] == name}


def _before(phrases: Mapping[str, Sequence[Phrase]], name: str) -> frozenset[str]:
    """Every word but the last of an attribute's phrases, and the names of its values."""
    literals = _of(phrases, name)
    return frozenset(word for texts in literals.values() for text in texts for word in text[:-1]) | {
        literal.partition("=")[2] for literal in literals
    }


def _qualifiers(phrases: Mapping[str, Sequence[Phrase]], name: str) -> dict[str, str]:
    """The words that tell an attribute's values apart, with their literals.

    They are the words of phrases of one or two words that not all values share.
    """
    literals = _of(phrases, name)
    spoken = {literal: {word for text in texts for word in text} for literal, texts in literals.items()}
    shared = set.intersection(*spoken.values()) if len(spoken) > 1 else set()
    short = {
        literal: {word for text in texts if len(text) <= 2 for word in text} for literal, texts in literals.items()
    }
    return {word: literal for literal, used in short.items() for word in (used | {literal.partition("=")[2]}) - shared}


def _occurrences(tokens: Sequence[str], phrase: Phrase, between: frozenset[str]) -> list[tuple[int, ...]]:
    """The positions of each occurrence of a phrase: its words in order, with only articles or `between` among them."""
    occurrences = []
    for start in (i for i, word in enumerate(tokens) if phrase and word == phrase[0]):
        places, i = [start], start + 1
        while len(places) < len(phrase) and i < len(tokens):
            if tokens[i] == phrase[len(places)]:
                places.append(i)
            elif tokens[i] not in between and tokens[i] not in ARTICLES:
                break
            i += 1
        if len(places) == len(phrase):
            occurrences.append(tuple(places))
    return occurrences


def _affirmed(tokens: Sequence[str], matches: Sequence[Match]) -> list[Match]:
    """The matches that no negation before them reaches."""
    inside = {place for match in matches for place in match.places}
    denied, kept, before = False, [], 0  # whether the last match was denied, and where it ended
    for match in matches:
        between = [word for i, word in enumerate(tokens[before : match.places[0]], before) if i not in inside]
        carried = denied and any(word in OR for word in between) and not any(word in ENDS - {STOP} for word in between)
        denied = carried or _reached(tokens, match.places[0], inside)
        before = max(before, match.places[-1] + 1)
        kept += [] if denied else [match]
    return kept


def _reached(tokens: Sequence[str], place: int, inside: set[int]) -> bool:
    """Whether a negation stands within REACH content words before a place, and nothing between them ends it."""
    content = 0
    for i in range(place - 1, -1, -1):
        word = tokens[i]
        if word in ENDS:
            return False
        if (word in NEGATIONS or word.endswith("n't")) and i not in inside:
            return True
        content += word not in ARTICLES
        if content >= REACH:
            return False
    return False
