"""metrics/condition_fidelity.py: closed forms of each comparison, and who is held to whom."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from t2ibench.metrics.condition_fidelity import (
    Seen,
    compared,
    cosines,
    edge_f1,
    fidelity,
    overlap,
    psnr,
    rank_correlation,
    risen,
    seen,
)
from t2ibench.scoring.compositions import TaskImages
from t2ibench.scoring.evidence import Samples
from t2ibench.tracks.compose_tasks import find


def line(column: int, side: int = 16, length: int = 16) -> np.ndarray:
    found = np.zeros((side, side), bool)
    found[:length, column] = True
    return found


@pytest.mark.parametrize(("moved", "value"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_edges_match_within_two_pixels(moved, value):
    assert edge_f1(line(5 + moved), line(5)) == value


def test_edges_that_are_half_there_score_two_thirds_and_missing_ones_nothing():
    made = line(5) | line(12)
    assert edge_f1(made, line(5)) == pytest.approx(2 / 3)  # precision 1/2, recall 1
    assert edge_f1(line(5), made) == pytest.approx(2 / 3)
    nothing = np.zeros((16, 16), bool)
    assert (edge_f1(nothing, line(5)), edge_f1(line(5), nothing), edge_f1(nothing, nothing)) == (0, 0, 1)


def test_silhouettes_overlap_by_intersection_over_union():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[:2], b[1:3] = True, True
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, a) == overlap(np.zeros_like(a), np.zeros_like(a)) == 1


def test_depths_are_compared_by_rank_where_something_is_in_front():
    depth, inside = np.arange(16.0).reshape(4, 4), np.ones((4, 4))
    assert rank_correlation(np.stack([depth, inside]), np.stack([depth**3, inside])) == pytest.approx(1)
    assert rank_correlation(np.stack([depth, inside]), np.stack([-depth, inside])) == pytest.approx(-1)
    assert rank_correlation(np.stack([depth, inside]), np.stack([0 * depth, inside])) == 0
    outside = depth.copy()
    outside[2:] = 7  # another ground, which neither silhouette covers
    upper = np.repeat([1, 1, 0, 0], 4).reshape(4, 4)
    assert rank_correlation(np.stack([outside, upper]), np.stack([depth, upper])) == pytest.approx(1)


def test_a_psnr_is_that_of_its_error_and_at_most_that_of_rounding():
    wanted = np.zeros((1, 4, 4))
    assert psnr(wanted + 255, wanted)[0] == pytest.approx(0)
    assert psnr(wanted + 25.5, wanted)[0] == pytest.approx(20)
    assert psnr(wanted, wanted)[0] == pytest.approx(10 * np.log10(255**2 * 12))


def test_cosines_do_not_look_at_norms():
    np.testing.assert_allclose(cosines(np.array([[3.0, 0], [1, 1]]), np.array([[5.0, 0], [0, 2]])), [1, 0.5**0.5])


def images(count: int = 4) -> torch.Tensor:
    """A square of its own colour and place on each of several grounds."""
    made = torch.full((count, 3, 24, 24), 250, dtype=torch.uint8)
    for row, image in enumerate(made):
        image[:, 8:16, 1 + 4 * row : 9 + 4 * row] = torch.tensor([40 * row, 200 - 40 * row, 60])[:, None, None]
    return made


def looked_at(made: torch.Tensor) -> Seen:
    features = np.eye(len(made), 5) + 0.1
    return Seen({**seen(made).of, "E": features, "T": features})


def test_every_representation_of_an_image_is_kept_by_itself_and_less_by_another():
    whole = looked_at(images())
    other = whole.rows([1, 2, 3, 0])
    for letter in "TEPSGDIM":
        own, foreign = fidelity(letter, whole, whole, None), fidelity(letter, whole, other, None)
        assert (own > foreign).all(), letter
        if letter in "TEPSGD":
            np.testing.assert_allclose(own, 1)


def test_only_known_pixels_count_for_a_masked_image():
    whole, changed = images(), images()
    changed[:, :, :, 20:] = 0
    known = np.ones((24, 24), bool)
    known[:, 20:] = False
    a, b = looked_at(whole), looked_at(changed)
    assert (fidelity("M", a, b, known) > 58).all()
    assert (fidelity("M", a, b, None) < 20).all()


def task(name: str, count: int = 4) -> TaskImages:
    samples = Samples([], [], np.ones(count, bool), [], None)  # type: ignore[arg-type]
    places = np.arange(count)
    return TaskImages(
        name, find(name, "x"), f"composed/{name}", np.ones((24, 24), bool), samples, places, (places + 1) % count
    )


def by_letter(name: str, made: Seen, sources: Seen) -> dict[str, tuple[str, float, float | None]]:
    found = compared(task(name), made, sources)
    return {
        row.letter: (row.kind, row.values.mean(), None if row.nearer is None else row.nearer.mean()) for row in found
    }


def test_each_condition_is_held_to_where_it_was_taken_from():
    sources = looked_at(images())
    at_a, at_b = by_letter("style", sources, sources), by_letter("style", sources.rows([1, 2, 3, 0]), sources)
    assert [at_a[letter][0] for letter in "SDE"] == ["fidelity", "fidelity", "transfer"]
    assert [at_a[letter][2] for letter in "SDE"] == [1, 1, 0]  # the sources themselves: nearer to A, and nothing of B
    assert [at_b[letter][2] for letter in "SDE"] == [0, 0, 1]
    assert at_b["E"][1] == pytest.approx(1)
    assert at_a["P"] == ("", pytest.approx(1), None)  # not given: held to A


def test_texts_edits_and_what_is_put_back_are_told_apart():
    sources = looked_at(images())
    assert by_letter("t2i", sources, sources)["T"][0] == "fidelity"  # the caption is that of A
    assert by_letter("compose_TD", sources, sources)["T"][0] == "transfer"  # of B: A gives the depth
    assert by_letter("region_var", sources, sources)["M"][0] == "kept"
    assert by_letter("M", sources, sources)["M"][0] == "fidelity"
    assert "E" not in by_letter("interp_free", sources, sources)  # neither A's nor B's
    mirrored = Seen({**sources.of, "S": sources.of["S"][:, :, ::-1]})
    pose = task("pose_S")
    pose = replace(pose, task=replace(pose.task, edit="mirror"))
    [row] = [row for row in compared(pose, mirrored, sources) if row.letter == "S"]
    assert (row.kind, row.values.tolist()) == ("transfer", [1, 1, 1, 1])


def test_the_rise_of_a_condition_is_by_input_and_of_tasks_of_a_alone():
    sources = looked_at(images())
    blank = looked_at(torch.full((4, 3, 24, 24), 250, dtype=torch.uint8))
    given = [row for row in compared(task("S"), sources, sources) if row.letter == "S"]
    absent = [row for row in compared(task("P"), blank, sources) if row.letter == "S"]
    other = [row for row in compared(task("colorize_direct"), sources, sources) if row.letter == "S"]
    rise: Any = risen("fidelity_sketch", given, [*absent, *other])["rise"]
    found = rise["by input"]
    assert (found["n"], found["mean"]) == (4, 1)
    assert risen("fidelity_sketch", given, other) == {}
