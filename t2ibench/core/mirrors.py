"""Folders on other file systems, such as `s3://bucket/runs`, and for each a folder here that the package works with.

What is published here goes there as whole objects: nothing is appended to, and nothing is renamed. Records, journals
and all other small files are read when a run starts, and where others may have written since; an image when it is
asked for. So a run, `status` and `table` see what every machine has written.

Any file system will do that fsspec opens. It is told where its server is by its own environment variables, as
AWS_ENDPOINT_URL for `s3://`.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from t2ibench.core.errors import UserError

VARIABLE = "T2IBENCH_MIRRORS"  # addresses and folders as JSON; the processes of a run have it from the first one
LAZY = ("images", "features", "report")  # folders of many files, which are read one by one
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mirror:
    """One folder elsewhere.

    url: its address. folder: the folder here. system: the file system of fsspec. root: its path there.
    """

    url: str
    folder: Path
    system: Any
    root: str
    _seen: dict[str, str] = field(default_factory=dict)  # what is known of the objects that were read, by name

    def there(self, path: Path) -> str:
        """The path there of a path here."""
        name = path.relative_to(self.folder).as_posix()
        return self.root if name == "." else f"{self.root}/{name}"

    @cached_property
    def exclusive(self) -> bool:
        """Whether an object can be created by one writer alone. Some servers ignore that this was asked for."""
        path = f"{self.root}/.probe-{secrets.token_hex(8)}"
        try:
            self.create(path, b"1")
        except (OSError, ValueError, NotImplementedError):
            return False
        try:
            self.create(path, b"2")
        except OSError:
            return True
        else:
            return False
        finally:
            with suppress(OSError):
                self.system.rm_file(path)

    def create(self, path: str, content: bytes) -> None:
        """Create an object that is not there. Raises FileExistsError, or OSError of servers that say it otherwise."""
        with self.system.open(path, "xb") as file:
            file.write(content)

    def check(self) -> None:
        """Raises UserError where nothing can be written, and says it where writers cannot be told apart."""
        path = f"{self.root}/.writable-{secrets.token_hex(8)}"
        try:
            self._write({path: b"1"})
            self.system.rm_file(path)
        except Exception as error:  # each file system has its own
            raise self._refused("written", error) from error
        if not self.exclusive:
            log.warning("%s: no exclusive create here; what runs at once may be done twice", self.url)

    def push(self, files: Iterable[tuple[Path, Path]]) -> None:
        """Write files here to their places there. files: the place here that is meant, and the file with its content.

        Raises UserError where it fails.
        """
        try:
            self._write({self.there(path): source.read_bytes() for path, source in files})
        except Exception as error:
            raise self._refused("written", error) from error

    def _write(self, contents: dict[str, bytes]) -> None:
        for folder in {str(PurePosixPath(path).parent) for path in contents}:
            with suppress(FileExistsError, OSError):  # in an object store there is nothing to be made
                self.system.makedirs(folder, exist_ok=True)
        self.system.pipe(contents)

    def remove(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            self.system.rm_file(self.there(path))

    def fetch(self, path: Path) -> None:
        """Read one file, if it is there. Raises UserError where the file system does not answer."""
        with suppress(FileNotFoundError):
            self._read([(path, self.there(path))])

    def pull(self, folder: Path) -> None:
        """Have the small files of a folder and of all folders in it as they are there; others here are removed."""
        now, found = time.time(), list[tuple[Path, dict[str, Any]]]()
        try:
            found = list(self._listed(self.there(folder)))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._refused("read", error) from error
        fresh = [
            (path, entry["name"])
            for path, entry in found
            if not path.exists() or self._seen.get(entry["name"]) != _signature(entry)
        ]
        self._read(fresh)
        for path, entry in found:
            self._seen[entry["name"]] = _signature(entry)
            if (written := _time_of(entry)) is not None:
                with suppress(OSError):
                    os.utime(path, (written, written))
        kept = {path for path, _ in found}
        for path in _small_files(folder):
            with suppress(OSError):
                if path not in kept and path.stat().st_mtime < now - 1:  # else it was written since the listing
                    path.unlink()

    def _listed(self, folder: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        self.system.invalidate_cache()
        for entry in self.system.ls(folder, detail=True):
            name = entry["name"].rstrip("/")
            last = name.rpartition("/")[2]
            if name.lstrip("/") == folder.lstrip("/") or last.startswith("."):
                continue
            if entry["type"] == "directory":
                if last not in LAZY:
                    yield from self._listed(name)
            else:
                yield self.folder / name.lstrip("/").removeprefix(self.root.lstrip("/")).lstrip("/"), entry

    def _read(self, wanted: list[tuple[Path, str]]) -> None:
        if not wanted:
            return
        try:
            contents = {path: self.system.cat_file(name) for path, name in wanted[:1]}
            if len(wanted) > 1:
                answer = self.system.cat([name for _, name in wanted[1:]], on_error="omit")
                by_name = {name.lstrip("/"): content for name, content in answer.items()}
                contents |= {
                    path: by_name[name.lstrip("/")] for path, name in wanted[1:] if name.lstrip("/") in by_name
                }
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._refused("read", error) from error
        for path, content in contents.items():
            part = path.with_name(f".{path.name[:120]}.{os.getpid()}-{secrets.token_hex(4)}.part")
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            os.replace(part, path)

    def _refused(self, what: str, error: Exception) -> UserError:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        return UserError(f"{self.url} cannot be {what} ({said}): check the address, your rights and the connection")


_mirrors: dict[str, Mirror] = {}  # of this process, by the folder here


def folder_of(place: str | Path) -> Path:
    """The folder here for a path or an address. What lies at the address is read first, without its images.

    Raises UserError where the address cannot be opened.
    """
    text = str(place).rstrip("/")
    if "://" not in text:
        return Path(place)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    home = Path(os.environ.get("T2IBENCH_CACHE") or platformdirs.user_cache_dir("t2ibench")).absolute()
    folder = home / "mirrors" / hashlib.sha256(text.encode()).hexdigest()[:16]
    mirror = _opened(text, folder)
    mirror.pull(folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = json.dumps({**_announced(), str(folder): text})
    return folder


def mirror_of(path: Path) -> Mirror | None:
    """The mirror that a path here lies in; None for a path that is only here."""
    if VARIABLE not in os.environ:
        return None
    for folder, url in _announced().items():
        if path.is_relative_to(folder):
            return _opened(url, Path(folder))
    return None


def address_of(path: Path) -> str:
    """A path for a line to the user: its address, if it lies in a mirror."""
    mirror = mirror_of(path)
    return str(path) if mirror is None else f"{mirror.url}{str(path).removeprefix(str(mirror.folder))}"


def pull(folder: Path) -> None:
    """Have the small files in a folder as they are elsewhere now; nothing where the folder is only here."""
    if (mirror := mirror_of(folder)) is not None:
        mirror.pull(folder)


def fetched(path: Path) -> Path:
    """A file that may only be elsewhere so far, and is here now, if it is anywhere."""
    if not path.exists() and (mirror := mirror_of(path)) is not None:
        mirror.fetch(path)
    return path


def push(paths: Iterable[Path]) -> None:
    """Write files of one folder, which are here, to where it mirrors."""
    paths = list(paths)
    if paths and (mirror := mirror_of(paths[0])) is not None:
        mirror.push([(path, path) for path in paths])


def _announced() -> dict[str, str]:
    found: dict[str, str] = json.loads(os.environ.get(VARIABLE, "{}"))
    return found


def _opened(url: str, folder: Path) -> Mirror:
    if (known := _mirrors.get(str(folder))) is not None:
        return known
    from fsspec.core import url_to_fs  # some verbs answer at once

    try:
        system, root = url_to_fs(url)
    except Exception as error:  # a package is missing, or the address is wrong
        raise UserError(f"{url} cannot be opened ({' '.join(str(error).split())[:200]})") from error
    _mirrors[str(folder)] = Mirror(url, folder, system, str(root).rstrip("/"))
    return _mirrors[str(folder)]


def _signature(entry: dict[str, Any]) -> str:
    return repr(sorted((key, str(value)) for key, value in entry.items()))


def _time_of(entry: dict[str, Any]) -> float | None:
    """When an object was written, in seconds; None where the file system does not say it."""
    for key in ("LastModified", "mtime", "updated", "created"):
        value = entry.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def _small_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LAZY]
        yield from (Path(parent, name) for name in names if not name.startswith("."))
