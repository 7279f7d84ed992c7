"""A part of a suite that needs no word from the other parts: every N-th block, over all cells in order."""

import itertools
import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence

from t2ibench.runner.cell import Cell, RunOptions, cell_of
from t2ibench.runner.generate import blocks_of, cost_of, make_batch
from t2ibench.runner.journal import Store
from t2ibench.runner.plan import Plan
from t2ibench.tracks.contract import Sample

CellKey = tuple[str, str, int]  # track, id of the method or baseline, run seed


def cells_of(plans: Sequence[Plan]) -> list[CellKey]:
    """Every cell of a suite, in the order in which one process runs them."""
    return [(plan.track, entry.id, seed) for plan in plans for seed in plan.suite.seeds for entry in plan.entries]


def blocks_of_shard(plans: Sequence[Plan], options: RunOptions) -> dict[CellKey, Collection[int]]:
    """The numbers of the blocks of each cell that shard i of N makes. The N shards together make each block once."""
    assert options.shard is not None
    shard, count = options.shard
    numbers, found = itertools.count(), dict[CellKey, Collection[int]]()
    for plan in plans:
        for seed in plan.suite.seeds:
            blocks = len(blocks_of(plan.of_track.samples(plan.prompts, seed), options.batch))
            for entry in plan.entries:
                found[plan.track, entry.id, seed] = [k for k in range(blocks) if next(numbers) % count == shard]
    return found


def missing(cell: Cell, batch: int, only: Collection[int] | None = None) -> dict[int, list[Sample]]:
    """The blocks of a cell that do not lie in its folder, whole and undamaged, by number.

    only: look at these blocks alone.
    """
    blocks = {
        number: block for number, block in enumerate(blocks_of(cell.samples, batch)) if only is None or number in only
    }
    held = Store(cell.folder, "reader").sound({s.id: cell.sources[s.id] for block in blocks.values() for s in block})
    return {number: block for number, block in blocks.items() if any(sample.id not in held for sample in block)}


def make_shard(plans: Sequence[Plan], options: RunOptions) -> Iterator[int]:
    """Make the blocks of one shard in this process, and yield the number of images of each. Nothing is scored."""
    wanted: Mapping[CellKey, Collection[int]] = blocks_of_shard(plans, options)
    for plan in plans:
        for seed in plan.suite.seeds:
            for entry in plan.entries:
                if not (only := wanted[plan.track, entry.id, seed]):
                    continue
                cell = cell_of(plan, entry, seed, options)
                if cell.earlier is None:
                    store = Store(cell.folder, writer_of(options))
                    for block in missing(cell, options.batch, only).values():
                        store.append(make_batch(cell.maker, block, store, cell.sources), cost_of(cell.maker))
                        yield len(block)


def writer_of(options: RunOptions) -> str:
    """A name for the journals of this process that no other process has, on this machine or another."""
    part = "" if options.shard is None else f"{options.shard[0]}of{options.shard[1]}-"
    return f"{part}{socket.gethostname()[:32]}-{os.getpid()}"
