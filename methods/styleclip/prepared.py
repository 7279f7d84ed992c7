"""Results that are computed once for a generator and a CLIP, and stored piece by piece.

A process that is killed loses only the piece it was computing. Those of the zoo's own networks come with the package,
as weights files whose cards hold the recipe.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core import storage
from t2ibench.core.progress import counter
from t2ibench.networks import weights, zoo

HASH = 32  # bytes of sha256, with which the file of a piece ends


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
    paths = [folder / f"{number:04d}.npz" for number in range(len(sizes))]

    def look() -> tuple[list[Tensor], float] | None:
        kept = [piece for path in paths if (piece := _read(path)) is not None]
        if len(kept) < len(paths):
            return None
        return [tensor for tensor, _ in kept], sum(seconds for _, seconds in kept)

    def made() -> tuple[list[Tensor], float]:
        storage.publish(folder / "recipe.json", text.encode(), storage.CACHE)
        tensors, seconds = [], 0.0
        with counter(f"styleclip: {what}", total=sum(sizes)) as advance:
            for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
                piece, spent = _read(path) or _write(path, make, number)
                tensors.append(piece)
                seconds += spent
                advance(size)
        return tensors, seconds

    return storage.once(folder / "lock", look, made)


def shipped(what: str, recipe: Mapping[str, Any]) -> tuple[Tensor, float] | None:
    """The result of weights `styleclip-<what>-…` that were made by this very recipe, and the seconds that it took.

    None if no weights were: then it is computed.
    """
    wanted = json.loads(json.dumps(dict(recipe)))
    for name, path in zoo.available().items():
        if name.startswith(f"styleclip-{what}-") and zoo.card(path).get("recipe") == wanted:
            return weights.read(path).tensors[what], float(zoo.card(path)["minutes"]) * 60
    return None


def ship(path: Path, what: str, recipe: Mapping[str, Any], result: Tensor, seconds: float) -> None:
    """Write weights that `shipped` finds, with their card."""
    card = {"recipe": json.loads(json.dumps(dict(recipe))), "minutes": round(seconds / 60, 2), "optimised_for": []}
    weights.write(path, {what: result}, {}, card, half=False)


def _read(path: Path) -> tuple[Tensor, float] | None:
    """A kept piece and its seconds; None where it is missing, damaged, or of a version that kept no hash."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content[:-HASH]).digest() != content[-HASH:]:
        return None
    with np.load(io.BytesIO(content[:-HASH]), allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["piece"]), float(arrays["seconds"])


def _write(path: Path, make: Callable[[int], Tensor], number: int) -> tuple[Tensor, float]:
    started = perf_counter()
    piece = make(number).cpu()
    seconds = perf_counter() - started
    content = io.BytesIO()
    np.savez(content, piece=piece.numpy(), seconds=seconds)
    data = content.getvalue()
    storage.publish(path, [data, hashlib.sha256(data).digest()], storage.CACHE)
    return piece, seconds
