"""Change outside the region of an edit, in images small enough to add up by hand."""

import numpy as np
import pytest
from fake_edits import FakeEdits

from t2ibench.core.errors import UserError
from t2ibench.metrics.locality import BATCH, Config, difference, score

LEFT = np.array([[True, False], [True, False]])  # the eyewear's part


def flat(*levels: int) -> np.ndarray:
    return np.stack([np.full((3, 2, 2), level, np.uint8) for level in levels])


def of(edits: np.ndarray, sources: np.ndarray, literals=("eyewear=glasses",), regions=None, **kwargs):
    regions = {"eyewear": LEFT} if regions is None else regions
    evidence = FakeEdits(literals, len(sources), images={"edits": edits, "sources": sources}, regions=regions, **kwargs)
    return score(evidence, Config())["change_outside"]


def test_outside_and_inside_by_hand_and_without_overflow():
    a, b = flat(200, 0), flat(200, 0)
    b[0, :, 0, 0] = 50  # inside: 150 in one of two pixels
    b[1, 0, :, 1] = 255  # outside: 255 in one of three channels
    outside, inside = difference(a, b, np.stack([LEFT, LEFT]))
    assert (outside.tolist(), inside.tolist()) == ([0, 85], [75, 0])
    assert (difference(b, a, np.stack([LEFT, LEFT]))[0] == outside).all()


def test_nothing_changed_scores_zero_and_a_change_everywhere_the_whole_of_it():
    assert of(flat(10, 20, 30), flat(10, 20, 30)).value == 0
    found = of(flat(14, 26, 38), flat(10, 20, 30))
    assert (found.value, found.details["change_inside"], found.better, found.n) == (6, 6, "lower", 3)
    assert found.details["another_source"] == pytest.approx((10 + 10 + 20) / 3)
    assert found.ci[0] < 6 < found.ci[1]


def test_edits_without_an_outside_are_left_out_and_counted():
    edits = np.concatenate([flat(11, 21), flat(90, 90), flat(0, 0)])
    regions = {"eyewear": LEFT, "background": np.ones((2, 2), bool)}  # of the third nothing is known
    found = of(edits, flat(10, 20), ("eyewear=glasses", "background=blue", "mood=sad"), regions)
    assert (found.value, found.n, found.details["pairs"]) == (1, 2, 6)
    assert found.details["without_region"] == ["background=blue", "mood=sad"]
    assert list(found.details["edits"]) == ["eyewear=glasses"]
    with pytest.raises(UserError, match="knows no region that is not the whole image"):
        of(flat(1, 2), flat(1, 2), regions={})


def test_each_edit_has_the_region_of_its_own_attribute():
    changed = flat(0, 0)
    changed[:, :, :, 0] = 100  # the left half
    found = of(
        np.concatenate([changed, changed]),
        flat(0, 0),
        ("eyewear=glasses", "hair=long"),
        {"eyewear": LEFT, "hair": ~LEFT},
    )
    assert found.details["edits"]["eyewear=glasses"] == {"n": 2, "mean": 0, "inside": 100, "another_source": 0}
    assert found.details["edits"]["hair=long"] == {"n": 2, "mean": 100, "inside": 0, "another_source": 0}


def test_many_pairs_are_read_in_parts_and_missing_ones_do_not_shift_the_others():
    n = BATCH + 7
    sources, edits = flat(*range(n)), flat(*(level + level % 5 for level in range(n)))
    ok = {"sources": [k != 3 for k in range(n)], "edits": [k != 9 for k in range(n)]}
    found = of(edits, sources, ok=ok)
    assert found.value == pytest.approx(np.mean([k % 5 for k in range(n) if k not in (3, 9)]))
    assert found.n == n - 2


def test_another_size_is_one_line():
    with pytest.raises(UserError, match="images of 2x2 pixels, regions of 4x4"):
        of(flat(1, 2), flat(1, 2), regions={"eyewear": np.eye(4, dtype=bool)})
