"""The texts that ask for attribute pairs and for single literals: four fixed templates each, nothing left to chance.

Two styles (the training captions' and a plain one) times two orders; which of a literal's two paraphrases is said
follows from the template, so each is said once in either style and once in either place. Only the literals asked about
are mentioned.
"""

from collections.abc import Iterable, Mapping, Sequence

from t2ibench.core.errors import UserError
from t2ibench.data.split import Vocabulary
from t2ibench.tracks.contract import PAIRS, Prompt

TEMPLATES = 4


def pair_text(vocabulary: Vocabulary, i: str, j: str, template: int) -> str:
    """Template 0, 1: "this person has long hair and wears glasses", i first then j first; 2, 3: "a photo of a person
    with …".
    """
    plain, swapped = divmod(template, 2)
    said = [phrase(vocabulary, literal, (plain + swapped) % 2) for literal in ((j, i) if swapped else (i, j))]
    return _plain(vocabulary, said) if plain else _caption(vocabulary, said)


def single_text(vocabulary: Vocabulary, literal: str, template: int) -> str:
    """One literal alone: both paraphrases in both styles."""
    plain, other = divmod(template, 2)
    said = [phrase(vocabulary, literal, other)]
    return _plain(vocabulary, said) if plain else _caption(vocabulary, said)


def phrase(vocabulary: Vocabulary, literal: str, paraphrase: int) -> tuple[str, str]:
    """How a literal is said, ("is" | "has" | "wears", text).

    Raises UserError where the vocabulary lacks the two paraphrases.
    """
    attribute, _, value = literal.partition("=")
    known = vocabulary.phrases[attribute][value]
    if len(known) < 2:
        raise UserError(f"vocabulary: {literal} has {len(known)} paraphrase(s), expected two; give it another wording")
    return known[paraphrase]


def build(
    vocabulary: Vocabulary, roles: Mapping[tuple[str, str], Iterable[str]], images: int, single_images: int
) -> list[Prompt]:
    """The prompts of all pairs, and of each literal of a rare or near-unseen pair alone, with `images`
    (`single_images`) samples a pair.

    roles: for each pair (i, j) what it stands for ("rare", "control" …). An id names the literals and the template, so
    a pair's images do not depend on which lists it is in. Seeds follow from ids: methods draw a pair from the same
    noise, two pairs from different noise. The counts are multiples of TEMPLATES.
    """
    prompts = []
    for (i, j), parts in roles.items():
        texts = [pair_text(vocabulary, i, j, template) for template in range(TEMPLATES)]
        prompts += _prompts((i, j), texts, sorted(parts), images // TEMPLATES)
    alone = [literal for pair, parts in roles.items() if {"rare", "near_unseen"} & set(parts) for literal in pair]
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


def _caption(vocabulary: Vocabulary, said: Sequence[tuple[str, str]]) -> str:
    return f"{vocabulary.subject} " + " and ".join(f"{verb} {text}" for verb, text in said)


def _plain(vocabulary: Vocabulary, said: Sequence[tuple[str, str]]) -> str:
    photo = f"a photo of {'an' if vocabulary.noun[0].lower() in 'aeiou' else 'a'} {vocabulary.noun}"
    if any(verb == "is" for verb, _ in said):  # "with bald" is no English
        return f"{photo} who " + " and ".join(f"{verb} {text}" for verb, text in said)
    return f"{photo} with " + " and ".join(text for _, text in said)
