"""Attributes of sentences: against captions whose attributes are known, and by the rules of the grammar one at a
time.
"""

import json

import pytest
from stylet2i_tiny import WORDS

from t2ibench.data.split import Vocabulary
from t2ibench.datasets.avatars.grammar import captions
from t2ibench.datasets.avatars.model import read_model
from t2ibench.methods.stylet2i.lexicon import Lexicon, facts, words

# A part of the vocabulary of MM-CelebA-HQ's captions, where "no beard" is a phrase of its own and gender is said by
# pronouns.
FACES = Lexicon.of(
    Vocabulary(
        {
            "gender": {
                "man": [("is", "a man"), ("is", "he"), ("has", "his"), ("has", "him")],
                "woman": [("is", "a woman"), ("is", "she"), ("has", "her")],
            },
            "wavy_hair": {"yes": [("has", "wavy hair")]},
            "hair_colour": {"black": [("has", "black hair")], "blond": [("has", "blond hair")]},
            "beard": {"yes": [("has", "a beard")], "no": [("has", "no beard")]},
            "makeup": {"yes": [("wears", "makeup")], "heavy": [("wears", "heavy makeup")]},
            "lipstick": {"yes": [("wears", "lipstick")]},
            "hat": {"yes": [("wears", "a hat")]},
            "eyeglasses": {"yes": [("wears", "eyeglasses")]},
            "smiling": {"yes": [("is", "smiling")]},
        }
    )
)
CLOSED = ["he", "she", "man", "woman", "person", "this", "the", "has", "is", "and", "wears", "wearing"]
SQUARES = Lexicon.of(WORDS)


def named(text: str) -> set[str]:
    return set(FACES.literals(text))


def test_captions_of_avatars_name_exactly_what_their_grammar_mentions():
    model = read_model()
    lexicon = Lexicon.of(model.vocabulary)
    for seed in range(120):
        visible = model.visible(model.sample(seed, balanced=seed % 2 == 0))
        for text, mentioned in zip(*captions(model, visible, seed), strict=True):
            assert sorted(lexicon.literals(text)) == mentioned, text


def test_sentences_of_the_specification():
    assert named("he has no beard") == {"gender=man", "beard=no"}
    assert named("she is not wearing lipstick") == {"gender=woman"}
    assert named("this man has wavy hair and is wearing lipstick") == {"gender=man", "wavy_hair=yes", "lipstick=yes"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("she wears heavy makeup", {"gender=woman", "makeup=heavy"}),  # the longer phrase uses up the word
        ("He has Black hair, wavy hair.", {"gender=man", "hair_colour=black", "wavy_hair=yes"}),
        ("he smiles", {"gender=man"}),  # no part of a word is a word
        ("the chemistry of a beardless person", set()),
        ("", set()),
    ],
)
def test_phrases_are_whole_words_and_the_longest_first(text, expected):
    assert named(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a person without a hat", set()),
        ("this person isn't smiling", set()),
        ("this person isn\u2019t smiling", set()),
        ("a person with no hat or eyeglasses", set()),  # carried on
        ("a person with no hat and eyeglasses", {"eyeglasses=yes"}),  # ended
        ("no hat, eyeglasses", {"eyeglasses=yes"}),
        ("not a person who is in any way smiling", {"smiling=yes"}),  # too far away
        ("a person who is not smiling but wears a hat", {"hat=yes"}),
        (
            "this person has no beard and is smiling",
            {"beard=no", "smiling=yes"},
        ),  # the phrase's own "no" reaches nothing else
        ("not without a hat", set()),  # removes; never turns a sign twice
    ],
)
def test_a_negation_removes_what_it_reaches(text, expected):
    assert named(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("this person has long blond hair", ["hair=long", "colour=blond"]),
        ("a golden bob haircut", ["colour=blond", "hair=bob"]),
        ("long straight red hair and a hat", ["hair=long", "colour=red", "hat=yes"]),
        ("a red pageboy", ["colour=red", "hair=bob"]),
        ("a red hat", ["hat=yes"]),  # the colour qualifies hair alone
        ("something red, a bob", ["hair=bob"]),  # not across a comma
    ],
)
def test_a_value_may_stand_before_what_it_qualifies(text, expected):
    assert SQUARES.literals(text) == expected


def test_each_attribute_is_named_once_and_asking_again_changes_nothing():
    text = "he is a man, his hair is black hair and he has black hair"
    found = FACES.literals(text)
    assert found == ["gender=man", "hair_colour=black"] == FACES.literals(text)
    assert FACES.literals(" ".join(words(text))) == found


def test_nothing_is_left_unexplained_in_captions_of_the_closed_grammar():
    for text in (
        "he has black hair and no beard",
        "this woman is smiling and is wearing lipstick",
        "the person wears a hat",
    ):
        assert FACES.residue(text, [*CLOSED, "a"]) == []
    assert FACES.residue("he has a necktie", [*CLOSED, "a"]) == ["necktie"]


def test_a_card_gives_the_lexicon_back():
    stored = json.loads(json.dumps(facts(WORDS), sort_keys=True))
    text = "long blond hair and no hat, a red pageboy"
    assert Lexicon.from_config(stored).literals(text) == SQUARES.literals(text)
    assert Lexicon.from_config(stored).said == SQUARES.said
