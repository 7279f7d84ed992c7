"""Files that are written whole or not at all."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from t2ibench.core.errors import UserError


def write_whole(path: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file whole or not at all, also if the power fails. The content may come in parts.

    Raises UserError if the folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder with --out") from error


def file_hash(path: Path) -> str:
    """sha256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_folder(folder: Path) -> None:
    """Raise UserError if a folder cannot be made or written."""
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with --out and --work"
        ) from error
