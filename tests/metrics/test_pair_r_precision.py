"""R-precision of attribute pairs, by a CLIP whose embeddings are the literals themselves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fake_evidence import FakeEvidence

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split, Vocabulary
from t2ibench.metrics.pair_r_precision import Config, rows_of, score, swaps
from t2ibench.scoring.attribute_pairs.rates import rate_interval
from t2ibench.scoring.evidence import Samples
from t2ibench.tracks.pair_texts import build

VALUES = {
    "hair": ("long", "short", "bald"),
    "coat": ("red", "blue", "green"),
    "hat": ("yes",),
    "face": ("round", "thin"),
}
PHRASES = {
    name: {v: [("has", f"{v} {name}"), ("has", f"{name} {v}")] for v in values} for name, values in VALUES.items()
}
VOCABULARY = Vocabulary(PHRASES, frozenset([frozenset(["hair=bald", "coat=red"])]), {"face=round": "face=thin"})
WORDS = [f"{name}={value}" for name, values in VALUES.items() for value in values]
PAIRS = {
    ("hair=long", "coat=red"): ["rare"],
    ("hair=short", "face=round"): ["rare", "over"],
    ("hat=yes", "coat=blue"): ["rare"],
}
TABLE = pd.DataFrame(
    {
        "hair": ["bald"] * 6 + ["short"] * 3 + ["long"],
        "coat": ["red"] * 3 + ["green"] * 5 + ["blue"] * 2,
        "hat": ["yes", "no"] * 5,
        "face": ["round"] * 10,
    }
)


def embed(literals) -> torch.Tensor:
    vector = torch.tensor([float(word in literals) for word in WORDS], dtype=torch.float64)
    return vector / vector.norm()


class Scene(FakeEvidence):
    """Images show literals: what is asked for, unless `drawn` says otherwise of a pair."""

    def __init__(self, drawn=None, failed=(), images: int = 8, roles=PAIRS) -> None:
        self.prompts = build(VOCABULARY, roles, images, 4)
        self.train = Split("d", "train", [], [], [], TABLE, VOCABULARY)  # type: ignore[arg-type]
        rows = [(prompt, k) for prompt in self.prompts for k in range(prompt.images)]
        ok = np.array([(prompt.tags["pair"], prompt.tags["template"], k) not in failed for prompt, k in rows])
        self.made = Samples([p for p, _ in rows], [k for _, k in rows], ok, [""] * len(rows), None)  # type: ignore[arg-type]
        shown = [
            (drawn or {}).get(prompt.tags["pair"], prompt.tags["literals"])
            for (prompt, _), there in zip(rows, ok, strict=True)
            if there
        ]
        self.fake = torch.stack([embed(literals) for literals in shown]) if shown else torch.zeros(0, len(WORDS))
        self.reference = type("Reference", (), {"contents": "r", "images": None, "__len__": lambda self: 1})()  # type: ignore[assignment]

    def samples(self, group: str = "captions"):
        assert group == "pairs"
        return self.made

    def text_features(self, clip, texts):
        said = [
            [w for w in WORDS if any(phrase in text for _, phrase in PHRASES[w.split("=")[0]][w.split("=")[1]])]
            for text in texts
        ]
        return torch.stack([embed(literals) for literals in said])


SMALL = Config(pool=5)


def test_a_literal_is_exchanged_for_its_complement_or_the_most_frequent_value_that_can_be_shown_beside_the_partner():
    found = swaps(Scene().train, list(PAIRS))
    assert found == {
        ("hair=long", "coat=red"): ("hair=short", "coat=green"),  # bald is more frequent, but excluded beside red
        ("hair=short", "face=round"): ("hair=bald", "face=thin"),
    }  # hats have no other value that can be said


def test_an_image_of_what_was_asked_for_is_first_in_both_pools():
    values = scored = score(Scene(), SMALL)
    assert {key: value.value for key, value in scored.items()} == dict.fromkeys(
        ("r_precision_4_rare", "r_precision_4_over", "r_precision_5_rare", "r_precision_5_over"), 1.0
    )
    assert values["r_precision_4_rare"].n == 2 * 8
    assert values["r_precision_4_rare"].details["cannot_be_exchanged"] == ["hat=yes+coat=blue"]
    assert values["r_precision_5_rare"].n == 3 * 8
    assert values["r_precision_4_rare"].ci == (pytest.approx(1 - 3.8415 / (16 + 3.8415), abs=1e-3), pytest.approx(1))


def test_one_wrong_literal_fails_the_hard_pool_and_may_pass_the_other():
    values = score(Scene({"hair=long+coat=red": ["hair=long", "coat=green"]}), SMALL)
    assert values["r_precision_4_rare"].value == 0.5
    assert values["r_precision_4_rare"].details["per_sample"] == "0" * 8 + "1" * 8
    assert values["r_precision_5_rare"].value == 1.0  # no other pair's text is nearer: only its own has long hair
    assert values["r_precision_4_rare"].ci == rate_interval(np.array([0.0, 1.0]), None, 8)


def test_an_image_that_says_nothing_ties_and_fails():
    values = score(Scene({"hair=long+coat=red": ["hat=yes"]}), SMALL)
    assert values["r_precision_4_rare"].value == 0.5


def test_failed_images_are_misses_and_no_image_at_all_is_zero():
    one = score(Scene(failed={("hair=short+face=round", 0, 1)}), SMALL)
    assert one["r_precision_4_rare"].value == pytest.approx(15 / 16)
    assert one["r_precision_4_over"].details["per_sample"] == "10111111"
    everything = {(p.tags["pair"], p.tags["template"], k) for p in Scene().prompts for k in range(p.images)}
    assert {value.value for value in score(Scene(failed=everything), SMALL).values()} == {0.0}


def test_without_pairs_or_with_too_few_of_them_the_error_says_what_to_do():
    with pytest.raises(UserError, match="add compositional_accuracy"):
        score(Scene(roles={}), SMALL)
    with pytest.raises(UserError, match="a pool of 100 needs 99"):
        score(Scene(), Config())
    samples = Scene().made
    with pytest.raises(UserError, match="pairs have 7 to 8 images"):
        rows_of(replace(samples, prompts=samples.prompts[1:], k=samples.k[1:]))
