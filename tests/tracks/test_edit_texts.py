"""t2ibench/tracks/edit_texts.py: an edit is asked for in English, and differs from the neutral text by one literal
alone.
"""

import numpy as np
import pandas as pd
import pytest

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split, Vocabulary
from t2ibench.data.stores import ArrayImages
from t2ibench.datasets.avatars.model import read_model
from t2ibench.tracks.edit_texts import build, default_literals, given, neutral_text, target_text

WORDS = Vocabulary(
    {
        "mouth": {"smiling": [("is", "smiling"), ("has", "a smile")]},
        "mood": {"angry": [("is", "angry")], "asleep": [("is", "fast asleep")]},
        "hair": {"long": [("has", "long hair")], "bald": [("is", "bald")]},
        "eyewear": {"glasses": [("wears", "glasses")], "none": []},
    }
)


def split(shares: dict[str, float] | None = None, vocabulary: Vocabulary | None = WORDS) -> Split:
    """100 training images; `shares` of them show a literal."""
    columns: dict[str, list[str | None]] = {}
    for literal, share in (shares or {}).items():
        attribute, _, value = literal.partition("=")
        columns.setdefault(attribute, [None] * 100)[: round(100 * share)] = [value] * round(100 * share)
    table = pd.DataFrame({name: columns.get(name, [None] * 100) for name in WORDS.phrases}, dtype=object)
    images = ArrayImages(np.zeros((100, 3, 2, 2), np.uint8), [""] * 100)
    return Split("faces", "train", [str(i) for i in range(100)], images, [()] * 100, table, vocabulary)


@pytest.mark.parametrize(
    ("neutral", "said", "target"),
    [
        ("a person", ("is", "smiling"), "a smiling person"),
        ("a person", ("is", "angry"), "an angry person"),
        ("an avatar", ("is", "bald"), "a bald avatar"),
        ("An avatar", ("is", "bald"), "A bald avatar"),
        ("a photo of a face", ("is", "angry"), "a photo of an angry face"),
        ("face", ("is", "angry"), "angry face"),
        ("a person", ("is", "fast asleep"), "a person who is fast asleep"),
        ("a person", ("has", "long hair"), "a person with long hair"),
        ("a person", ("wears", "glasses"), "a person wearing glasses"),
    ],
)
def test_a_target_is_english(neutral, said, target):
    assert target_text(neutral, said) == target


def test_the_neutral_text_is_the_noun_with_its_article():
    assert neutral_text(WORDS) == "a person"
    assert neutral_text(Vocabulary({}, noun="avatar")) == "an avatar"


def test_every_literal_of_avatars_can_be_asked_for():
    vocabulary = read_model().vocabulary
    said = {
        f"{name}={value}": phrases[0]
        for name, values in vocabulary.phrases.items()
        for value, phrases in values.items()
    }
    texts = {literal: target_text("a person", phrase) for literal, phrase in said.items()}
    assert len(texts) == len(set(texts.values())) == 50
    known = {
        "eyewear=glasses": "a person wearing glasses",
        "mouth=smiling": "a smiling person",
        "mouth=serious": "a person with a serious look",
        "hair=bald": "a bald person",
        "hair=afro": "a person with an afro",
        "hair_colour=blond": "a person with blond hair",
        "facial_hair=beard": "a person with a beard",
        "eyes=closed": "a person with closed eyes",
        "clothing=hoodie": "a person wearing a hoodie",
        "clothing_colour=red": "a person wearing red clothes",
        "background=blue": "a person with a blue background",
    }
    assert {literal: texts[literal] for literal in known} == known


def test_edits_share_one_prompt_of_sources_and_are_tagged_for_the_metrics():
    source, glasses, smile = build(split(), ["eyewear=glasses", "mouth=smiling"], None, 7, "s")
    assert (source.id, source.group, source.text, source.images) == ("source", "sources", "a person", 7)
    assert (glasses.id, glasses.group, glasses.images) == ("edits/eyewear=glasses", "edits", 7)
    assert glasses.tags == {
        "attribute": "eyewear",
        "value": "glasses",
        "neutral": "a person",
        "target": "a person wearing glasses",
    }
    assert smile.text == smile.tags["target"] == "a smiling person"


def test_by_default_edits_are_what_is_neither_rare_nor_the_rule():
    shares = {"mouth=smiling": 0.61, "hair=long": 0.6, "mood=angry": 0.02, "eyewear=glasses": 0.01}
    assert default_literals(split(shares), WORDS) == ["mood=angry", "hair=long"]
    assert [prompt.id for prompt in build(split(shares), [], None, 1, "s")] == [
        "source",
        "edits/mood=angry",
        "edits/hair=long",
    ]


@pytest.mark.parametrize(
    ("literals", "vocabulary", "said"),
    [
        (["eyewaer=glasses"], WORDS, "s: edits: literals: no attribute is called 'eyewaer', did you mean 'eyewear'?"),
        (["eyewear=glases"], WORDS, "eyewear=glases cannot be said, did you mean 'glasses'?; eyewear may be glasses"),
        (["eyewear=none"], WORDS, "eyewear=none cannot be said"),
        (["glasses"], WORDS, "found 'glasses', expected attribute=value such as mouth=smiling"),
        ([], WORDS, "no literal is shown by 2% to 60% of the training images: name some"),
        (["mouth=smiling"], None, "faces has no vocabulary, so its attributes cannot be said"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_line(literals, vocabulary, said):
    with pytest.raises(UserError) as error:
        build(split(vocabulary=vocabulary), literals, None, 1, "s: edits")
    assert said in str(error.value)


def test_texts_of_their_own_are_asked_for_as_they_are():
    source, *edits = given(["a face with an Afro", "Beyoncé's face"], "a face", 5, "ours: edits")
    assert (source.id, source.text, source.images) == ("source", "a face", 5)
    assert [(edit.id, edit.text) for edit in edits] == [
        ("edits/a-face-with-an-afro", "a face with an Afro"),
        ("edits/beyoncé-s-face", "Beyoncé's face"),
    ]
    assert {edit.tags["neutral"] for edit in edits} == {"a face"}


@pytest.mark.parametrize("texts", [["a face"], ["?!"], ["an Afro", "an afro"]])
def test_a_text_that_asks_for_nothing_or_twice_is_one_line(texts):
    with pytest.raises(UserError, match=r"ours: edits: texts: .* is empty, stands there twice, or asks for no change"):
        given(texts, "a face", 5, "ours: edits")
    with pytest.raises(UserError, match="expected `neutral` beside them"):
        given(texts, None, 5, "ours: edits")
