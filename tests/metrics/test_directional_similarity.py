"""Directional similarity by hand: angles in the plane."""

import numpy as np
import pytest
import torch
from fake_edits import FakeEdits, prompt

from t2ibench.core.errors import UserError
from t2ibench.metrics.directional_similarity import Config, directional, score

EAST, NORTH, WEST = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
TEXTS = {"a person": EAST, "a person with glasses": NORTH, "a person with hat": WEST}


def at(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1).float()


def of(edits: torch.Tensor, sources: torch.Tensor, literals=("eyewear=glasses",), **kwargs):
    evidence = FakeEdits(literals, len(sources), features={"edits": edits, "sources": sources}, texts=TEXTS, **kwargs)
    return score(evidence, Config())["directional_similarity"]


def test_a_step_along_the_texts_scores_one_and_across_them_its_cosine():
    # texts step from 0 to 90 degrees: the direction (-1, 1). A step from 0 to 180 degrees is (-2, 0): 45 degrees off.
    target, neutral = TEXTS["a person with glasses"][None].expand(3, -1), EAST[None].expand(3, -1)
    values, moved = directional(at(90, 180, -90), at(0, 0, 180), target, neutral)
    np.testing.assert_allclose(values, [1, 0.5**0.5, -1], atol=1e-6)
    assert moved.all()


def test_an_image_that_did_not_move_counts_zero_and_is_told():
    found = of(at(90, 20), at(0, 20))
    assert found.value == pytest.approx(0.5, abs=1e-6)
    assert (found.details["unmoved"], found.details["unmoved_by_edit"]) == (1, {"eyewear=glasses": 1})
    assert found.details["mean_of_moved"] == pytest.approx(1, abs=1e-6)
    assert found.details["per_sample"].split() == ["1.00000", "0.00000"]


def test_where_nothing_moved_the_score_is_zero():
    found = of(at(10, 20, 30), at(10, 20, 30))
    assert (found.value, found.ci, found.details["mean_of_moved"], found.details["image_similarity"]) == (
        0,
        (0, 0),
        None,
        pytest.approx(1),
    )


def test_swapping_neutral_and_target_flips_the_sign():
    generator = torch.Generator().manual_seed(0)
    edited, source, target, neutral = torch.nn.functional.normalize(torch.randn(4, 20, 8, generator=generator), dim=2)
    forth, back = directional(edited, source, target, neutral)[0], directional(edited, source, neutral, target)[0]
    np.testing.assert_allclose(forth, -back, atol=1e-12)
    np.testing.assert_allclose(
        forth, -directional(source, edited, target, neutral)[0], atol=1e-12
    )  # so does swapping the images
    assert np.abs(forth).max() > 0.1


def test_the_mean_is_over_all_pairs_and_each_edit_stands_alone():
    found = of(
        at(90, 180, 90, 180), at(0, 0), ("eyewear=glasses", "hair=hat")
    )  # the second edit's texts step to 180 degrees
    by_hand = {"eyewear=glasses": (1 + 0.5**0.5) / 2, "hair=hat": (0.5**0.5 + 1) / 2}
    assert {name: row["mean"] for name, row in found.details["edits"].items()} == pytest.approx(by_hand, abs=1e-6)
    assert found.value == pytest.approx(sum(by_hand.values()) / 2, abs=1e-6)
    assert (found.n, found.better, found.protocol["sources"], found.protocol["templates"]) == (4, "higher", 2, 1)


def test_edits_of_one_source_do_not_narrow_the_interval():
    angles = np.linspace(5, 120, 12)
    one = of(at(*angles), at(*[0] * 12))
    twice = FakeEdits(
        ("eyewear=glasses",) * 2, 12, features={"edits": at(*angles, *angles), "sources": at(*[0] * 12)}, texts=TEXTS
    )
    two = score(twice, Config())["directional_similarity"]
    assert (two.value, two.ci) == (pytest.approx(one.value), pytest.approx(one.ci))
    assert one.ci[0] < one.value < one.ci[1]


def test_missing_images_are_left_out_and_counted():
    ok = {"edits": [True, False, True, True], "sources": [True, True, False, True]}
    found = of(at(90, 0, 90, 180), at(0, 0, 0, 0), ok=ok)
    assert found.value == pytest.approx((1 + 0.5**0.5) / 2, abs=1e-6)
    counts = {"asked": 4, "pairs": 2, "failed_edits": 1, "failed_sources": 1}
    assert {key: found.details[key] for key in counts} == counts
    assert found.details["per_sample"].split() == ["1.00000", "-", "-", "0.70711"]


def test_equal_texts_and_too_few_sources_are_one_line():
    same = [prompt("eyewear=glasses", 2, neutral="a person with glasses")]
    texts = {"a person with glasses": NORTH, "a person with glasses with glasses": NORTH}
    evidence = FakeEdits((), 2, features={"edits": at(0, 1), "sources": at(5, 6)}, texts=texts, prompts=same)
    with pytest.raises(UserError, match="has no direction under clip-judge-avatars"):
        score(evidence, Config(clip="clip-judge-avatars"))
    with pytest.raises(UserError, match="at least 2 sources are needed"):
        of(at(90), at(0))
