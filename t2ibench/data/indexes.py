"""What is known of large files after they were gone through once: kept in the user's folder as JSON, and made again
where a file has another size or time than then.
"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.core.records import digest
from t2ibench.core.storage import publish

log = logging.getLogger(__name__)


def state(files: Sequence[Path]) -> str:
    """A hash of the places, sizes and times of files."""
    states = [(path, path.stat()) for path in files]
    return digest([[str(path.resolve()), one.st_size, one.st_mtime_ns] for path, one in states])


def of_file(kind: str, path: Path, make: Callable[[], Any]) -> Any:
    """What `make` gives for a file, JSON content: from the folder if it was made before."""
    key = state([path])
    if (content := read(kind, key)) is None:
        content = make()
        keep(kind, key, content)
    return content


def read(kind: str, key: str) -> Any:
    """What is kept under a key; None if there is nothing, or if it is damaged."""
    try:
        content = json.loads(_place(kind, key).read_bytes())
        return content["content"] if content["sha256"] == digest(content["content"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(kind: str, key: str, content: Any) -> None:
    """Keep JSON content. A folder that cannot be written costs time, and nothing else."""
    try:
        publish(_place(kind, key), json.dumps({"content": content, "sha256": digest(content)}).encode())
    except UserError as error:
        log.info("an index is not kept: %s", error)


def _place(kind: str, key: str) -> Path:
    return home() / "indexes" / f"{kind}-{digest([key])[:32]}.json"
