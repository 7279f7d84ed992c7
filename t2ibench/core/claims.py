"""Claims: a small file says who is at work on something, so that others wait for it or do something else.

No `flock`, which some file systems do not have and others hang in: a claim is created by one process alone, and changes
every few seconds while its owner lives. One whose owner is dead is taken over: at once on the same host, and after a
time without change on another one. A claim saves work and guarantees nothing: what is done twice writes the same bytes
under the same names.
"""

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from t2ibench.core import mirrors

LEASE = 30.0  # seconds without a change after which the owner counts as dead
BEATS = 4  # changes in that time
POLL = 0.1  # seconds between two looks at a claim here
TORN = 1.0  # seconds after which an empty claim is one that its owner did not live to write


_mine: list["Claim"] = []  # what this process holds


class Taken(Exception):
    """Another process holds the claim."""


class NoClaims(OSError):
    """The file system cannot hold claims."""


@dataclass(eq=False)
class Claim:
    """A claim that this process may hold. path: its file, here or in a mirror."""

    path: Path

    def __post_init__(self) -> None:
        self.token, self._beat = secrets.token_hex(8), 0
        self._mirror = mirrors.mirror_of(self.path)
        self._released = threading.Event()

    def acquire(self, wait: bool) -> None:
        """Take the claim. wait: for an owner that lives; without it, raise Taken.

        Raises NoClaims where the file system has no way to create a file once, and OSError where it cannot be written.
        """
        if self._mirror is not None and not self._mirror.exclusive:
            raise NoClaims(f"{self._mirror.url}: no exclusive create")
        watched: bytes | None = None
        since = time.monotonic()
        while not self._created():
            content = self._read()
            if content is None:
                continue
            if content != watched:
                if watched is not None and watched != b"" and not wait:
                    raise Taken
                watched, since = content, time.monotonic()
            dead = _dead(content, time.monotonic() - since)
            if dead and self._read() == content:  # not yet taken by somebody else
                self._remove()
                continue
            if not wait and dead is False:
                raise Taken
            time.sleep(POLL if self._mirror is None else 10 * POLL)
        _mine.append(self)
        threading.Thread(target=self._keep, daemon=True).start()

    def release(self) -> None:
        self._released.set()
        if self in _mine:
            _mine.remove(self)
        with suppress(OSError):
            if _field(self._read(), "token") == self.token:
                self._remove()

    def _keep(self) -> None:
        """Change the claim until it is released, or another process has taken it."""
        while not self._released.wait(LEASE / BEATS):
            with suppress(OSError):
                if _field(self._read(), "token") != self.token:
                    return
                self._beat += 1
                self._write()

    def _content(self) -> bytes:
        # each beat has the same length, so that it is written over the last one
        claim = {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid()), "token": self.token}
        return json.dumps({**claim, "lease": LEASE, "beat": f"{self._beat:012d}"}).encode()

    def _created(self) -> bool:
        """Whether the claim is created. Raises OSError where it can be neither created nor read."""
        try:
            if self._mirror is not None:
                self._mirror.create(self._mirror.there(self.path), self._content())
            else:
                with self.path.open("xb") as file:
                    file.write(self._content())
        except FileExistsError:
            return False
        except OSError:
            if self._read() is None:  # some servers say otherwise that it is there
                raise
            return False
        return True

    def _read(self) -> bytes | None:
        try:
            if self._mirror is not None:
                content: bytes = self._mirror.system.cat_file(self._mirror.there(self.path))
                return content
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def _write(self) -> None:
        if self._mirror is not None:
            self._mirror.system.pipe_file(self._mirror.there(self.path), self._content())
        else:
            with self.path.open("r+b") as file:
                file.write(self._content())

    def _remove(self) -> None:
        if self._mirror is not None:
            self._mirror.remove(self.path)
        else:
            self.path.unlink(missing_ok=True)


def release_all() -> None:
    """Give back what this process holds, before it ends without its clean-up."""
    for claim in [*_mine]:
        claim.release()


def _dead(content: bytes, unchanged: float) -> bool | None:
    """Whether the owner of a claim that has not changed for so many seconds is dead; None: it is not known yet."""
    pid, lease = _field(content, "pid"), _field(content, "lease")
    if not isinstance(pid, int) or not isinstance(lease, float):
        return unchanged > TORN or None
    if unchanged > lease:
        return True
    if _field(content, "host") != _host():
        return None
    return _started(pid) != _field(content, "started")


def _field(content: bytes | None, name: str) -> object:
    try:
        return json.loads(content or b"")[name]
    except (ValueError, LookupError, TypeError):
        return None


def _host() -> str:
    """This machine, and which of its sets of process numbers this process belongs to."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()} {space}".strip()


def _started(pid: int) -> str:
    """When a process was started, as far as the system says it; empty where there is none."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "lives"
