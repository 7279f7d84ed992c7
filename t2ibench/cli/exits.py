"""The exit codes of every verb, and how a command ends that is stopped.

| code | what it says |
|---|---|
| 0 | fine; also where the reader of a pipe has seen enough |
| 1 | drift, a failed gate or verification, a refuted claim |
| 2 | the input is wrong: one line |
| 3 | inconclusive |
| 4 | finished, but cells failed |
| 70 | a fault of ours: a traceback |
| 75 | stopped by a signal, as by a time limit; the same command goes on |
| 130 | stopped by Ctrl-C; the same command goes on |
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from t2ibench.core import claims
from t2ibench.core.errors import SIGNALS, Terminated
from t2ibench.core.plain_text import plain

INPUT, FAULT, SIGNAL, INTERRUPT = 2, 70, 75, 130
PATIENCE = 1.8  # seconds that a stopped command has for what it is doing
_said: list[str] = []  # the last line of this command, once it was printed
STOPPED = "stopped; the same command goes on from here"


class Stopped(BaseException):
    """A command was stopped. No code but `main` catches it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def ended_in_words() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGUSR1 as `Stopped`, which typer does not swallow; a closed pipe as a quiet end."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Stopped(_code(stop), str(stop) or STOPPED) from stop
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from error


def leave(code: int, text: str) -> NoReturn:
    """Print one line and end. Names with line ends, or with what a terminal obeys, are shown without them."""
    text = " ".join(plain(text).splitlines())
    print(f"t2ibench: {text}", file=sys.stderr)
    _said.append(text)
    sys.exit(code)


@contextmanager
def signals() -> Iterator[None]:
    """SIGTERM and SIGUSR1 stop a command as Ctrl-C does. What does not end within two seconds is ended: files are
    whole at any time, and what was half done is done again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        error = Terminated() if number in SIGNALS else KeyboardInterrupt()
        last = threading.Timer(PATIENCE, _end, (_code(error),))
        last.daemon = True
        last.start()
        raise error

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, *SIGNALS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code(stop: KeyboardInterrupt) -> int:
    return SIGNAL if isinstance(stop, Terminated) else INTERRUPT


def _end(code: int) -> None:
    if not _said:
        os.write(2, f"t2ibench: {STOPPED}\n".encode())
    last = threading.Timer(0.2, os._exit, (code,))  # should the file system of a claim not answer
    last.daemon = True
    last.start()
    claims.release_all()
    os._exit(code)
