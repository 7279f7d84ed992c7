"""Image files are read by threads beside the caller, so that a network does not wait for images.

Pillow decodes and resizes without Python's lock, so threads are enough: no image is copied from one process to another.
Small images are read by one thread: several would wait for the lock longer than they decode. How many there are changes
no result.
"""

import functools
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

MOST = 8  # readers, unless somebody asks for more
BLOCK = 32  # items that a reader takes at once; fewer where there are few
QUICK = 0.0004  # seconds; of items that take less, two threads read fewer a second than one
PROBE = 3  # items a reader that show how long one takes: the very first may load what reads it
WAITING = 4  # items that may have been read ahead and not been asked for
T = TypeVar("T")
R = TypeVar("R")
_asked: int | None = None


def use(readers: int | None) -> None:
    """How many threads read in this process. 0: the caller reads, when it needs something. None: `usual`."""
    global _asked
    _asked = readers


@contextmanager
def so_many(readers: int | None) -> Iterator[None]:
    """As `use`, inside of this context."""
    before = _asked
    use(readers)
    try:
        yield
    finally:
        use(before)


def number() -> int:
    """How many threads read in this process."""
    return usual() if _asked is None else _asked


def usual(processes: int = 1) -> int:
    """As many as this process may use processors, at most MOST. processes: how many share them."""
    return max(1, min(MOST, processors() // processes))


def processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def in_order(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`work` of each item, in their order; all readers work at once. Raises what `work` raises.

    The first items show how long one takes; quick ones are then read by the caller alone.
    `work` must not call this function: all readers could wait for one another.
    """
    readers = number()
    if readers < 2 or len(items) < 2:
        yield from map(work, items)
        return

    def timed(item: T) -> tuple[R, float]:
        start = time.thread_time()  # does not count what the thread waits
        return work(item), time.thread_time() - start

    pool, first, rest = _pool(os.getpid(), "read", readers), items[: PROBE * readers], items[PROBE * readers :]
    shortest = math.inf
    for result, seconds in pool.map(timed, first):
        shortest = min(shortest, seconds)
        yield result
    if shortest < QUICK:
        yield from map(work, rest)
        return
    size = max(1, min(BLOCK, -(-len(rest) // readers)))
    blocks = [rest[start : start + size] for start in range(0, len(rest), size)]
    yield from itertools.chain.from_iterable(pool.map(lambda block: [work(item) for item in block], blocks))


class Ahead(Generic[R]):
    """Item k of a sequence, as `read` gives it; item k + 1 is read while the caller works with item k.

    read: from a number to the item. It runs in another thread, and must not change what others read.
    end: the number of items; None: there is no end.
    """

    def __init__(self, read: Callable[[int], R], end: int | None = None) -> None:
        self.read, self.end = read, end
        self._coming: dict[int, Future[R]] = {}
        self._lock = threading.Lock()

    def __call__(self, index: int) -> R:
        if number() < 1:
            return self.read(index)
        with self._lock:
            wanted = self._begun(index)
            if self.end is None or index + 1 < self.end:
                self._begun(index + 1)
            del self._coming[index]
            for other in [*self._coming][:-WAITING]:  # who goes back, or leaps, leaves some behind
                self._coming.pop(other).cancel()
        return wanted.result()

    def _begun(self, index: int) -> "Future[R]":
        if index not in self._coming:
            self._coming[index] = _pool(os.getpid(), "ahead", 1).submit(self.read, index)
        return self._coming[index]


@functools.cache
def _pool(process: int, what: str, threads: int) -> ThreadPoolExecutor:
    """The threads of a process, which begin when they are first needed. A fork has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"t2ibench {what}")
