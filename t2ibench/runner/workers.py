"""Processes that work beside this one: started, given tasks, listened to, ended and replaced."""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from t2ibench.runner.worker import Failure, Setup, Task

MODULE = "t2ibench.runner.worker"
PATIENCE = 2.0  # seconds that a process has to end by itself


@dataclass(eq=False)
class Hand:
    """One process. task: what it is at; since: when that was handed out; ready: whether it has taken its setup."""

    setup: Setup
    process: "subprocess.Popen[bytes]"
    ready: bool = False
    task: Task | None = None
    since: float = 0.0

    def give(self, task: Task) -> None:
        self.task, self.since = task, time.monotonic()
        self.send(task)

    def send(self, message: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, and the reader of its answers says so
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()


@dataclass(frozen=True)
class Ended:
    """A process is gone. how: what the system says of it."""

    how: str


class Workers:
    """A number of processes. `close` ends them all."""

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._answers: queue.SimpleQueue[tuple[Hand, Any]] = queue.SimpleQueue()
        self._number = 0
        self.hands: list[Hand] = []
        for setup in setups:
            self._start(setup)

    def _start(self, setup: Setup) -> None:
        """A writer has a name of its own in every start, since a process that was killed may have left half a line."""
        self._number += 1
        setup = replace(setup, writer=f"{setup.writer}-{os.getpid()}-{self._number}")
        command = [sys.executable, "-c", f"from {MODULE} import main; main()"]
        hand = Hand(setup, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        self.hands.append(hand)
        threading.Thread(target=self._listen, args=(hand,), daemon=True).start()
        hand.send(setup)

    def _listen(self, hand: Hand) -> None:
        assert hand.process.stdout is not None
        with contextlib.suppress(Exception):  # the end of the file, also in the middle of an answer
            while True:
                self._answers.put((hand, pickle.load(hand.process.stdout)))
        self._answers.put((hand, Ended(how_it_ended(hand.process.wait()))))

    def answers(self, timeout: float | None) -> Iterator[tuple[Hand, Any]]:
        """The next answer with the process that gave it, or nothing within `timeout` seconds."""
        with contextlib.suppress(queue.Empty):
            yield self._answers.get(timeout=timeout)

    def replace(self, hand: Hand) -> None:
        """Another process in place of one that has ended."""
        self.hands.remove(hand)
        self._start(replace(hand.setup, writer=hand.setup.writer.rsplit("-", 2)[0]))

    def close(self) -> None:
        """End every process: those that are at work too, after a moment."""
        for hand in self.hands:
            with contextlib.suppress(OSError):
                assert hand.process.stdin is not None
                hand.process.stdin.close()
        deadline = time.monotonic() + PATIENCE
        for hand in self.hands:
            try:
                hand.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                hand.process.kill()
                hand.process.wait()


def how_it_ended(code: int) -> str:
    """In words: "signal 9" or "exit code 3"."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


__all__ = ["Ended", "Failure", "Hand", "Workers"]
