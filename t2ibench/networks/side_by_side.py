"""Two batches at once: while one is read from its files, the other is in the network.

On a processor each of the two has half of torch's threads. One network over all cores waits at the end of each of its
layers until the last core is done; two beside one another do not, and no core waits for a batch to be decoded.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from t2ibench.networks.precision import full_float32

AT_ONCE = 2
T = TypeVar("T")
R = TypeVar("R")


def at_once(count: int) -> int:
    """How many of so many items `side_by_side` works on at once."""
    return AT_ONCE if count >= AT_ONCE and torch.get_num_threads() >= AT_ONCE else 1


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`work` of each item, in their order, without gradients; two items are worked on at once.

    A process that has one thread works on one item at a time. `work` must not change what its other calls read.
    """
    threads = torch.get_num_threads()
    several = at_once(len(items)) > 1

    @torch.no_grad()
    def without_gradients(item: T) -> R:
        return work(item)

    if not several:
        yield from map(without_gradients, items)
        return
    try:
        # Each network sets the precision of products around its calls and puts it back. It is set here already, so that
        # of two that overlap none puts back what the other has set.
        with (
            full_float32(),
            ThreadPoolExecutor(AT_ONCE, initializer=torch.set_num_threads, initargs=(threads // AT_ONCE,)) as pool,
        ):
            yield from pool.map(without_gradients, items)
    finally:
        torch.set_num_threads(threads)  # what a thread sets is also the number of threads of those that start later
