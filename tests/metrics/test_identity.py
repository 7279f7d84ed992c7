"""Face similarity on features that are sums of what each attribute adds."""

import hashlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_edits import FakeEdits

from t2ibench.core.errors import UserError
from t2ibench.metrics.identity import Config, attribute_effects, cosines, score, without
from t2ibench.networks.extractors import find

RNG = np.random.default_rng(0)
VALUES = {
    "skin": ["light", "dark"],
    "hair": ["long", "short", "hijab"],
    "background": ["blue", "red", "white"],
    "eyewear": ["none", "glasses"],
}
ADDS = {name: {value: RNG.normal(size=16) for value in values} for name, values in VALUES.items()}


def table(n: int, seed: int = 1) -> pd.DataFrame:
    """Attributes at random, but for glasses, which go along with dark skin."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({name: rng.choice(values, n) for name, values in VALUES.items()}, dtype=object)
    return rows.assign(
        eyewear=np.where(rng.random(n) < 0.8, np.where(rows["skin"] == "dark", "glasses", "none"), rows["eyewear"])
    )


def features(rows: pd.DataFrame, own: np.ndarray | float = 0.0) -> torch.Tensor:
    """What the values of a row add up to, and what is the person's own."""
    return torch.from_numpy(sum(np.stack([ADDS[name][value] for value in rows[name]]) for name in rows) + own).float()


REAL = table(400)
PEOPLE = np.random.default_rng(2).normal(size=(30, 16))
SOURCE = table(30, 3)


def of(edited: pd.DataFrame, own: np.ndarray, source: pd.DataFrame, literal: str = "eyewear=glasses", **kwargs: Any):
    made = {"edits": features(edited, own), "sources": features(source, PEOPLE), "real": features(REAL)}
    return score(FakeEdits([literal], len(source), features=made, real=REAL, **kwargs), Config())["face_similarity"]


def test_an_unchanged_image_scores_one_and_another_person_what_sources_have_among_each_other():
    same = of(SOURCE, PEOPLE, SOURCE)
    assert (same.value, same.ci) == (pytest.approx(1), pytest.approx((1, 1)))
    other = of(SOURCE.iloc[np.roll(range(30), 1)], np.roll(PEOPLE, 1, axis=0), SOURCE)
    assert other.value == pytest.approx(other.details["another_source"])
    assert other.ci[1] < 0.6


def test_the_edit_itself_and_what_is_not_of_the_person_cost_nothing():
    assert of(SOURCE.assign(eyewear="glasses", background="red"), PEOPLE, SOURCE).value == pytest.approx(1, abs=1e-4)


def test_a_change_of_skin_costs_though_it_goes_along_with_the_edit():
    found = of(SOURCE.assign(eyewear="glasses", skin="dark"), PEOPLE, SOURCE)
    darkened = (SOURCE["skin"] == "light").to_numpy()
    shares = np.array([float(word) for word in found.details["per_sample"].split()])
    assert shares[~darkened] == pytest.approx(1, abs=1e-4)
    assert shares[darkened].max() < 0.99


def test_what_the_new_value_covers_costs_nothing():
    train = REAL.assign(eyewear=REAL["eyewear"].where(REAL["hair"] != "hijab", None))  # a veil, as it were
    source = SOURCE.assign(hair="long", eyewear="none")
    edited = source.assign(hair="hijab", eyewear="glasses")
    assert of(edited, PEOPLE, source, "hair=hijab", train=train).value == pytest.approx(1, abs=1e-4)
    assert of(edited, PEOPLE, source, "hair=hijab").value < 0.99


def test_effects_are_recovered_whatever_goes_along_and_sum_to_zero():
    effects = attribute_effects(features(REAL).double().numpy(), REAL)
    for name, values in VALUES.items():
        true = np.stack([ADDS[name][value] for value in sorted(values)])
        np.testing.assert_allclose(effects[name], true - true.mean(0), atol=1e-5)


def test_being_covered_is_put_down_to_what_covers():
    hidden = REAL.assign(eyewear=REAL["eyewear"].where(REAL["hair"] != "hijab", None))
    shown = np.sum([[ADDS[name].get(value, np.zeros(16)) for value in hidden[name]] for name in hidden], axis=0)
    effects = attribute_effects(shown, hidden)
    glasses, none = (sorted(VALUES["eyewear"]).index(value) for value in ("glasses", "none"))
    true = ADDS["eyewear"]["glasses"] - ADDS["eyewear"]["none"]
    np.testing.assert_allclose(effects["eyewear"][glasses] - effects["eyewear"][none], true, atol=1e-9)


def test_a_projection_takes_out_what_it_was_given_and_nothing_else():
    out = without([np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0]]), np.array([[1.0, 1, 0, 0], [-1, -1, 0, 0]])], 4)
    np.testing.assert_allclose(out, np.diag([0, 0, 1, 1]), atol=1e-12)
    np.testing.assert_array_equal(without([], 3), np.eye(3))


def test_cosines_by_hand():
    a, b = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]), np.array([[6.0, 8.0], [-1.0, 0.0], [1.0, 0.0]])
    assert cosines(a, b).tolist() == [1, -1, 0]


def test_with_arcface_it_is_the_plain_cosine_under_the_name_that_it_has_earned():
    vectors = torch.from_numpy(PEOPLE[:4])
    evidence = FakeEdits(["eyewear=glasses"], 4, features={"edits": vectors + 0.5, "sources": vectors})
    [(name, found)] = score(evidence, Config(arcface="faces.pth")).items()
    assert (name, found.protocol["extractor"]) == ("arcface_similarity", "arcface:faces.pth")
    assert found.value == pytest.approx(float(torch.nn.functional.cosine_similarity(vectors, vectors + 0.5).mean()))


def test_the_extractor_of_arcface_crops_and_is_known_by_its_file(monkeypatch, tmp_path):
    seen: list[torch.Tensor] = []

    def network(faces: torch.Tensor) -> torch.Tensor:
        seen.append(faces)
        return faces.mean((2, 3))

    monkeypatch.setattr(
        "t2ibench.networks.arcface.ArcFace.from_file", lambda path: SimpleNamespace(to=lambda device: network)
    )
    path = tmp_path / "model_ir_se50.pth"
    path.write_bytes(b"weights")
    models: Any = SimpleNamespace(device=torch.device("cpu"), used={}, is_judge=lambda name: False)
    extractor = find(models, f"arcface:{path}")
    found = extractor.network(torch.full((2, 3, 64, 64), 255, dtype=torch.uint8))
    assert (seen[0].shape, found.tolist()) == ((2, 3, 112, 112), [[1.0, 1.0, 1.0]] * 2)
    assert extractor.sha256 == models.used["arcface"]["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_too_few_real_images_and_no_attributes_are_one_line():
    few = pd.DataFrame({"skin": ["light", "dark", "light", "dark", "light"], "hair": list("abcde")}, dtype=object)
    with pytest.raises(UserError, match="identity: 5 real images for 8 attribute values"):
        attribute_effects(np.zeros((5, 4)), few)
    with pytest.raises(UserError, match="faces has no attributes"):
        score(FakeEdits(["eyewear=glasses"], 2), Config())
