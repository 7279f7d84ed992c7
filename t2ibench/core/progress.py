"""Progress bars with speed and remaining time on a terminal. A bar inside another bar shares its display.

Without a terminal, a training writes one line a minute, and everything else is silent.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
EVERY = 60.0  # seconds between two lines of a log
console = Console(stderr=True)
_shown: list[Progress] = []  # the display of the outermost bar


@contextmanager
def _task(what: str, total: float | None, done: int = 0) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on the current display, or on a new one if there is none. The bar disappears when its task ends."""
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}")]
    times = [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    outermost = not _shown
    if outermost:
        _shown.append(Progress(*columns, *times, console=console, disable=not console.is_terminal, transient=True))
        _shown[0].start()
    progress = _shown[0]
    task = progress.add_task(what, total=total, completed=done, note="")
    try:
        yield progress, task
    finally:
        progress.remove_task(task)
        if outermost:
            _shown.pop().stop()


@contextmanager
def counter(what: str, *, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar for things that come in batches; `done` of them are finished at the start. Yields advance(count)."""
    with _task(what, total, done) as (progress, task):

        def note() -> None:
            shown = next((candidate for candidate in progress.tasks if candidate.id == task), None)
            if shown is not None and not progress.disable:
                speed = f" {shown.speed:,.1f}/s" if shown.speed else ""
                progress.update(task, note=f"{shown.completed:,.0f}/{total:,}{speed}")

        def advance(count: int) -> None:
            progress.advance(task, count)
            note()

        note()
        yield advance


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass items on, and show how many are done, how fast, and how much time is left."""
    with counter(what, total=total if total is not None else len(items)) as advance:  # type: ignore[arg-type]
        for item in items:
            yield item
            advance(1)


@contextmanager
def bar(
    what: str, *, total: int | None = None, minutes: float | None = None, done: int = 0
) -> Iterator[Callable[[float, Mapping[str, float]], None]]:
    """A bar for a training, which shows the losses. It counts minutes if they are given, and steps otherwise.

    Yields advance(seconds, losses).
    """
    with _task(what, 60 * minutes if minutes else total, 0 if minutes else done) as (progress, task):
        count, told = done, float("-inf")
        whole = f"{minutes:g} minutes" if minutes else f"{total:,} steps"

        def advance(seconds: float, losses: Mapping[str, float]) -> None:
            nonlocal count, told
            count += 1
            note = " ".join((f"step {count:,}", *(f"{key} {value:.3f}" for key, value in losses.items())))
            if not progress.disable:
                progress.update(task, completed=seconds if minutes else count, note=note)
            elif time.monotonic() - told >= EVERY:
                told = time.monotonic()
                console.print(f"{what}, {whole}: {note}", soft_wrap=True, highlight=False)

        yield advance
