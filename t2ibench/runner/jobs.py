"""A suite by several processes. This one hands out blocks and cells; what it does not hand out it does not know.

A free process goes on with its cell; else it takes the next cell that nobody has opened, since a method that is loaded
once in each process is loaded often enough; and where every cell is open, it helps the one with the most blocks left.
Who makes the last block of a cell scores it. Where nothing else is left to do, all of them first make features for its
metrics, each of every N-th batch.
"""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from t2ibench.core import environment, readers, records
from t2ibench.core.errors import UserError
from t2ibench.core.progress import counter
from t2ibench.runner.cell import CellResult, RunOptions, check_columns
from t2ibench.runner.generate import locked
from t2ibench.runner.plan import Plan
from t2ibench.runner.preflight import check
from t2ibench.runner.shards import CellKey, cells_of
from t2ibench.runner.suite import Suite
from t2ibench.runner.worker import Failure, Look, Make, Open, Opened, Score, Setup, Task
from t2ibench.runner.workers import Ended, Hand, LocalWorkers, Workers

TRIES = 3  # how often a task is given to a process before it counts as failed
FEW = 200  # images to make, for which a process more pays
MEMORY = 2 * 2**30  # bytes for a process, with a method and the networks that score it; larger ones need --jobs
MOST = 16  # processes, where nobody says how many
DEADLINE = 3600.0  # seconds for a block on a cluster, where nobody says another: a frozen node never answers
POLL = 0.5  # seconds between two looks at the clock, where there is a limit


@dataclass
class State:
    """How far a cell is.

    blocks: sizes of the blocks that nobody makes yet, by number. at: how many processes are at one of its tasks.
    looks: the parts of its features that nobody makes yet.
    """

    key: CellKey
    stage: str = "new"  # then "opening", "making", maybe "looking", "scoring" and "done"
    blocks: dict[int, int] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    at: int = 0


class Agenda:
    """Which task comes next for whom."""

    def __init__(self, cells: Sequence[CellKey], scores: bool = True, hands: int = 1) -> None:
        self.scores = scores  # or else a cell is done when its blocks are
        self.hands = hands  # how many there are to help
        self.cells = {key: State(key) for key in cells}
        self.starts = 0  # of processes that ended before they could work
        self.tries: Counter[Task] = Counter()
        self.reasons: dict[Task, str] = {}
        self.again: list[Task] = []  # tasks of processes that ended

    def next(self, last: CellKey | None) -> Task | None:
        """The next task of a process whose last cell was `last`, or None if there is nothing to do at the moment."""
        if self.again:
            return self._taken(self.again.pop(0))
        for state in self.cells.values():
            if self.scores and state.stage == "making" and not state.blocks and not state.at:
                state.stage = "looking"
                if self.hands > 1 and not self._more(state):
                    state.looks = [Look(state.key, part, self.hands) for part in range(self.hands)]
            if state.looks:
                return self._taken(state.looks.pop(0))
            if state.stage == "looking" and not state.at:
                state.stage = "scoring"
                return self._taken(Score(state.key))
        making = [state for state in self.cells.values() if state.blocks]
        own = [state for state in making if state.key == last]
        new = [state for state in self.cells.values() if state.stage == "new"]
        if new and not own:  # of the method that is loaded, if there is one
            state = next((state for state in new if last is not None and state.key[:2] == last[:2]), new[0])
            state.stage = "opening"
            return self._taken(Open(state.key))
        if not making:
            return None
        state = own[0] if own else max(making, key=lambda state: sum(state.blocks.values()))
        number = next(iter(state.blocks))
        state.blocks.pop(number)
        return self._taken(Make(state.key, number))

    def _more(self, but: State) -> bool:
        """Whether others have more to do than this cell."""
        return any(state.blocks or state.stage in ("new", "opening") for state in self.cells.values() if state != but)

    def _taken(self, task: Task) -> Task:
        self.cells[task.cell].at += 1
        return task

    def returned(self, task: Task) -> State:
        """A task is done."""
        state = self.cells[task.cell]
        state.at -= 1
        if not self.scores and state.stage == "making" and not state.blocks and not state.at:
            state.stage = "done"
        return state

    def lost(self, task: Task, reason: str) -> bool:
        """A process ended at a task. Returns whether it is tried again; a block is put down as failed after three.

        reason: why the block failed.
        """
        self.returned(task)
        if isinstance(task, Look):  # who scores makes them
            return True
        self.tries[task] += 1
        if self.tries[task] < TRIES:
            self.again.append(task)
        elif isinstance(task, Make) and not task.failed:
            self.again.append(replace(task, failed=reason))
        else:
            return False
        return True

    @property
    def finished(self) -> bool:
        return all(state.stage == "done" for state in self.cells.values())


def run(
    plans: Sequence[Plan], options: RunOptions, waiting: list[subprocess.Popen[bytes]] | None = None
) -> Iterator[CellResult]:
    """Run every cell of a suite with `number` processes, and yield each result as soon as it is there.

    waiting: processes that are started already.

    Raises UserError as `t2ibench.runner.run.run` does. All processes end with it, whatever happens.
    """
    devices, here = options.devices or (options.device,), os.getcwd()

    shared = readers.usual(number(plans, options)) if options.workers is None else options.workers

    def setup(k: int) -> Setup:
        own = replace(options, device=devices[k % len(devices)], workers=shared)
        return Setup(plans[0].suite, own, f"{k}", here)

    with ExitStack() as stack:
        workers: Workers
        if options.executor == "ray":
            from t2ibench.runner.cluster import RayWorkers

            options = replace(options, batch_timeout=options.batch_timeout or DEADLINE)
            workers = RayWorkers(setup, options.jobs, options.address)
        else:
            workers = LocalWorkers([setup(k) for k in range(number(plans, options))], waiting)
        stack.callback(workers.close)
        check(plans, options)  # while they load what they need
        yield from _work(plans, options, workers, stack)


def _work(plans: Sequence[Plan], options: RunOptions, workers: Workers, stack: ExitStack) -> Iterator[CellResult]:
    suite = plans[0].suite
    agenda = Agenda(cells_of(plans), options.shard is None, len(workers.hands))
    missing, values = suite.must_make, False
    locks: dict[CellKey, ExitStack] = {}
    last: dict[Hand, CellKey] = {}
    advance = stack.enter_context(counter(f"{suite.name}, {len(workers.hands)} processes", total=_images(plans)))
    while not agenda.finished:
        workers.grow()
        for hand in [hand for hand in workers.hands if hand.ready and hand.task is None]:
            if task := agenda.next(last.get(hand)):
                last[hand] = task.cell
                workers.give(hand, task)
        for hand, answer in workers.answers(POLL if options.batch_timeout else None):
            if isinstance(answer, Failure):
                raise UserError(answer.said) if answer.by_user else RuntimeError(answer.said)
            if isinstance(answer, Ended):
                _ended(agenda, workers, hand, answer.how)
                continue
            if not hand.ready:
                hand.ready = True
                continue
            assert hand.task is not None
            task, hand.task = hand.task, None
            state = agenda.returned(task)
            done: CellResult | None = None
            if isinstance(task, Make):
                advance(answer)
            elif isinstance(task, Look):
                pass
            elif isinstance(task, Score):
                done = answer
                locks.pop(task.cell).close()
            else:
                assert isinstance(answer, Opened)
                advance(answer.images - sum(answer.blocks.values()))
                done = answer.recorded
                if done is None and options.shard is None:
                    locks[task.cell] = stack.enter_context(ExitStack())
                    locks[task.cell].enter_context(locked(answer.folder))
                if done is None:
                    state.blocks = answer.blocks
                    state.stage = "making" if options.shard is None or answer.blocks else "done"
            if done is not None:
                state.stage = "done"
                missing -= set(done.record["values"])
                values |= not done.record["partial"]
                if options.shard is None:
                    yield done
        _stop_late(agenda, workers, options.batch_timeout)
    if values and options.shard is None:
        check_columns(suite, missing, {})


def _ended(agenda: Agenda, workers: Workers, hand: Hand, how: str) -> None:
    """A process is gone: its task goes to another one, and another process takes its place."""
    task = hand.task
    agenda.starts += not hand.ready
    if agenda.starts > TRIES * len(workers.hands):
        raise UserError(f"processes end before they can work ({how}): use --jobs 1")
    if task is not None:
        times = "three times" if TRIES == 3 else f"{TRIES} times"
        reason = agenda.reasons.pop(task, f"the process that made it ended {times} ({how})")
        if not agenda.lost(task, reason):
            what = " ".join(map(str, task.cell))
            raise UserError(f"{what}: the process that prepared or scored it ended {times} ({how}): use --jobs 1")
    workers.replace(hand)


def _stop_late(agenda: Agenda, workers: Workers, limit: float | None) -> None:
    """End the processes that are at one block for longer than `limit` seconds."""
    for hand in workers.hands:
        if limit and isinstance(hand.task, Make) and time.monotonic() - hand.since > limit:
            agenda.reasons[hand.task] = f"no image within {limit:g} s (--batch-timeout)"
            workers.stop(hand)


def number(plans: Sequence[Plan], options: RunOptions) -> int:
    """How many processes work: `options.jobs`, or else a process a device, or a processor, if the work is worth it.

    It is not where few images are to be made, where a record says that the suite has been run before, or where the
    memory that is free does not hold more of them.
    """
    if options.jobs or options.devices:
        return options.jobs or len(options.devices)
    if options.device != "cpu" or _recorded_before(plans, options):
        return 1
    memory = environment.free_memory()
    room = MOST if memory is None else memory // MEMORY
    return max(1, min(readers.processors(), _images(plans) // FEW, room, MOST))


def expected(suite: Suite, options: RunOptions) -> int:
    """How many processes will work, as far as the suite's file says it; 0 where one may be enough.

    They can be started (`t2ibench.runner.workers.started`) before a method is imported and the data set is opened.
    """
    if options.executor != "local" or options.jobs == 1 or options.device != "cpu":
        return 0
    if options.jobs or options.devices:
        return options.jobs or len(options.devices)
    track, cells = "text_to_image", []
    if track in suite.tracks:
        methods = [entry for entry in suite.methods if not suite.only or entry.id in suite.only]
        cells = [
            (entry.id, seed) for entry in methods if not entry.tracks or track in entry.tracks for seed in suite.seeds
        ]
    if any(records.path_of(options.out, suite.name, track, id, seed).exists() for id, seed in cells):
        return 0
    images = suite.settings[track].captions * len(cells) if cells else 0
    number = min(readers.processors(), images // FEW, MOST)
    return number if number > 1 else 0


def _images(plans: Sequence[Plan]) -> int:
    """How many images all cells of a suite have."""
    return sum(prompt.images * len(plan.entries) * len(plan.suite.seeds) for plan in plans for prompt in plan.prompts)


def _recorded_before(plans: Sequence[Plan], options: RunOptions) -> bool:
    cells = ((plan, entry, seed) for plan in plans for entry in plan.entries for seed in plan.suite.seeds)
    return any(records.path_of(options.out, p.suite.name, p.track, e.id, s).exists() for p, e, s in cells)
