"""A cross-fitted judge: who sits in which fold, that no answer has seen its image, and what a rare value is worth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split, Vocabulary
from t2ibench.networks.models import Models
from t2ibench.scoring.attribute_pairs.cross_fit import FOLDS, CrossFitted, cross_fit, folds, unpacked, values_of
from t2ibench.scoring.attribute_pairs.judge import pair_judge
from t2ibench.scoring.judge_gate import balanced_accuracy


def test_folds_keep_groups_together_are_of_equal_size_and_follow_from_names_alone():
    groups = [f"g{k % 23}" for k in range(230)]
    found = folds(groups)
    assert all(len(set(found[[g == name for g in groups]])) == 1 for name in set(groups))
    assert set(np.bincount(found)) <= {40, 50}
    assert (folds(groups[::-1]) == found[::-1]).all()
    with pytest.raises(UserError, match="5 folds need as many groups, got 2"):
        folds(["a", "b", "a"])


def made(count: int = 400, seed: int = 0, noise: float = 0.7) -> tuple[torch.Tensor, pd.DataFrame]:
    """Features that show a colour on their first axis and a hat, one image in ten, on their second; a colour in five is
    not labelled.
    """
    rng = np.random.default_rng(seed)
    red, hat = rng.random(count) < 0.5, rng.random(count) < 0.1
    x = rng.normal(size=(count, 6)) * noise
    x[:, 0] += 2 * red
    x[:, 1] += 2 * hat
    colour = np.where(red, "red", "blue").astype(object)
    colour[rng.random(count) < 0.2] = None
    return torch.from_numpy(100 * x + 7).float(), pd.DataFrame(
        {"colour": colour, "hat": np.where(hat, "yes", "no")}, dtype=object
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[torch.Tensor, pd.DataFrame, CrossFitted]:
    x, table = made()
    return x, table, cross_fit(x, table, [str(row) for row in range(len(x))])


def test_a_rare_value_is_found_as_well_as_a_common_one_by_heads_that_have_not_seen_the_image(fitted):
    _, table, found = fitted
    assert list(found.out_of_fold) == ["colour=blue", "colour=red", "hat=no", "hat=yes"]
    for name, value in (("colour", "red"), ("hat", "yes")):
        seen = table[name].notna().to_numpy()
        said = (found.out_of_fold[f"{name}={value}"] > 0.5).to_numpy()[seen]
        accuracy = balanced_accuracy((table[name] == value).to_numpy()[seen], said)
        assert accuracy is not None
        assert accuracy > 0.85


def test_labels_without_a_cause_are_not_learnt_by_heart():
    """64 features for 100 images: heads that had seen them would be right about nearly all."""
    rng = np.random.default_rng(0)
    x, coin = torch.from_numpy(rng.normal(size=(100, 64))), np.where(rng.random(100) < 0.5, "a", "b")
    found = cross_fit(x, pd.DataFrame({"coin": coin}), [str(row) for row in range(100)])
    right = (found.out_of_fold["coin=a"] > 0.5).to_numpy() == (coin == "a")
    assert 0.3 < right.mean() < 0.7
    again = (found.probabilities(x)["coin=a"] > 0.5).to_numpy() == (coin == "a")
    assert again.mean() > right.mean() + 0.2  # four heads in five have seen each image


def test_new_images_are_judged_by_the_mean_of_the_folds(fitted):
    _, _, found = fitted
    new, table = made(seed=1)
    stated = found.probabilities(new)
    accuracy = balanced_accuracy((table["hat"] == "yes").to_numpy(), (stated["hat=yes"] > 0.5).to_numpy())
    assert accuracy is not None
    assert accuracy > 0.85
    single = [replace(found, heads=found.heads[[f]]).probabilities(new).to_numpy() for f in range(FOLDS)]
    np.testing.assert_allclose(stated.to_numpy(), np.mean(single, axis=0), atol=1e-12)


def test_what_is_kept_gives_the_same_judge(fitted):
    x, table, found = fitted
    again = unpacked(values_of(table), found.out_of_fold.to_numpy(), found.packed())
    pd.testing.assert_frame_equal(again.probabilities(x), found.probabilities(x))
    assert again.temperatures == pytest.approx(found.temperatures)


def test_what_cannot_be_learnt_is_an_error():
    x, _ = made(20)
    rows = [str(row) for row in range(20)]
    with pytest.raises(UserError, match="no attribute has two values"):
        cross_fit(x, pd.DataFrame({"a": ["x"] * 20}), rows)
    with pytest.raises(UserError, match="a=y: all 1 images of it are in one fold"):
        cross_fit(x, pd.DataFrame({"a": ["y"] + ["x"] * 19}), rows)


class Scene:
    """The features of a training split and of made images."""

    can_render = True

    def __init__(self, table: pd.DataFrame, x: torch.Tensor) -> None:
        words = {
            name: {value: [("has", value)] * 2 for value in table[name].dropna().unique()} for name in ("colour", "hat")
        }
        table = table.assign(species=[f"s{row % 9}" for row in range(len(table))])
        ids = [str(row) for row in range(len(table))]
        self.x, self.fits, self.models = x, 0, Models()
        self.train = Split("d", "train", ids, ids, [("",)] * len(ids), table, Vocabulary(words))  # type: ignore[arg-type]
        self.train.__dict__["contents"] = "of the training split"

    def real_features(self, extractor: str, split: Split) -> torch.Tensor:
        self.fits += 1
        return self.x

    def fake_features(self, extractor: str, group: str) -> torch.Tensor:
        return made(30, 2)[0]

    def samples(self, group: str):
        return type("Samples", (), {"rows": np.arange(5, 35)})

    def extractor_protocol(self, name: str) -> dict:
        return {"extractor": name}


def test_the_judge_of_pairs_is_fitted_once_and_answers_about_training_images_out_of_fold(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    x, table = made()
    first, later = Scene(table, x), Scene(table, x)
    judges = [pair_judge(scene, "features", "species") for scene in (first, later)]  # type: ignore[arg-type]
    assert (first.fits, later.fits) == (1, 0)
    judge = judges[1]
    assert judge.render is None  # rendered images are not out of fold
    assert set(judge.real(later.train)) == {"colour", "hat"}
    pd.testing.assert_frame_equal(judge.probabilities(later.train), judges[0].probabilities(first.train))
    values = judge.fake("pairs")
    assert list(values.index) == list(range(5, 35))
    truth = made(30, 2)[1]["colour"]
    assert (values["colour"].to_numpy() == truth.to_numpy())[truth.notna().to_numpy()].mean() > 0.8
    with pytest.raises(UserError, match="no attribute 'kind'"):
        pair_judge(first, "features", "kind")  # type: ignore[arg-type]
