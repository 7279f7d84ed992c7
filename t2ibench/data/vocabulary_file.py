"""How the attributes of somebody's own images are said: a file `vocabulary.yaml` beside the images.

    subject: this bird                # captions of attributes begin with it: "this bird has a red crown"
    noun: bird                        # "a photo of a bird with a red crown"
    phrases:
      crown:
        red: [has a red crown, has red feathers on its head]     # two ways to say it; one alone is used twice
        striped: has a striped crown
        none: null                                               # no text asks for it
      camera: null                                               # nor for any value of this attribute
    excluded: [[crown=red, size=hidden]]        # pairs that no image can show, or that mean the same
    complements: {crown=red: crown=striped}     # for a literal, its opposite

Every key may be left out. An attribute that `phrases` does not name is said as without the file.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.split import Vocabulary

NAME = "vocabulary.yaml"
KEYS = ("subject", "noun", "phrases", "excluded", "complements")
VERBS = ("is", "has", "wears")
YES_OR_NO = {"true", "false", "0", "1", "yes", "no"}
Phrases = dict[str, dict[str, Sequence[tuple[str, str]]]]


def vocabulary_of(table: pd.DataFrame, path: Path) -> Vocabulary:
    """The vocabulary of an attribute table, as the file at `path` says it; a plain one if there is no file.

    Raises UserError for a file that is no YAML, and for a key, an attribute or a value that does not exist.
    """
    phrases = plain_phrases(table)
    if not path.is_file():
        return Vocabulary(phrases)
    content = _content(path)
    known = {f"{name}={value}" for name in table for value in table[name].dropna().unique()}
    for attribute, values in _mapping(content.get("phrases"), f"{path}: phrases").items():
        where = f"{path}: phrases: {attribute}"
        if attribute not in phrases:
            raise UserError(f"{where}: no attribute has this name{did_you_mean(attribute, phrases)}")
        if values is None:
            del phrases[attribute]
            continue
        for value, words in _mapping(values, where).items():
            if f"{attribute}={value}" not in known:
                there = [literal.partition("=")[2] for literal in known if literal.startswith(f"{attribute}=")]
                raise UserError(f"{where}: no image has the value {value!r}{did_you_mean(value, there)}")
            phrases[attribute].pop(value, None)
            if words is not None:
                phrases[attribute][value] = _paraphrases(words, f"{where}: {value}")
    pairs = content.get("excluded") or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise UserError(f"{path}: excluded: expected pairs such as [[crown=red, size=hidden]], found {pairs!r}")
    complements = _mapping(content.get("complements"), f"{path}: complements")
    for literal in [*(literal for pair in pairs for literal in pair), *complements, *complements.values()]:
        if literal not in known:
            raise UserError(f"{path}: no image shows {literal!r}{did_you_mean(str(literal), sorted(known))}")
    return Vocabulary(
        phrases,
        frozenset(frozenset(pair) for pair in pairs),
        complements,
        subject=_words(content, "subject", path, Vocabulary.subject),
        noun=_words(content, "noun", path, Vocabulary.noun),
    )


def plain_phrases(table: pd.DataFrame) -> Phrases:
    """What a table says without a file: a value is said as "has <value> <attribute>".

    Columns of yes and no are said by the name of the column alone.
    """
    phrases: Phrases = {}
    for column in table:
        noun, values = str(column).replace("_", " "), sorted({value for value in table[column] if value is not None})
        if set(values) <= YES_OR_NO:
            phrases[str(column)] = {value: [("has", noun)] * 2 for value in values if value in ("true", "1", "yes")}
        else:
            phrases[str(column)] = {value: [("has", f"{value.replace('_', ' ')} {noun}")] * 2 for value in values}
    return phrases


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text("utf-8-sig"), yaml.BaseLoader)  # every value is a string: no `no` is False
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise UserError(f"{path}: cannot be read as YAML ({reason}): see docs/own_data.md") from error
    content = _nulls(content)
    for key in _mapping(content, str(path)):
        if key not in KEYS:
            raise UserError(f"{path}: unknown key {key!r}{did_you_mean(key, KEYS)}; expected {', '.join(KEYS)}")
    return content or {}


def _nulls(content: Any) -> Any:
    """The content with None for values that are empty or say `null`."""
    if isinstance(content, dict):
        return {key: _nulls(value) for key, value in content.items()}
    return None if content in ("", "null", "~") else content


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: found {value!r}, expected a mapping, a line `name: …` for each")
    return value


def _words(content: Mapping[str, Any], key: str, path: Path, default: str) -> str:
    value = content.get(key) or default
    if not isinstance(value, str):
        raise UserError(f"{path}: {key}: found {value!r}, expected a few words such as {default!r}")
    return value


def _paraphrases(words: Any, where: str) -> list[tuple[str, str]]:
    """Two (verb, text) pairs from a text or a list of texts, each of which begins with its verb."""
    texts = [words] if isinstance(words, str) else words
    pairs = []
    for text in texts if isinstance(texts, list) else [texts]:
        verb, _, rest = text.strip().partition(" ") if isinstance(text, str) else ("", "", "")
        if verb not in VERBS or not rest.strip():
            raise UserError(
                f"{where}: found {text!r}, expected a text that begins with {', '.join(VERBS[:-1])} or {VERBS[-1]}, "
                f"such as 'has a red crown'"
            )
        pairs.append((verb, rest.strip()))
    return pairs * 2 if len(pairs) == 1 else pairs
