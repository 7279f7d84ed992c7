"""Results that are computed once for a generator and a CLIP, and stored piece by piece.

A process that is killed loses only the piece it was computing.
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

from t2ibench.core import files
from t2ibench.core.errors import UserError
from t2ibench.core.progress import counter


def pieces(
    cache: Path, what: str, recipe: Mapping[str, Any], sizes: Sequence[int], make: Callable[[int], Tensor]
) -> tuple[list[Tensor], float]:
    """All pieces, and the seconds that it took to make them, now or earlier.

    cache: the folder of the cache.
    what: the kind of result, for the folder's name.
    recipe: everything that decides the content; its hash is in the folder's name.
    sizes: the work of each piece, for the progress bar.
    make: makes a piece, given its number, if the cache does not have it. A damaged piece is made again.

    Two processes that need the same pieces make them once. Raises UserError if the cache cannot be written.
    """
    text = json.dumps(dict(recipe), sort_keys=True)
    folder = cache / "styleclip" / f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"), counter(f"styleclip: {what}", total=sum(sizes)) as advance:
            if not (folder / "recipe.json").exists():
                files.write_whole(folder / "recipe.json", text.encode())
            tensors, seconds = [], 0.0
            for number, size in enumerate(sizes):
                path = folder / f"{number:04d}.npz"
                piece, spent = _read(path) or _write(path, make, number)
                tensors.append(piece)
                seconds += spent
                advance(size)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): set T2IBENCH_CACHE to a folder that can"
        ) from error
    return tensors, seconds


def _read(path: Path) -> tuple[Tensor, float] | None:
    try:
        with np.load(path) as arrays:
            return torch.from_numpy(arrays["piece"]), float(arrays["seconds"])
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, make: Callable[[int], Tensor], number: int) -> tuple[Tensor, float]:
    started = perf_counter()
    piece = make(number).cpu()
    seconds = perf_counter() - started
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, piece=piece.numpy(), seconds=seconds)
    os.replace(unfinished, path)
    return piece, seconds
