"""Which attributes a sentence names: a dictionary, made from a data set's vocabulary, and a small grammar around it.

The longest phrase is matched first and its words are used up. Two rules of grammar: a value may stand before the word
that it qualifies ("long blond hair", "a blond bob"), and a negation takes away what it reaches ("not wearing a hat or
glasses"): three content words, and from each phrase that it took away across "or" to the next. Neither reaches across a
comma or a full stop. A vocabulary may have a phrase of its own for an absence ("no beard"); the sign of a direction is
never turned, since a network of directions is not odd.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.data.split import Vocabulary

ARTICLES = {"a", "an", "the", "any"}
NEGATIONS = {"no", "not", "without", "never", "cannot"}  # and words that end in n't
STOP = "."  # stands for every mark between clauses
OR, ENDS = {"or", "nor"}, {"and", "but", "with", STOP}  # what carries a negation on, what ends it
REACH = 3  # content words
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
    """The phrases of every literal as words, without articles; what may stand before an attribute's words; values by
    qualifying word.

    said: the wordings (kind, text) of each literal, kind "is", "has" or "wears". subject: who a sentence is about.
    """

    phrases: Mapping[str, Sequence[Phrase]]
    between: Mapping[str, frozenset[str]]
    qualifiers: Mapping[str, Mapping[str, str]]
    said: Mapping[str, Sequence[tuple[str, str]]]
    subject: str

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Lexicon":
        said = {
            f"{name}={value}": list(texts)
            for name, values in vocabulary.phrases.items()
            for value, texts in values.items()
        }
        forms = {literal: [*texts, *vocabulary.also.get(literal, ())] for literal, texts in said.items()}
        phrases = {literal: sorted({_phrase(text) for _, text in texts}) for literal, texts in forms.items()}
        before = {name: _before(phrases, name) for name in vocabulary.phrases}
        between, qualifiers = dict.fromkeys(before, frozenset[str]()), dict[str, dict[str, str]]()
        for name, thing in vocabulary.qualifies.items():
            if name in before and thing in before:
                between[name], between[thing] = between[name] | before[thing], between[thing] | before[name]
                qualifiers.setdefault(thing, {}).update(_qualifiers(phrases, name))
        return cls(phrases, between, qualifiers, said, vocabulary.subject)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Lexicon":
        """From `facts`."""
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
        found = _tokens(text)
        taken: set[int] = set()
        matches: list[Match] = []
        candidates = [(phrase, literal) for literal, phrases in self.phrases.items() for phrase in phrases]
        for phrase, literal in sorted(candidates, key=lambda pair: (-len(pair[0]), pair)):
            between = self.between[literal.partition("=")[0]]
            for places in _occurrences(found, phrase, between):
                if not taken.issuperset(places):
                    taken |= set(places)
                    matches.append(Match(literal, places))
        matches += self._qualified(found, matches, taken)
        matches = _affirmed(found, sorted(matches, key=lambda match: match.places))
        return [match for i, match in enumerate(matches) if match.literal not in {m.literal for m in matches[:i]}]

    def literals(self, text: str) -> list[str]:
        """`attribute=value` of what a text names, each once, in the order of the text."""
        return [match.literal for match in self.matches(text)]

    def residue(self, text: str, closed: Iterable[str]) -> list[str]:
        """The words that neither a phrase nor the closed set explains; negated phrases count as unexplained."""
        used, known = {place for match in self.matches(text) for place in match.places}, {STOP, *closed}
        return [word for i, word in enumerate(_tokens(text)) if i not in used and word not in known]

    def _qualified(self, found: Sequence[str], matches: Sequence[Match], taken: set[int]) -> list[Match]:
        """Values that stand before the words of another attribute: "blond" in "a blond bob", "red" in "a plain red
        t-shirt".
        """
        added = []
        for match in matches:
            values = self.qualifiers.get(match.literal.partition("=")[0], {})
            near = range(match.places[0] - 1, match.places[-1])
            places = [i for i in near if i >= 0 and i not in taken and found[i] in values]
            added += [Match(values[found[i]], (i,)) for i in places]
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
    found = re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*|[,;:.!?]", text.lower().replace("\u2019", "'"))
    return [token if token[0].isalnum() else STOP for token in found]


def _phrase(text: str) -> Phrase:
    return tuple(word for word in words(text) if word not in ARTICLES)


def _of(phrases: Mapping[str, Sequence[Phrase]], name: str) -> dict[str, Sequence[Phrase]]:
    return {literal: texts for literal, texts in phrases.items() if literal.partition("=")[0] == name}


def _before(phrases: Mapping[str, Sequence[Phrase]], name: str) -> frozenset[str]:
    """Words that stand before the last of some phrase of an attribute, and the names of its values."""
    own = _of(phrases, name)
    return frozenset(word for texts in own.values() for text in texts for word in text[:-1]) | {
        lit.partition("=")[2] for lit in own
    }


def _qualifiers(phrases: Mapping[str, Sequence[Phrase]], name: str) -> dict[str, str]:
    """The words that tell an attribute's values apart: those of its phrases of one or two words that not all values
    share.
    """
    own = _of(phrases, name)
    spoken = {literal: {word for text in texts for word in text} for literal, texts in own.items()}
    shared = set.intersection(*spoken.values()) if len(spoken) > 1 else set()
    short = {literal: {word for text in texts if len(text) <= 2 for word in text} for literal, texts in own.items()}
    return {word: literal for literal, said in short.items() for word in (said | {literal.partition("=")[2]}) - shared}


def _occurrences(found: Sequence[str], phrase: Phrase, between: frozenset[str]) -> list[tuple[int, ...]]:
    """Places where a phrase stands: its words in order with articles, or words of `between`, between them only."""
    occurrences = []
    for start in (i for i, word in enumerate(found) if phrase and word == phrase[0]):
        places, i = [start], start + 1
        while len(places) < len(phrase) and i < len(found):
            if found[i] == phrase[len(places)]:
                places.append(i)
            elif found[i] not in between and found[i] not in ARTICLES:
                break
            i += 1
        if len(places) == len(phrase):
            occurrences.append(tuple(places))
    return occurrences


def _affirmed(found: Sequence[str], matches: Sequence[Match]) -> list[Match]:
    """The matches that no negation before them reaches."""
    inside = {place for match in matches for place in match.places}
    denied, kept, before = False, [], 0  # whether the last match was denied, and where it ended
    for match in matches:
        between = [word for i, word in enumerate(found[before : match.places[0]], before) if i not in inside]
        carried = denied and any(word in OR for word in between) and not any(word in ENDS - {STOP} for word in between)
        denied = carried or _reached(found, match.places[0], inside)
        before = max(before, match.places[-1] + 1)
        kept += [] if denied else [match]
    return kept


def _reached(found: Sequence[str], place: int, inside: set[int]) -> bool:
    """Whether a negation stands within REACH content words before a place, and nothing between them ends it."""
    content = 0
    for i in range(place - 1, -1, -1):
        word = found[i]
        if word in ENDS:
            return False
        if (word in NEGATIONS or word.endswith("n't")) and i not in inside:
            return True
        content += word not in ARTICLES
        if content >= REACH:
            return False
    return False
