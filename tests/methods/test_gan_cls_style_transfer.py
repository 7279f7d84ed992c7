"""Style is what a caption leaves open: captions are said otherwise in one place; open attributes that can be seen count
as kept.
"""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from gan_cls_data import colour_split

from t2ibench.data.split import Split, Vocabulary
from t2ibench.methods.gan_cls.style_transfer import (
    Recaption,
    change,
    kept,
    other_captions,
    reworded,
)

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "studies" / "gan_cls_style.py"))
WORDS = Vocabulary(
    {
        "hair": {
            "short": [("has", "short hair"), ("has", "a short haircut")],
            "bald": [("is", "bald")],
            "long": [("has", "long hair")],
        },
        "background": {
            "blue": [("has", "a blue background")],
            "pink": [("has", "a pink background"), ("has", "a rosy background")],
        },
    }
)


def said() -> Split:
    captions = [
        ("a person with short hair", "a bald person"),
        ("on a blue background, a person", "a person"),
        ("a person", "someone"),
    ]
    mentions: list[list[list[str]]] = [[["hair=short"], ["hair=bald"]], [["background=blue"], []], [[], []]]
    return dataclasses.replace(colour_split(3), captions=captions, vocabulary=WORDS, mentions=mentions)


def test_a_literal_is_said_otherwise_in_words_of_its_kind():
    assert reworded("a photo of a person with short hair, smiling", "hair=short", WORDS) == [
        ("hair=long", "a photo of a person with long hair, smiling")  # bald "is": it does not fit after "with"
    ]
    assert reworded("on a rosy background, a person", "background=pink", WORDS) == [
        ("background=blue", "on a blue background, a person")
    ]
    assert reworded("a person with short black hair", "hair=short", WORDS) == []
    assert reworded("a person with a short haircuts", "hair=short", WORDS) == []


def test_only_captions_that_can_be_said_otherwise_are():
    assert STUDY["one_said_otherwise"](said(), seed=0) == [
        Recaption("a person with short hair", "a person with long hair", frozenset({"hair=long"})),
        Recaption("on a blue background, a person", "on a pink background, a person", frozenset({"background=pink"})),
    ]


def test_other_captions_are_of_other_images():
    pairs = other_captions(said(), seed=0)
    firsts = {"a person with short hair", "on a blue background, a person", "a person"}
    assert {pair.before for pair in pairs} == {pair.after for pair in pairs} == firsts
    assert all(pair.before != pair.after for pair in pairs)
    assert {pair.after: pair.named for pair in pairs}["a person with short hair"] == {"hair=short"}


def test_captions_of_unknown_content_are_refused():
    with pytest.raises(ValueError, match="colours train does not say what its captions name"):
        other_captions(colour_split(), seed=0)


def test_kept_counts_what_is_open_and_visible():
    before = pd.DataFrame(
        {"hair": ["short", "hat", "short"], "colour": ["red", "red", "red"], "mouth": ["open", "open", "open"]}
    )
    after = pd.DataFrame(
        {"hair": ["long", "hat", "hat"], "colour": ["red", "blue", "red"], "mouth": ["open", "open", "sad"]}
    )
    covered_by = {"colour": frozenset({"hair=hat"})}
    recaptions = [Recaption("", "", frozenset({named})) for named in ("mouth=open", "mouth=open", "hair=hat")]
    shares = kept(before, after, recaptions, covered_by)
    np.testing.assert_allclose(
        shares, [0.5, 1.0, 0.0]
    )  # hair lost, colour kept | colour hidden under a hat | the asked hat hides colour
    named = frozenset({"mouth=open", "hair=long", "colour=red"})
    assert np.isnan(kept(before, after, [Recaption("", "", named)] * 3, covered_by)).all()


def test_change_is_in_grey_levels():
    black, grey = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.full((2, 3, 4, 4), 200, dtype=torch.uint8)
    assert change(black, grey).tolist() == change(grey, black).tolist() == [200, 200]
