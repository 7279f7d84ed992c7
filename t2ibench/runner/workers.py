"""Processes that work beside this one: started, given tasks, listened to, ended and replaced."""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from t2ibench.runner.worker import Setup, Task

MODULE = "t2ibench.runner.worker"
PATIENCE = 2.0  # seconds that a process has to end by itself


@dataclass(eq=False)
class Hand:
    """One process.

    setup: what it was told first.
    handle: the process itself.
    ready: whether it has taken its setup.
    task: what it is at. since: when that was handed out, on the monotonic clock.
    """

    setup: Setup
    handle: Any = None
    ready: bool = False
    task: Task | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Ended:
    """A process is gone. how: what is known of that."""

    how: str


class Workers(ABC):
    """A number of processes, here or elsewhere. `close` ends them all."""

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._number = 0
        self.hands = [self._new(setup) for setup in setups]

    def _new(self, setup: Setup) -> Hand:
        """A writer has a name of its own in every start, since a process that was killed may have left half a line."""
        self._number += 1
        hand = Hand(setup)
        self.start(hand, replace(setup, writer=f"{setup.writer}-{os.getpid()}-{self._number}"))
        return hand

    def give(self, hand: Hand, task: Task) -> None:
        """Hand out a task."""
        hand.task, hand.since = task, time.monotonic()
        self.send(hand, task)

    def replace(self, hand: Hand) -> None:
        """Another process in place of one that has ended."""
        self.hands.remove(hand)
        self.hands.append(self._new(hand.setup))

    @abstractmethod
    def start(self, hand: Hand, setup: Setup) -> None:
        """Start the process of a hand. It says that it is ready, or why not, in its first answer."""

    @abstractmethod
    def send(self, hand: Hand, task: Task) -> None: ...

    @abstractmethod
    def answers(self, timeout: float | None) -> Iterator[tuple[Hand, Any]]:
        """The next answer with the process that gave it, or nothing within `timeout` seconds."""

    @abstractmethod
    def stop(self, hand: Hand) -> None:
        """End a process whatever it is at. Its last answer is `Ended`."""

    @abstractmethod
    def close(self) -> None: ...

    def grow(self) -> None:  # noqa: B027 - most have no place for more
        """Start more processes, where there is place for more since the last call."""


def process() -> subprocess.Popen[bytes]:
    """A process that imports what it needs, and waits for its setup. Ctrl-C is for the one that started it."""
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    command = [sys.executable, "-P", "-c", f"{deaf}; from {MODULE} import main; main()"]
    environment = {**os.environ, "PYTHONPATH": import_path()}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


@contextlib.contextmanager
def started(number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that import while this one still plans. Those that nobody takes from the list are ended."""
    waiting = [process() for _ in range(number)]
    try:
        yield waiting
    finally:
        for left in waiting:
            left.kill()
            left.communicate()


class LocalWorkers(Workers):
    """Processes on this machine, which are spoken to through their standard input and output.

    waiting: some that are started already.
    """

    def __init__(self, setups: Sequence[Setup], waiting: list[subprocess.Popen[bytes]] | None = None) -> None:
        self._answers: queue.SimpleQueue[tuple[Hand, Any]] = queue.SimpleQueue()
        self._waiting = [] if waiting is None else waiting
        super().__init__(setups)

    def start(self, hand: Hand, setup: Setup) -> None:
        hand.handle = self._waiting.pop() if self._waiting else process()
        threading.Thread(target=self._listen, args=(hand,), daemon=True).start()
        self._write(hand, setup)

    def send(self, hand: Hand, task: Task) -> None:
        self._write(hand, task)

    @staticmethod
    def _write(hand: Hand, message: Any) -> None:
        with contextlib.suppress(OSError):  # it has ended, and the reader of its answers says so
            pickle.dump(message, hand.handle.stdin)
            hand.handle.stdin.flush()

    def _listen(self, hand: Hand) -> None:
        with contextlib.suppress(Exception):  # the end of the file, also in the middle of an answer
            while True:
                self._answers.put((hand, pickle.load(hand.handle.stdout)))
        self._answers.put((hand, Ended(how_it_ended(hand.handle.wait()))))

    def answers(self, timeout: float | None) -> Iterator[tuple[Hand, Any]]:
        with contextlib.suppress(queue.Empty):
            yield self._answers.get(timeout=timeout)

    def stop(self, hand: Hand) -> None:
        hand.handle.kill()

    def close(self) -> None:
        """End every process: those that are at work too, after a moment."""
        for hand in self.hands:
            with contextlib.suppress(OSError):
                hand.handle.stdin.close()
        deadline = time.monotonic() + PATIENCE
        for hand in self.hands:
            try:
                hand.handle.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                hand.handle.kill()
                hand.handle.wait()


def import_path() -> str:
    """Where this process imports from, as PYTHONPATH: another one runs the same code and finds the same plug-ins."""
    return os.pathsep.join(os.path.abspath(entry) for entry in sys.path)


def how_it_ended(code: int) -> str:
    """In words: "signal 9" or "exit code 3"."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
