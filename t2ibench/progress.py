"""Progress bars with rate and remaining time on a terminal; silence anywhere else."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
console = Console(stderr=True)


def _progress(*extra: TextColumn | MofNCompleteColumn) -> Progress:
    columns = [TextColumn("{task.description}"), BarColumn(), *extra, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass items on, showing how many, how fast and how long still."""
    rate = TextColumn("{task.fields[rate]}")
    with _progress(MofNCompleteColumn(), rate) as progress:
        task = progress.add_task(what, total=total if total is not None else len(items), rate="")  # type: ignore[arg-type]
        for item in items:
            yield item
            progress.advance(task)
            speed = progress.tasks[0].speed
            progress.update(task, rate=f"{speed:,.1f}/s" if speed else "")


@contextmanager
def bar(
    what: str, *, total: int | None = None, minutes: float | None = None, done: int = 0
) -> Iterator[Callable[[float, Mapping[str, float]], None]]:
    """A bar for training: by minutes where they are given, by steps otherwise; shows the losses. Yields advance(seconds, losses)."""
    with _progress(TextColumn("{task.fields[note]}")) as progress:
        task = progress.add_task(what, total=60 * minutes if minutes else total, completed=0 if minutes else done, note="")
        count = done

        def advance(seconds: float, losses: Mapping[str, float]) -> None:
            nonlocal count
            count += 1
            if not progress.disable:
                note = f"step {count:,} " + " ".join(f"{key} {value:.3f}" for key, value in losses.items())
                progress.update(task, completed=seconds if minutes else count, note=note)

        yield advance


@contextmanager
def counter(what: str, *, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar for things that come in batches, `done` of them before. Yields advance(how many)."""
    rate = TextColumn("{task.fields[rate]}")
    with _progress(MofNCompleteColumn(), rate) as progress:
        task = progress.add_task(what, total=total, completed=done, rate="")

        def advance(count: int) -> None:
            progress.advance(task, count)
            speed = progress.tasks[0].speed
            progress.update(task, rate=f"{speed:,.1f}/s" if speed else "")

        yield advance
