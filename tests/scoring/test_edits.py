"""Edits joined to their sources, their shares in a mean, and which attributes cover which."""

import numpy as np
import pandas as pd
import pytest
from fake_edits import FakeEdits, prompt

from t2ibench.core.errors import UserError
from t2ibench.data.attributes import FEWEST, covers, visible
from t2ibench.scoring.edits import edit_pairs, interval, means_by, per_source
from t2ibench.stats.intervals import standard_error

LITERALS = ["eyewear=glasses", "hair=long"]


def test_pairs_are_joined_by_source_whatever_is_missing():
    ok = {"sources": [True, False, True, True], "edits": [True, True, False, True, False, True, True, True]}
    pairs = edit_pairs(FakeEdits(LITERALS, 4, ok=ok))
    assert [prompt.tags["value"] for prompt in pairs.prompts] == ["glasses"] * 2 + ["long"] * 2
    assert pairs.k.tolist() == [0, 3, 2, 3]
    assert pairs.source.tolist() == [0, 2, 1, 2]  # of the three sources that are there
    assert pairs.edited.tolist() == [0, 2, 4, 5]  # of the six edits that are there
    assert [(prompt.tags["value"], k, place) for prompt, k, place in pairs.failed] == [
        ("glasses", 2, 1),
        ("long", 0, 0),
    ]
    assert pairs.counts == {"asked": 8, "pairs": 4, "failed_edits": 2, "failed_sources": 2}


def test_the_protocol_is_of_what_was_asked_and_not_of_what_came():
    a, b = (edit_pairs(FakeEdits(LITERALS, 4, ok=ok)) for ok in ({}, {"edits": [True] * 7 + [False]}))
    assert a.protocol == b.protocol
    assert a.protocol != edit_pairs(FakeEdits(LITERALS[:1], 4)).protocol
    assert (a.protocol["images"], a.protocol["sources"]) == (8, 4)


def test_edits_beyond_the_sources_and_a_single_source_are_one_line():
    with pytest.raises(UserError, match="edits of the source 2, but there are only 2 sources"):
        edit_pairs(FakeEdits([], 2, prompts=[prompt("hair=long", 3)]))
    with pytest.raises(UserError, match="2 edited images with a source, of 4 asked for: at least 2 sources"):
        edit_pairs(FakeEdits(LITERALS, 2, ok={"sources": [True, False]}))
    with pytest.raises(UserError, match="of 1 source, at least 2"):
        interval([0.0, 1.0], np.array([4, 4]), 0)


def test_shares_of_sources_average_to_the_mean_with_the_error_of_a_ratio():
    k = np.array([0, 0, 0, 1, 2, 2])
    values = np.array([1.0, 0, 0, 1, 0.5, 1])
    asked = [(prompt("hair=long", 4), source) for source in range(4)]
    words = per_source(values, k, asked).split()
    assert words[3] == "-"
    shares = np.array([float(word) for word in words[:3]])
    assert shares.mean() == pytest.approx(values.mean(), abs=1e-5)
    assert shares.std(ddof=1) / 3**0.5 == pytest.approx(standard_error(values - values.mean(), k), abs=1e-5)
    even = per_source(np.arange(6.0), np.array([0, 1, 2, 0, 1, 2]), asked).split()
    assert [float(word) for word in even[:3]] == [1.5, 2.5, 3.5]  # equally many pairs: the mean of a source's own


def test_means_leave_out_what_does_not_count():
    assert means_by(["a", "b", "a", "c"], [1, 2, np.nan, np.nan]) == {
        "a": {"n": 1, "mean": 1},
        "b": {"n": 1, "mean": 2},
    }


def test_covers_are_what_always_hides_with_enough_images_to_say_so():
    n = 3 * FEWEST
    hair = ["hijab"] * FEWEST + ["long"] * FEWEST + ["hat"] * (FEWEST - 1) + ["short"]
    colour = [None] * FEWEST + ["red"] * (FEWEST - 1) + [None] + [None] * (FEWEST - 1) + ["red"]
    table = pd.DataFrame({"hair": hair, "hair_colour": colour, "skin": ["light"] * n}, dtype=object)
    assert covers(table) == {"hair": frozenset(), "hair_colour": frozenset({"hair=hijab"}), "skin": frozenset()}
    seen = visible(table.assign(hair_colour="red"), covers(table))
    assert (seen["hair_colour"].to_numpy() == (table["hair"] != "hijab")).all()
    assert seen[["hair", "skin"]].all(axis=None)
