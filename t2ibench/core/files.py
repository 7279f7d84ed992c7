"""What is asked of files and folders: their hash, whether they can be written, and the user's home in their paths."""

import getpass
import hashlib
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from t2ibench.core import mirrors
from t2ibench.core.errors import UserError

NO_FILE = "a pipe, a socket or a device, which may never end: give a file"


def file_hash(path: Path) -> str:
    """sha256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_home(text: str) -> str:
    """A text that is a path, or ends in one behind a colon (`model:~/file`), with `~` replaced by the user's home."""
    kind, colon, place = text.rpartition(":")
    return f"{kind}{colon}{os.path.expanduser(place)}" if place == "~" or place.startswith("~/") else text


def weight_folders() -> list[Path]:
    """The folders that the environment variable T2IBENCH_WEIGHTS names."""
    return [Path(entry) for entry in os.environ.get("T2IBENCH_WEIGHTS", "").split(os.pathsep) if entry]


def in_weight_folders(text: str) -> str:
    """A file that is named (`FILE`, or `model:FILE`), with the first of T2IBENCH_WEIGHTS' folders that has it before
    it. It stays as it is where the current folder has it, and where no folder has.
    """
    kind, colon, place = text.rpartition(":")
    if Path(place).exists():
        return text
    there = (folder / place for folder in weight_folders() if (folder / place).is_file())
    return f"{kind}{colon}{next(there, place)}"


def without_homes(content: Any) -> Any:
    """JSON content in which no path names the user: the home folder becomes `~`, the user's name in a path `USER`."""
    if isinstance(content, str):
        home, folder = _user_in_paths()
        return folder.sub("/USER", home.sub("~", content)) if "/" in content else content
    if isinstance(content, Mapping):
        return {without_homes(key): without_homes(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_homes(value) for value in content]
    return content


@cache
def _user_in_paths() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds the user's home in a text, and the user's name as a folder."""
    homes = {home for home in (os.path.expanduser("~"), os.path.realpath(os.path.expanduser("~"))) if len(home) > 1}
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container in which the number of the user has no name
        user = ""
    end = r"(?=[/:'\"\s,;)]|$)"
    texts = "|".join(map(re.escape, sorted(homes, key=len, reverse=True)))
    return re.compile(rf"(?<![\w.])(?:{texts or '(?!)'}){end}"), re.compile(rf"/{re.escape(user) or '(?!)'}{end}")


def check_folder(folder: Path) -> None:
    """Raise UserError if a folder cannot be made or written, here or where it mirrors."""
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with --out and --work"
        ) from error
    if (mirror := mirrors.mirror_of(folder)) is not None:
        mirror.check()


def is_special(path: Path) -> bool:
    """Whether a path is neither a file nor a folder: a pipe, a socket, a device."""
    return path.exists() and not path.is_file() and not path.is_dir()
