"""What is worked out once for a generator and a CLIP, piece by piece: a process that is killed loses the piece it was
at, and no more.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from t2ibench.core import cache, files
from t2ibench.core.errors import UserError
from t2ibench.core.progress import counter


def pieces(
    what: str, recipe: Mapping[str, Any], sizes: Sequence[int], make: Callable[[int], Tensor]
) -> tuple[list[Tensor], float]:
    """Every piece, from the cache or made by make(number), and the seconds that making them all took, now or before.

    recipe: everything that decides the content; its hash names the folder. sizes: a measure of each piece's work, for
    the progress bar. A damaged piece is made again. Two processes that want the same make it once. Raises UserError
    where the cache cannot be written.
    """
    text = json.dumps(dict(recipe), sort_keys=True)
    folder = cache.folder() / "styleclip" / f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"), counter(f"styleclip: {what}", total=sum(sizes)) as advance:
            if not (folder / "recipe.json").exists():
                files.write_whole(folder / "recipe.json", text.encode())
            made, seconds = [], 0.0
            for number, size in enumerate(sizes):
                path = folder / f"{number:04d}.npz"
                piece, spent = _read(path) or _write(path, make, number)
                made.append(piece)
                seconds += spent
                advance(size)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): set T2IBENCH_CACHE to a folder that can"
        ) from error
    return made, seconds


def _read(path: Path) -> tuple[Tensor, float] | None:
    try:
        with np.load(path) as found:
            return torch.from_numpy(found["piece"]), float(found["seconds"])
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, make: Callable[[int], Tensor], number: int) -> tuple[Tensor, float]:
    started = perf_counter()
    piece = make(number).cpu()
    seconds = perf_counter() - started
    part = path.with_suffix(".part.npz")
    np.savez(part, piece=piece.numpy(), seconds=seconds)
    os.replace(part, path)
    return piece, seconds
