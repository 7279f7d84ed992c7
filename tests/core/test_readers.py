"""core/readers.py: what is read does not depend on how many read it, nor on when."""

import threading

import pytest

from t2ibench.core import readers
from t2ibench.core.readers import Ahead, in_order


@pytest.fixture(autouse=True)
def restored():
    yield
    readers.use(None)


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_items_come_in_their_order_however_many_read(number):
    readers.use(number)
    assert list(in_order(lambda item: item * item, range(200))) == [item * item for item in range(200)]
    ahead = Ahead(lambda index: index + 100, 7)
    assert [ahead(index) for index in (0, 1, 2, 5, 6, 3)] == [100, 101, 102, 105, 106, 103]


def test_several_threads_read_at_once():
    readers.use(3)
    together = threading.Barrier(3, timeout=20)
    assert list(in_order(lambda item: together.wait() >= 0, range(3))) == [True] * 3


def test_the_next_item_is_read_while_the_caller_works():
    readers.use(1)
    begun = {index: threading.Event() for index in range(4)}

    def read(index: int) -> int:
        begun[index].set()
        return index

    ahead = Ahead(read, 4)
    assert ahead(0) == 0
    assert begun[1].wait(20)
    assert not begun[2].is_set()
    assert ahead(3) == 3  # the last one: there is nothing behind it


def test_nobody_reads_ahead_where_there_are_no_readers():
    readers.use(0)
    asked: list[int] = []

    def read(index: int) -> int:
        asked.append(index)
        return index

    assert [Ahead(read)(index) for index in (4, 9)] == [4, 9]
    assert asked == [4, 9]


def test_what_is_left_behind_is_let_go():
    readers.use(1)
    ahead = Ahead(lambda index: index)
    for index in range(0, 100, 10):
        assert ahead(index) == index
    assert len(ahead._coming) <= readers.WAITING


def test_an_error_comes_to_the_caller():
    readers.use(2)

    def refuse(item: int) -> int:
        raise ValueError(f"no {item}")

    with pytest.raises(ValueError, match="no 3"):
        list(in_order(refuse, [3, 4, 5]))
    with pytest.raises(ValueError, match="no 8"):
        Ahead(refuse)(8)


def test_as_many_read_as_there_are_processors(monkeypatch):
    monkeypatch.setattr(readers, "processors", lambda: 6)
    assert (readers.usual(), readers.usual(2), readers.usual(100), readers.number()) == (6, 3, 1, 6)
    monkeypatch.setattr(readers, "processors", lambda: 200)
    assert readers.usual() == readers.MOST
