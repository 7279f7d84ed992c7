"""Attributes kept by an adaptation, on features that say them outright, or do not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_targets import FakeTargets
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.metrics import directional_similarity
from t2ibench.metrics.attributes_kept import UNKNOWN, Config, score
from t2ibench.scoring.attribute_reader import Reader

CHOICES = {"eyewear": ["none", "glasses"], "hair": ["long", "short", "curly"], "mood": ["sad", "merry"]}
PERSON = {"eyewear": "none", "hair": "long", "mood": "sad"}
rng = np.random.default_rng(0)
REAL = pd.DataFrame({name: rng.choice(values, 400) for name, values in CHOICES.items()}, dtype=object)


def rows(*changes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame([{**PERSON, **change} for change in changes], dtype=object)


def told(table: pd.DataFrame, hidden: tuple[str, ...] = ()) -> Tensor:
    """Features with a column for every value, 1 where an image has it; those of hidden attributes are all 0."""
    columns = [(table[name] == value) & (name not in hidden) for name, values in CHOICES.items() for value in values]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def of(
    values: dict[str, pd.DataFrame],
    known: dict[str, pd.DataFrame],
    hidden: dict[str, tuple[str, ...]] | None = None,
    **kwargs: Any,
):
    """hidden: by domain, the attributes that the features of its images do not say."""
    targets = {group.partition("/")[2]: len(table) for group, table in values.items() if group != "sources"}
    features: dict[Any, Tensor] = {("real", "train"): told(REAL), ("real", "test"): told(REAL)}
    for domain in targets:
        own = (hidden or {}).get(domain, ())
        features[f"adapted/{domain}"] = told(values[f"adapted/{domain}"], own)
        for name in (domain, f"{domain} lessons"):
            features["real", name] = told(known.get(domain, REAL), own)
    features["sources"] = told(values["sources"])
    evidence = FakeTargets(targets, len(values["sources"]), features=features, known=known, **{"real": REAL, **kwargs})
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


def test_what_cannot_be_read_in_a_domain_counts_in_no_image_of_it():
    values = {
        "sources": rows({}, {}),
        "adapted/sepia": rows({"mood": "merry"}, {}),
        "adapted/sketch": rows({"mood": "merry"}, {}),
    }
    found = of(values, {"sepia": REAL, "sketch": REAL}, {"sepia": ("mood",)})
    assert {domain: row["n"] for domain, row in found.details["targets"].items()} == {"sepia": 4, "sketch": 6}
    assert found.value == pytest.approx(9 / 10)
    assert list(found.details["not_judged"]) == ["sepia"]
    [why] = found.details["not_judged"]["sepia"]["mood"]
    assert why.startswith("sepia: mood: balanced accuracy")


def test_an_image_that_did_not_change_keeps_everything_in_any_domain():
    same = rows({"hair": "curly"}, {"mood": "merry"}, {"eyewear": "glasses"})
    found = of({"sources": same, "adapted/sepia": same}, {"sepia": REAL})
    assert found.value == 1
    assert found.ci[0] < 1


def test_a_domain_without_known_attributes_is_told_and_counts_nowhere():
    values = {
        "sources": rows({}, {}),
        "adapted/drawing": rows({"mood": "merry"}, {"mood": "merry"}),
        "adapted/sepia": rows({}, {}),
    }
    found = of(values, {"sepia": REAL})
    assert (found.value, list(found.details["targets"]), found.details["not_judged"]) == (
        1,
        ["sepia"],
        {"drawing": UNKNOWN},
    )
    with pytest.raises(UserError, match="no attribute that the judge can tell"):
        of(values, {})


def test_failed_images_are_counted_and_the_others_stay_in_their_place():
    values = {
        "sources": rows({}, {"hair": "short"}, {"hair": "curly"}),
        "adapted/sepia": rows({}, {"hair": "short"}, {"hair": "curly"}),
        "adapted/sketch": rows({}, {"hair": "short"}, {"hair": "curly"}),
    }
    found = of(values, {"sepia": REAL, "sketch": REAL}, ok={"adapted/sepia": [False, True, True]})
    assert (found.details["failed_edits"], found.details["pairs"], found.n, found.value) == (1, 5, 15, 1)


def test_a_data_set_without_attributes_is_refused():
    with pytest.raises(UserError, match="leave attributes_kept out"):
        of({"sources": rows({}), "adapted/sepia": rows({})}, {"sepia": REAL}, real=None)


def test_a_reader_gives_rare_values_their_due_and_knows_what_it_cannot_tell():
    rare = pd.DataFrame({"mood": ["sad"] * 380 + ["merry"] * 20, "one": ["x"] * 400}, dtype=object)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(400, 5)).astype(np.float32))
    features = torch.cat(
        [
            noise,
            0.8 * torch.from_numpy((rare["mood"] == "merry").to_numpy(copy=True)).float()[:, None] + 0.2 * noise[:, :1],
        ],
        dim=1,
    )
    reader = Reader.of(features, rare)
    assert list(reader.weights) == ["mood"]
    read = reader.read(features)["mood"]
    assert (read[rare["mood"] == "merry"] == "merry").mean() > 0.9
    hidden = rare.assign(mood=rare["mood"].where(np.arange(400) % 2 == 0, None))
    assert (Reader.of(features, hidden).read(features)["mood"] == read).mean() > 0.95


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
    assert {domain: row["mean"] for domain, row in found.details["targets"].items()} == pytest.approx(
        {"sepia": 1, "sketch": 0.5}
    )
    assert found.details["unmoved_by_target"] == {"sepia": 0, "sketch": 1}
    assert found.value == pytest.approx(0.75)
