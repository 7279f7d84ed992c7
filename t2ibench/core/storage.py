"""Files that are published whole or not at all, and work that several processes share and do once.

A published file is never changed: a writer makes a part file of its own name, and renames it. Where the folder mirrors
one elsewhere (`t2ibench.core.mirrors`), the file goes there first, as one object.
"""

import errno
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from t2ibench.core import mirrors
from t2ibench.core.claims import Claim, Taken
from t2ibench.core.errors import UserError

OUT, CACHE = "choose another folder with --out", "set T2IBENCH_CACHE to a folder that can"
WORK = "choose another folder with --work"
NO_RENAME = (errno.EPERM, errno.EEXIST, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)  # of one file over another
TODO = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EMFILE: "too many files are open here: close some, or raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine: close some",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ETIMEDOUT: "the file system or the network does not answer: try again",
    errno.ENOMEM: "there is too little memory: use a smaller --batch, or end other programs",
}
T = TypeVar("T")
log = logging.getLogger(__name__)
_unclaimed: set[str] = set()  # where it was said


def publish(
    path: Path, parts: bytes | Iterable[bytes | memoryview], advice: str = OUT, wait: bool = True, push: bool = True
) -> None:
    """Write a file whole or not at all, also if the power fails, and while others write the same one.

    parts: the content, whole or in parts.
    advice: what to do if the folder cannot be written, for the UserError that says so.
    wait: for the disk. Without it a file may be cut after a power failure; for files that are checked or made again.
    push: to where the folder mirrors; without it, the caller does so (`mirrors.push`).
    """
    with unpublished(path, advice, wait, push) as part, part.open("wb") as file:
        file.writelines([parts] if isinstance(parts, bytes) else parts)


@contextmanager
def unpublished(path: Path, advice: str = OUT, wait: bool = True, push: bool = True) -> Iterator[Path]:
    """A part file of its own name, for code that writes files itself. It is published at the end.

    Where an error ends the writing, it is removed. push: as in `publish`.
    """
    part = path.with_name(f".{path.name[:120]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if wait:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        if push and (mirror := mirrors.mirror_of(path)) is not None:
            mirror.push([(path, part)])
        _renamed(part, path)
    except OSError as error:
        raise cannot_be_written(path, error, advice) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _renamed(part: Path, path: Path) -> None:
    """Put a whole file in its place, also on a file system that renames none over another, or none at all."""
    try:
        os.replace(part, path)
    except OSError as error:
        if error.errno not in NO_RENAME:
            raise
        path.unlink(missing_ok=True)
        try:
            os.rename(part, path)
        except OSError:
            path.write_bytes(part.read_bytes())


def removed(path: Path) -> None:
    """Remove a file, also where its folder mirrors. It may be gone. Raises OSError."""
    path.unlink(missing_ok=True)
    if (mirror := mirrors.mirror_of(path)) is not None:
        mirror.remove(path)


def cannot_be_written(path: Path, error: OSError, advice: str) -> UserError:
    """The error for a path that cannot be written, by its reason. advice: what to do about a folder that is closed."""
    todo = TODO.get(error.errno or 0, advice)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        todo = f"{todo}, or {advice}"
    return UserError(f"{_named(path)} cannot be written ({error.strerror or error}): {todo}")


def of_system(error: OSError) -> str:
    """One line for an error of the system that nobody expected: the file, the reason, and what to do."""
    todo = TODO.get(error.errno or 0, "check the path, and that you may read and write there")
    where = f"{_named(error.filename)}: " if isinstance(error.filename, str | Path) else ""
    return f"{where}{error.strerror or error}: {todo}"


def _named(path: str | Path) -> str:
    """A path for an error line, cut where it is very long."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:200]}…"


@contextmanager
def held(lock: Path, advice: str, busy: str | None = None) -> Iterator[None]:
    """Hold the claim of a file by that name inside. That of a dead process is taken over (`t2ibench.core.claims`).

    A file system that has no claims is no fault: work that is done twice writes the same bytes under the same names. It
    is said once. What the code inside raises is its own.

    busy: the error line if another process holds the claim; None: wait for it.

    Raises UserError with that line, and where the folder cannot be made.
    """
    claim, holds = Claim(lock), False
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(lock.parent, error, advice) from error
    try:
        claim.acquire(wait=busy is None)
        holds = True
    except Taken as error:
        raise UserError(busy or f"{lock} is held by another process") from error
    except OSError as error:  # what is written inside says it, if nothing can be written here
        if lock.parent.anchor not in _unclaimed:
            _unclaimed.add(lock.parent.anchor)
            reason = error.strerror or error
            log.warning("%s: no claims here (%s); what runs at once may be done twice", lock.parent, reason)
    try:
        yield
    finally:
        if holds:
            claim.release()


def once(lock: Path, look: Callable[[], T | None], make: Callable[[], T], advice: str = CACHE) -> T:
    """What `look` finds, or else what `make` makes; of several processes that need it at once, one makes it.

    lock: the file by which they wait for each other. A folder that cannot be written is no fault while `look` finds.
    Raises UserError if something has to be made and the folder of the lock cannot be written.
    """

    def found() -> T | None:
        try:
            return look()
        except OSError:  # what cannot be read is as good as not there
            return None

    if (kept := found()) is not None:
        return kept
    with held(lock, advice):
        return make() if (kept := found()) is None else kept
