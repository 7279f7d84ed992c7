"""The area under the ROC curve: by hand, against a count of all pairs, and how often its interval covers."""

import numpy as np
import pytest
from scipy.stats import norm

from t2ibench.stats.agreement import auroc


def test_by_hand_with_a_tie():
    area = auroc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    assert (area.value, area.positives, area.negatives) == (0.875, 2, 2)  # of four pairs, one is tied


def test_it_is_the_share_of_pairs_and_does_not_change_under_a_monotone_map():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 9, 60).astype(float), rng.integers(0, 2, 60)
    difference = scores[labels == 1][:, None] - scores[labels == 0][None]
    area = auroc(scores, labels)
    assert area.value == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())
    mapped, order = auroc(np.exp(scores), labels), rng.permutation(60)
    assert mapped == area
    assert auroc(scores[order], labels[order]).ci == pytest.approx(area.ci)
    assert auroc(-scores, labels).value == pytest.approx(1 - area.value)


def test_labels_that_are_parted_completely_still_have_an_interval():
    area = auroc([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1])
    assert area.value == area.ci[1] == 1
    assert 0.3 < area.ci[0] < 0.9


@pytest.mark.parametrize(("apart", "n"), [(0.5, 40), (1.5, 40), (1.0, 15)])
def test_the_interval_covers(apart, n):
    """Two normal distributions, whose area is Phi(apart / sqrt 2)."""
    rng, truth = np.random.default_rng(1), norm.cdf(apart / 2**0.5)
    labels = np.repeat([0, 1], n)
    covered = 0
    for _ in range(300):
        low, high = auroc(np.concatenate([rng.normal(size=n), rng.normal(apart, size=n)]), labels).ci
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.99


@pytest.mark.parametrize(
    ("scores", "labels", "fault"),
    [
        ([1, 2], [0, 1], "at least 2 labels of each kind"),
        ([1, 2, 3, 4], [0, 1, 1, 2], "labels of 0 or 1"),
        ([1, 2, 3], [0, 1, 0, 1], "as many labels"),
        ([1, float("nan"), 3, 4], [0, 1, 0, 1], "auroc"),
    ],
)
def test_what_is_no_label_is_refused(scores, labels, fault):
    with pytest.raises(ValueError, match=fault):
        auroc(scores, labels)
