"""Makes the images of a cell in batches, and writes down the outcome of every sample, also of one that failed.

The list of samples is always cut into the same batches, each within one group of prompts. If a run is killed, the next
run makes every incomplete batch again as a whole. So a resumed run gives the same images as an uninterrupted one, bit
for bit. Another batch size may move a pixel by one grey level.
"""

import itertools
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core import storage
from t2ibench.core.errors import PartlyFailed, UserError
from t2ibench.core.images import BLACK, pixel_hash
from t2ibench.core.mirrors import address_of
from t2ibench.core.progress import counter
from t2ibench.data.stores import chosen
from t2ibench.runner.journal import Images, Outcome, Status, Store
from t2ibench.scoring.evidence import Samples
from t2ibench.tracks.contract import Maker, Sample

BATCH = 64
log = logging.getLogger(__name__)
# The entry of a maker's `cost` with the seconds that this process has spent on preparing and training so far. They do
# not count as time of an image.
SPENT = "spent_seconds"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a cell's folder. The lock of a killed process does not remain.

    Raises UserError at once where another process holds the lock, or the folder cannot be written.
    """
    busy = f"{address_of(folder)}: another run is at work on this cell: wait for it, or use another --work"
    with storage.held(folder / "lock", storage.WORK, busy):
        yield


def generate(maker: Maker, samples: Sequence[Sample], store: Store, what: str, batch: int = BATCH) -> list[Outcome]:
    """The outcome of every sample, in order. Makes the batches that the store does not hold whole and undamaged.

    what: the name of the cell in the progress bar.
    batch: how many images are made at once.
    """
    sources = {sample.id: maker.source(sample) for sample in samples}
    held = store.sound(sources)
    todo = [block for block in blocks_of(samples, batch) if any(sample.id not in held for sample in block)]
    with counter(what, total=len(samples), done=len(samples) - sum(map(len, todo))) as advance:
        for block in todo:
            fresh = make_batch(maker, block, store, sources)
            store.append(fresh, cost_of(maker))
            held |= {outcome.sample: outcome for outcome in fresh}
            advance(len(block))
    return [held[sample.id] for sample in samples]


def blocks_of(samples: Sequence[Sample], batch: int) -> list[list[Sample]]:
    """The batches into which the samples of a cell are always cut, each within one group of prompts.

    Who makes a block, and when, changes nothing in its images.
    """
    groups = [list(members) for _, members in itertools.groupby(samples, key=lambda sample: sample.prompt.group)]
    return [group[start : start + batch] for group in groups for start in range(0, len(group), batch)]


def cost_of(maker: Maker) -> dict[str, float]:
    """What a record says that a maker has spent besides its images."""
    return {name: float(value) for name, value in maker.cost.items() if name != SPENT}


def make_batch(maker: Maker, block: Sequence[Sample], store: Store, sources: dict[str, str]) -> list[Outcome]:
    """Make and save one batch. A bad sample fails alone, the others of its batch are kept.

    A method that raises PartlyFailed says which samples are bad. After any other exception of the method the samples
    are made one by one, and one that raises again is a failed sample with that reason. An answer that breaks the
    contract fails the whole batch. So whatever a method does, the other methods of the suite run.
    """
    started = _clock(maker)
    try:
        images, reasons = _answer(maker, block)
    except BrokenContract as error:
        return [failed(sample, sources, (_clock(maker) - started) / len(block), str(error)) for sample in block]
    except (Exception, SystemExit) as error:
        if len(block) > 1:
            if isinstance(error, torch.OutOfMemoryError):
                log.warning(
                    "%d images at once do not fit into the memory of the GPU: use a smaller --batch", len(block)
                )
            return [outcome for sample in block for outcome in make_batch(maker, [sample], store, sources)]
        return [failed(block[0], sources, _clock(maker) - started, reason_of(error))]
    seconds = (_clock(maker) - started) / len(block)
    outcomes = []
    for row, (sample, image) in enumerate(zip(block, images, strict=True)):
        if row in reasons:
            outcomes.append(failed(sample, sources, seconds, reasons[row]))
        else:
            status: Status = "black" if image.max() <= BLACK else "ok"
            outcomes.append(_outcome(sample, sources, status, store.save(sample.id, image), seconds))
    return outcomes


def _answer(maker: Maker, block: Sequence[Sample]) -> tuple[np.ndarray, Mapping[int, str]]:
    """The checked images of a batch, and why a row failed, by row."""
    try:
        return _checked(maker.make(block), len(block)), {}
    except PartlyFailed as error:
        return _checked(error.images, len(block)), error.reasons


def samples_by_group(
    samples: Sequence[Sample], outcomes: Sequence[Outcome], store: Images, check: bool = False
) -> dict[str, Samples]:
    """The samples of a cell as the metrics get them, by group of prompts.

    check: compare each image that is read with its hash, where nobody has done so before.
    """
    groups: dict[str, Samples] = {}
    for group in dict.fromkeys(sample.prompt.group for sample in samples):
        rows = [
            (sample, outcome) for sample, outcome in zip(samples, outcomes, strict=True) if sample.prompt.group == group
        ]
        ok = np.array([outcome.status == "ok" for _, outcome in rows])
        hashes = [outcome.sha256 if outcome.status == "ok" else "" for _, outcome in rows]
        images = StoredImages(store, [outcome.sample for _, outcome in rows], hashes, check)
        groups[group] = Samples(
            [sample.prompt for sample, _ in rows], [sample.k for sample, _ in rows], ok, hashes, images
        )
    return groups


class StoredImages:
    """Images of a store, read in the same way as the images of a data set. check: as in `samples_by_group`."""

    def __init__(self, store: Images, names: Sequence[str], hashes: Sequence[str], check: bool = False) -> None:
        self.store, self.names, self.hashes, self.check = store, names, hashes, check

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        images = self.store.read([self.names[index] for index in indices])
        if self.check:
            for index, image in zip(indices, images, strict=True):
                if pixel_hash(image) != self.hashes[index]:
                    raise UserError(f"{self.store.image_path(self.names[index])} is damaged")
        return images

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen(self.hashes, rows)


class BrokenContract(Exception):
    """A method's answer that is no batch of images."""


def reason_of(error: BaseException) -> str:
    """Why a sample failed, in one line: the kind of an exception and what it says."""
    said = " ".join(str(error).split())
    if isinstance(error, UserError):
        return said
    if isinstance(error, torch.OutOfMemoryError):
        return f"one image does not fit into the memory of the GPU: {said}"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _checked(images: Tensor, count: int) -> np.ndarray:
    """The images that a method returned, checked against the contract: uint8 [count, 3, H, W].

    Raises ValueError for NaN or infinity, which one sample may cause, and BrokenContract for a wrong type or shape,
    which is a mistake of the method.
    """
    if isinstance(images, Tensor) and images.is_floating_point() and not torch.isfinite(images).all():
        raise ValueError("an image holds NaN or infinity")
    if (
        not isinstance(images, Tensor)
        or images.dtype != torch.uint8
        or images.dim() != 4
        or images.shape[:2] != (count, 3)
    ):
        answer = f"{images.dtype} {list(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise BrokenContract(
            f"the method returned {answer}, expected uint8 [{count}, 3, H, W]: see to_uint8 in t2ibench/core/images.py"
        )
    return images.cpu().numpy()


def _clock(maker: Maker) -> float:
    """Seconds on a clock that stands still while the maker prepares or trains."""
    return time.perf_counter() - maker.cost.get(SPENT, 0.0)


def failed(sample: Sample, sources: dict[str, str], seconds: float, reason: str) -> Outcome:
    """The outcome of a sample without an image."""
    status: Status = "nan" if re.search(r"\bnan\b", reason, re.IGNORECASE) else "failed"
    return _outcome(sample, sources, status, "", seconds, reason[:300])


def _outcome(
    sample: Sample, sources: dict[str, str], status: Status, sha256: str, seconds: float, message: str = ""
) -> Outcome:
    prompt = sample.prompt
    return Outcome(
        sample.id,
        prompt.id,
        prompt.group,
        prompt.text,
        sample.k,
        sources[sample.id],
        status,
        sha256,
        round(seconds, 6),
        message,
    )
