"""The texts that ask for attribute pairs and for single literals: four fixed templates for each, and no randomness.

The four templates are two styles (that of the training captions, and a plain one) times two orders. The template
decides which of the two paraphrases of a literal is used, so that each paraphrase occurs once in each style and once in
each place. A text mentions only the literals that it asks for.
"""

from collections.abc import Iterable, Mapping, Sequence

from t2ibench.core.errors import UserError
from t2ibench.data.split import Vocabulary
from t2ibench.tracks.contract import PAIRS, Prompt

TEMPLATES = 4


def pair_text(vocabulary: Vocabulary, i: str, j: str, template: int) -> str:
    """The text that asks for literals i and j.

    template: 0 and 1 are captions, "this person has long hair and wears glasses"; 2 and 3 are plain, "a photo of a
        person with …". Literal i comes first in 0 and 2, literal j in 1 and 3.
    """
    plain, swapped = divmod(template, 2)
    phrases = [phrase(vocabulary, literal, (plain + swapped) % 2) for literal in ((j, i) if swapped else (i, j))]
    return _plain(vocabulary, phrases) if plain else _caption(vocabulary, phrases)


def single_text(vocabulary: Vocabulary, literal: str, template: int) -> str:
    """The text that asks for one literal alone. The four templates use both paraphrases in both styles."""
    plain, other = divmod(template, 2)
    phrases = [phrase(vocabulary, literal, other)]
    return _plain(vocabulary, phrases) if plain else _caption(vocabulary, phrases)


def phrase(vocabulary: Vocabulary, literal: str, paraphrase: int) -> tuple[str, str]:
    """One of the first two paraphrases of a literal, as ("is" | "has" | "wears", text).

    Raises UserError if the vocabulary has fewer than two for it.
    """
    attribute, _, value = literal.partition("=")
    known = vocabulary.phrases[attribute][value]
    if len(known) < 2:
        raise UserError(f"vocabulary: {literal} has {len(known)} paraphrase(s), expected two; give it another wording")
    return known[paraphrase]


def build(
    vocabulary: Vocabulary, roles: Mapping[tuple[str, str], Iterable[str]], images: int, single_images: int
) -> list[Prompt]:
    """The prompts of all attribute pairs, and of each literal of a rare or near-unseen pair alone.

    The id of a prompt names the literals and the template, so the images of a pair do not depend on its roles. Seeds
    follow from ids: all methods draw one pair from the same noise, and two pairs are drawn from different noise.

    roles: for each pair of literals (i, j), what it stands for ("rare", "control" …).
    images: samples of each pair, a multiple of TEMPLATES.
    single_images: samples of each single literal, a multiple of TEMPLATES; 0: none are asked for.
    """
    prompts = []
    for (i, j), standing in roles.items():
        texts = [pair_text(vocabulary, i, j, template) for template in range(TEMPLATES)]
        prompts += _prompts((i, j), texts, sorted(standing), images // TEMPLATES)
    alone = [
        literal
        for literals, standing in roles.items()
        if {"rare", "near_unseen"} & set(standing)
        for literal in literals
    ]
    for literal in dict.fromkeys(alone if single_images else ()):
        texts = [single_text(vocabulary, literal, template) for template in range(TEMPLATES)]
        prompts += _prompts((literal,), texts, ["single"], single_images // TEMPLATES)
    return prompts


def _prompts(literals: Sequence[str], texts: Sequence[str], roles: Sequence[str], images: int) -> list[Prompt]:
    name = "+".join(literals)
    tags = [{"pair": name, "literals": list(literals), "roles": list(roles), "template": t} for t in range(len(texts))]
    return [
        Prompt(f"pairs/{name}/{tag['template']}", text, PAIRS, images, None, tag)
        for text, tag in zip(texts, tags, strict=True)
    ]


def _caption(vocabulary: Vocabulary, phrases: Sequence[tuple[str, str]]) -> str:
    return f"{vocabulary.subject} " + " and ".join(f"{verb} {text}" for verb, text in phrases)


def _plain(vocabulary: Vocabulary, phrases: Sequence[tuple[str, str]]) -> str:
    photo = f"a photo of {'an' if vocabulary.noun[0].lower() in 'aeiou' else 'a'} {vocabulary.noun}"
    if any(verb == "is" for verb, _ in phrases):  # "with bald" is no English
        return f"{photo} who " + " and ".join(f"{verb} {text}" for verb, text in phrases)
    return f"{photo} with " + " and ".join(text for _, text in phrases)
