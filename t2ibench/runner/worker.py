"""One of several processes that work on a suite: it makes blocks of cells and scores cells, as it is told.

`main` is the process. Pickled messages come in on the standard input and go out on the
standard output: a `Setup` first, then one answer to each task. It ends when the standard input ends, also when whoever
started it was killed.
"""

import functools
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from t2ibench.core import environment, offline, readers
from t2ibench.core.errors import SIGNALS, UserError
from t2ibench.core.plugins import Entry
from t2ibench.runner.cell import Cell, CellResult, RunOptions, cell_of, finish
from t2ibench.runner.generate import blocks_of, cost_of, failed, make_batch
from t2ibench.runner.journal import Store
from t2ibench.runner.look import look_at_part
from t2ibench.runner.plan import Plan
from t2ibench.runner.preflight import planned
from t2ibench.runner.shards import CellKey, blocks_of_shard, missing
from t2ibench.runner.suite import Suite


@dataclass(frozen=True)
class Setup:
    """What a worker is told first.

    options: as for the whole run, with this worker's device.
    writer: the name of its journals.
    folder: the working directory, from which relative paths are meant.
    """

    suite: Suite
    options: RunOptions
    writer: str
    folder: str = "."


@dataclass(frozen=True)
class Open:
    """Prepare a cell, and say whether it is recorded and which of its blocks are missing."""

    cell: CellKey


@dataclass(frozen=True)
class Make:
    """Make one block; with a reason: write down that it failed, and why."""

    cell: CellKey
    block: int
    failed: str = ""


@dataclass(frozen=True)
class Score:
    """Score a cell whose blocks are all made, and write its record."""

    cell: CellKey


@dataclass(frozen=True)
class Look:
    """Make a part of the features that the metrics of a cell need, whose blocks are all made."""

    cell: CellKey
    part: int
    of: int


Task = Open | Make | Look | Score


@dataclass(frozen=True)
class Opened:
    """recorded: the result where the cell is recorded already. folder: of its images. blocks: the sizes of the missing
    blocks, by number. images: how many images the cell has."""

    recorded: CellResult | None
    folder: Any
    blocks: dict[int, int]
    images: int


@dataclass(frozen=True)
class Failure:
    """A task that raised an exception. said: the line of a UserError, or a traceback. by_user: which of them."""

    said: str
    by_user: bool


class Worker:
    """Does tasks. Of methods it holds the one of its last task."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.options = setup, setup.options
        self.plans = {plan.track: plan for plan in planned(setup.suite, setup.options)}
        self.only = None if self.options.shard is None else blocks_of_shard([*self.plans.values()], self.options)
        self._cell: tuple[CellKey, Cell] | None = None

    def do(self, task: Task) -> Any:
        if isinstance(task, Open):
            return self._open(task)
        if isinstance(task, Look):
            return look_at_part(self._prepared(task.cell), task.part, task.of)
        return self._make(task) if isinstance(task, Make) else self._score(task)

    def _open(self, task: Open) -> Opened:
        cell = self._prepared(task.cell)
        if cell.earlier is not None:
            return Opened(CellResult(cell.earlier, cell.path, False, 0.0), cell.folder, {}, len(cell.samples))
        if cell.entry.id in self.options.again:
            Store(cell.folder).clear()
        blocks = missing(cell, self.options.batch, None if self.only is None else self.only[task.cell])
        return Opened(None, cell.folder, {k: len(block) for k, block in blocks.items()}, len(cell.samples))

    def _make(self, task: Make) -> int:
        cell = self._prepared(task.cell)
        block = blocks_of(cell.samples, self.options.batch)[task.block]
        store = Store(cell.folder, self.setup.writer)
        if task.failed:
            store.append([failed(sample, cell.sources, 0.0, task.failed) for sample in block])
        else:
            store.append(make_batch(cell.maker, block, store, cell.sources), cost_of(cell.maker))
        return len(block)

    def _score(self, task: Score) -> CellResult:
        cell, started = self._prepared(task.cell), time.perf_counter()
        return CellResult(finish(cell, self.options), cell.path, True, time.perf_counter() - started)

    def _prepared(self, key: CellKey) -> Cell:
        if self._cell is None or self._cell[0] != key:
            track, id, seed = key
            before = self._cell[1] if self._cell is not None and self._cell[0][:2] == (track, id) else None
            self._cell = None  # the networks of the last method go before those of the next come
            environment.reset_peak_memory(self.options.device)
            plan = self.plans[track]
            self._cell = key, cell_of(plan, _entry(plan, id), seed, self.options, before)
        return self._cell[1]


class Actor:
    """A `Worker` that answers with a `Failure` where it raises, for a process of ours or an actor of Ray."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.worker: Worker | None = None

    def ready(self) -> Failure | None:
        """Get ready, in the folder and with the threads of the run. Returns None, or why it cannot.

        What there is to warn of is said once, by the process that hands out the work.
        """
        os.chdir(self.setup.folder)
        torch.set_num_threads(self.setup.options.threads)
        readers.use(self.setup.options.workers)
        logging.disable(logging.WARNING)
        try:
            worker = _try(lambda: Worker(self.setup))
        finally:
            logging.disable(logging.NOTSET)
        if isinstance(worker, Failure):
            return worker
        self.worker = worker
        return None

    def do(self, task: Task) -> Any:
        assert self.worker is not None
        return _try(functools.partial(self.worker.do, task))


def _entry(plan: Plan, id: str) -> Entry:
    return next(entry for entry in plan.entries if entry.id == id)


def main() -> None:
    """Answer tasks until the standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a method prints is not an answer
    offline.apply()
    for number in (signal.SIGINT, *SIGNALS):  # they are for the process that hands out the work
        signal.signal(number, signal.SIG_IGN)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks), daemon=True).start()
    worker = Actor(tasks.get())
    _send(answers, worker.ready())
    while True:
        _send(answers, worker.do(tasks.get()))


def _try(work: Any) -> Any:
    try:
        return work()
    except UserError as error:
        return Failure(str(error), True)
    except Exception:
        return Failure(traceback.format_exc(), False)


def _receive(file: BinaryIO, tasks: "queue.SimpleQueue[Any]") -> None:
    """Put what comes in into a queue. Ends the process at once when nothing more can come."""
    try:
        while True:
            tasks.put(pickle.load(file))
    except Exception:
        os._exit(0)


def _send(file: BinaryIO, answer: Any) -> None:
    pickle.dump(answer, file)
    file.flush()
