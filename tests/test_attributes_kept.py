"""Attributes kept by an adaptation, on judged values that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from fake_targets import FakeTargets

from t2ibench.errors import UserError
from t2ibench.metrics import directional_similarity
from t2ibench.metrics.attributes_kept import UNKNOWN, Config, score

CHOICES = {"eyewear": ["none", "glasses"], "hair": ["long", "short"], "mood": ["sad", "merry"]}
PERSON = {"eyewear": "none", "hair": "long", "mood": "sad"}
rng = np.random.default_rng(0)
REAL = pd.DataFrame({name: rng.choice(values, 400) for name, values in CHOICES.items()}, dtype=object)


def rows(*changes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame([{**PERSON, **change} for change in changes], dtype=object)


def of(values: dict[str, pd.DataFrame], known: dict, said: dict | None = None, **kwargs):
    targets = {group.partition("/")[2]: len(table) for group, table in values.items() if group != "sources"}
    real = {("real", domain): torch.zeros(9, 1) for domain in targets}
    evidence = FakeTargets(
        targets, len(values["sources"]), values=values, known=known, said=said, features=real, **{"real": REAL, **kwargs}
    )
    return score(evidence, Config())["attributes_kept"]


def test_by_hand_two_targets():
    values = {
        "sources": rows({}, {"hair": "short"}),
        "adapted/sepia": rows({}, {"hair": "short"}),
        "adapted/sketch": rows({"eyewear": "glasses"}, {"hair": "long", "mood": "merry"}),
    }
    found = of(values, {"sepia": REAL, "sketch": REAL})
    assert (found.value, found.n) == (pytest.approx(9 / 12), 12)
    assert {domain: row["mean"] for domain, row in found.details["targets"].items()} == {"sepia": 1, "sketch": 0.5}
    assert found.details["changed_by_target"]["sketch"] == {"eyewear": 0.5, "hair": 0.5, "mood": 0.5}
    assert found.details["not_judged"] == {}
    assert found.details["per_sample"].split() == [f"{5 / 6:.5f}", f"{4 / 6:.5f}"]


def test_what_the_judge_cannot_tell_in_a_domain_counts_in_no_image_of_it():
    wrong = REAL.assign(mood=REAL["mood"].to_numpy()[::-1])
    values = {"sources": rows({}, {}), "adapted/sepia": rows({"mood": "merry"}, {}), "adapted/sketch": rows({"mood": "merry"}, {})}
    found = of(values, {"sepia": REAL, "sketch": REAL}, {"sepia": wrong, "sketch": REAL})
    assert {domain: row["n"] for domain, row in found.details["targets"].items()} == {"sepia": 4, "sketch": 6}
    assert found.value == pytest.approx(9 / 10)
    [[why]] = [reasons.values() for reasons in found.details["not_judged"].values()]
    assert "balanced accuracy" in why[0]


def test_a_domain_without_known_attributes_is_told_and_counts_nowhere():
    values = {"sources": rows({}, {}), "adapted/sepia": rows({}, {}), "adapted/drawing": rows({"mood": "merry"}, {"mood": "merry"})}
    found = of(values, {"sepia": REAL})
    assert (found.value, list(found.details["targets"]), found.details["not_judged"]) == (1, ["sepia"], {"drawing": UNKNOWN})
    assert found.ci[0] < 1
    with pytest.raises(UserError, match="no attribute that the judge can tell"):
        of(values, {})


def test_failed_images_are_counted():
    values = {"sources": rows({}, {}, {}), "adapted/sepia": rows({}, {"mood": "merry"}, {})}
    found = of(values, {"sepia": REAL}, ok={"adapted/sepia": [True, True, False], "sources": [True, True, True]})
    assert (found.details["failed_edits"], found.details["pairs"], found.n) == (1, 2, 6)


def test_a_data_set_without_attributes_is_refused():
    with pytest.raises(UserError, match="leave attributes_kept out"):
        of({"sources": rows({}), "adapted/sepia": rows({})}, {"sepia": REAL}, real=None)


def test_directional_similarity_is_read_target_by_target():
    east, north, west = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    features = {
        "sources": east.repeat(2, 1),
        "adapted/sepia": north.repeat(2, 1),
        "adapted/sketch": torch.stack([east, west]),
    }
    texts = {"a person": east, "a sepia of a person": north, "a sketch of a person": west}
    evidence = FakeTargets({"sepia": 2, "sketch": 2}, 2, features=features, texts=texts)
    found = directional_similarity.score(evidence, directional_similarity.Config())["directional_similarity"]
    assert {domain: row["mean"] for domain, row in found.details["targets"].items()} == pytest.approx({"sepia": 1, "sketch": 0.5})
    assert found.details["unmoved_by_target"] == {"sepia": 0, "sketch": 1}
    assert found.value == pytest.approx(0.75)
