"""Splits: rows taken out of one, and several joined to one, stay whole."""

from dataclasses import replace

import numpy as np
import pytest
from judged import squares

from t2ibench.data.split import Split, join


def facts(split: Split, row: int) -> tuple:
    table = None if split.attributes is None else tuple(split.attributes.iloc[row])
    return (
        split.images.read([row]).sum(),
        split.captions[row],
        table,
        None if split.mentions is None else split.mentions[row],
    )


def test_a_taken_row_keeps_everything_that_belongs_to_it():
    whole = squares(12)
    part = whole.take(np.array([7, 2, 7]))
    assert part.ids == ["train-7", "train-2", "train-7"]
    for row, source in enumerate([7, 2, 7]):
        assert facts(part, row) == facts(whole, source)


def test_joined_splits_keep_their_rows_in_order():
    first, second = squares(5, "a"), squares(7, "b").take([3, 0, 6])
    both = join([first, second])
    assert (len(both), both.name, both.dataset) == (8, "a+b", "squares")
    assert both.ids[4:6] == ["a/a-4", "b/b-3"]
    for row in range(8):
        assert facts(both, row) == (facts(first, row) if row < 5 else facts(second, row - 5))


def test_joined_images_are_read_in_any_order():
    first, second = squares(5, "a"), squares(7, "b")
    read = join([first, second]).images.read([11, 0, 4, 5, 0])
    expected = [second.images.read([6]), first.images.read([0, 4]), second.images.read([0]), first.images.read([0])]
    assert np.array_equal(read, np.concatenate(expected))


def test_what_one_split_does_not_know_is_none_in_the_joined_one():
    plain = replace(squares(3, "b"), attributes=None, mentions=None, vocabulary=None)
    both = join([squares(2, "a"), plain])
    assert both.attributes is not None
    assert both.attributes.iloc[2:].isna().all().all()
    assert both.attributes.iloc[0].notna().all()
    assert both.mentions is None
    assert both.vocabulary is not None


def test_one_split_joined_is_itself_and_two_have_a_digest_of_their_own():
    first, second = squares(3, "a"), squares(3, "b")
    assert join([first]) is first
    assert len({first.digest, join([first, second]).digest, join([second, first]).digest}) == 3


@pytest.mark.parametrize("row", [-1, 8])
def test_rows_that_are_not_there_are_an_error(row: int):
    with pytest.raises(IndexError, match="of 8 images"):
        join([squares(5, "a"), squares(3, "b")]).images.read([0, row])
